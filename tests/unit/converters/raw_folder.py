"""A small raw folder with a different value in every pixel and channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.schema import Converter, SampleError
from aims.data.read import Dataset
from aims.data.verify import verify_dataset
from aims.data.write import convert

#: Makes a converter of `BASE` with some of its text replaced; see the fixture `make`.
Make = Callable[..., FolderConverter]
HEIGHT, WIDTH = 5, 7
BASE = """\
name = "field"
license = "CC0-1.0"
classes = ["weed", "crop"]

[splits]
train = ["b", "a"]
test = ["c"]

[streams.nir]
files = "nir/{id}.png"
unit = "digital number"

[labels]
files = "labels/{id}.png"
kind = "semantic"
values = { weed = 1, crop = 2 }
"""


def ramp(start: int = 0, channels: int = 1, dtype: Any = np.uint16) -> np.ndarray:
    """(height, width, channels), no value twice: channel k starts at `start` + 50 k."""
    count = HEIGHT * WIDTH
    planes = [start + 50 * channel + np.arange(count).reshape(HEIGHT, WIDTH) for channel in range(channels)]
    return np.stack(planes, axis=-1).astype(dtype)


def label_map() -> np.ndarray:
    """Four pixels of class 1 in row 1, two of class 2 in column 0."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[1, 2:6] = 1
    labels[3:, 0] = 2
    return labels


def write_raw(root: Path) -> Path:
    """Writes what `BASE` describes: image a starts at 1000, b at 2000, c at 3000."""
    for name in ("nir", "labels"):
        (root / name).mkdir(parents=True)
    for number, name in enumerate("abc", start=1):
        cv2.imwrite(str(root / "nir" / f"{name}.png"), ramp(1000 * number))
        Image.fromarray(label_map()).save(root / "labels" / f"{name}.png")
    return root


def check_lost_file(converter: Converter, path: Path, split: str, image_id: str) -> None:
    """A file of an image that is cut short is named, as is one that is gone, which is no source any more."""
    path.write_bytes(path.read_bytes()[:-30])
    with refused(SampleError, f"{path}: not a ", "copy or download it again"):
        converter.read(split, image_id)
    path.unlink()
    with refused(SampleError, f"{path}: no such file"):
        converter.read(split, image_id)
    assert path not in converter.source_files(split, image_id)


def problems(out: Path) -> list[str]:
    """What is wrong with a set whose pictures may all be alike, as they are in small trees."""
    return [str(problem) for problem in verify_dataset(out) if "the same picture as" not in problem.message]


def check_dataset(converter: Converter, out: Path) -> Dataset:
    """Converts, verifies, and compares every stream of every image with what the converter read."""
    convert(converter, out, rows_per_shard=2)
    assert problems(out) == []
    dataset = Dataset.open(out)
    for split, refs in dataset.index.items():
        assert [ref.image_id for ref in refs] == list(converter.splits()[split])
        for ref in refs:
            sample = converter.read(split, ref.image_id)
            image = dataset.read(ref, tuple(sample.streams))
            assert list(dataset.spec.streams) == list(sample.streams)
            for name, array in sample.streams.items():
                np.testing.assert_array_equal(image.streams[name], array)
                assert image.streams[name].dtype == array.dtype
    return dataset
