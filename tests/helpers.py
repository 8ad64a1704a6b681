"""What several tests share: a converter whose images are made up, and converted sets."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from aims.core.schema import (
    Converter,
    DatasetSpec,
    LeftOut,
    Published,
    Sample,
    SampleError,
    SemanticMap,
    StreamSpec,
    option,
)

DTYPES = ("uint8", "uint16", "int16", "int32", "float16", "float32", "float64")


def seeded(*parts: object) -> np.random.Generator:
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Fails a test that is still running after so many seconds."""

    def stop(number: int, frame: object) -> None:
        pytest.fail(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put(value: Any, place: Sequence[Any], new: Any) -> None:
    """Puts something at a place of nested dictionaries and lists; `...` takes away what is there."""
    *way, last = place
    for key in way:
        value = value[key]
    if new is ...:
        del value[last]
    else:
        value[last] = new


def class_map(rng: np.random.Generator, size: tuple[int, int], classes: int) -> np.ndarray:
    """A few overlapping boxes of random classes on nothing."""
    labels = np.zeros(size, np.uint8)
    for _ in range(6):
        y, x = rng.integers(0, size[0] - 4), rng.integers(0, size[1] - 4)
        labels[y : y + rng.integers(3, size[0] // 2), x : x + rng.integers(3, size[1] // 2)] = rng.integers(
            1, classes + 1
        )
    return labels


@dataclass(frozen=True, kw_only=True)
class MadeUp(Converter):
    """Images from a hash of their id; `broken` ones cannot be read, `blank` ones have no instance.

    `die_at` kills the process with SIGKILL when that image is read, `deaths` times; the file `died` counts.
    """

    name: ClassVar[str] = "made-up"

    images: int = option(12, help="Training images.")
    size: tuple[int, int] = option((24, 32), help="Height and width.")
    channels: int = option(2, help="Channels of the stream.")
    dtypes: tuple[str, ...] = option(("float32",), help="Dtypes, one image after the other.")
    broken: tuple[str, ...] = option((), help="Images that cannot be read.")
    blank: tuple[str, ...] = option((), help="Images without an instance.")
    die_at: str = option("", help="Image at which the process is killed.")
    deaths: int = option(1, help="How often.")
    rgb: bool = option(False, help="With RGB pictures.")
    suffix: str = option("", help="Added to the name of every group.")
    stream: tuple[str, ...] = option(
        ("signal",), help="Streams; each holds the values of the one before, plus one."
    )

    def spec(self) -> DatasetSpec:
        return DatasetSpec(
            name="made-up",
            classes=("box", "can"),
            streams={name: StreamSpec(channels=self.channels, unit="V", missing=0.0) for name in self.stream},
            license="none",
            has_rgb=self.rgb,
        )

    def options(self) -> dict[str, object]:
        # A picture that was broken and has been mended is still the same source.
        return {**super().options(), "die_at": "", "deaths": 0, "broken": ()}

    def splits(self) -> Mapping[str, Sequence[str]]:
        return {
            "train": [f"a{i:03d}" for i in range(self.images)],
            "test": [f"b{i:03d}" for i in range(self.images // 2)],
        }

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        path = self.root / f"{image_id}.txt"
        return [path] if path.is_file() else []

    def shared_files(self) -> Sequence[Path]:
        return [path for path in [self.root / "table.txt"] if path.is_file()]

    def read(self, split: str, image_id: str) -> Sample:
        died = self.root / "died"
        if image_id == self.die_at and (died.stat().st_size if died.exists() else 0) < self.deaths:
            with died.open("a") as log:
                log.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        if image_id in self.broken:
            raise SampleError(f"{self.root / image_id}: truncated")
        with (self.root / "reads.log").open("a") as log:
            log.write(f"{image_id}\n")
        rng = seeded(image_id, self.size, self.channels)
        labels = class_map(rng, self.size, 2)
        dtype = np.dtype(self.dtypes[int(image_id[1:]) % len(self.dtypes)])
        values = rng.normal(size=(*self.size, self.channels)) + labels[..., None] * 3
        with np.errstate(all="ignore"):
            array = (values * (1 if dtype.kind == "f" else 40)).astype(dtype)
        return Sample(
            image_id=image_id,
            group=f"scene{int(image_id[1:]) // 3}{self.suffix}",
            streams={name: array + array.dtype.type(k) for k, name in enumerate(self.stream)},
            labels=SemanticMap(class_map=labels * (image_id not in self.blank)),
            rgb=self._png(rng) if self.rgb else None,
        )

    def _png(self, rng: np.random.Generator) -> bytes:
        import cv2

        return cv2.imencode(".png", rng.integers(0, 255, (*self.size, 3), np.uint8))[1].tobytes()


@dataclass(frozen=True, kw_only=True)
class Known(MadeUp):
    """Stands for a published set with other numbers of images, of which one is left out."""

    published: ClassVar[Published] = Published(
        streams=("signal",),
        license="none",
        citation="nobody",
        url="nowhere",
        images={"train": 1500, "test": 7, "val": 3},
        total=1510,
    )

    covered: str = option("", help="Image with an object that the labels cannot hold.")

    def left_out(self) -> Sequence[LeftOut]:
        return [LeftOut(split="test", image_id="b099", reason="broken as published")]

    def read(self, split: str, image_id: str) -> Sample:
        dropped = ("object 7 is wholly covered",) if image_id == self.covered else ()
        return dataclasses.replace(super().read(split, image_id), dropped=dropped)
