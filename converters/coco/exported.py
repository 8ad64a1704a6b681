"""Reads what `aims export` adds to COCO files under the key "aims": the rest of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aims.core.errors import InputError
from aims.core.files import inside
from aims.core.schema import FORMAT_VERSION, DatasetSpec
from aims.core.structs import convert_struct

from ..reading.coco import Annotations, CocoImage

KEY = "aims"
_WRITTEN = f"not as `aims export` writes it under {KEY!r}"


class _Version(msgspec.Struct):
    version: int


class _SetKeys(_Version):
    split: str
    splits: list[str]
    dataset: dict[str, Any]
    fingerprint: str


class _ImageKeys(msgspec.Struct):
    image_id: str
    group: str
    rgb: str | None
    streams: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class CocoEntry:
    """One image: its entry in the JSON file, its id and group in the dataset, and its files."""

    image: CocoImage
    image_id: str
    group: str
    streams: Mapping[str, Path]
    rgb: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the image."""
        return (*self.streams.values(), *(() if self.rgb is None else (self.rgb,)))


@dataclass(frozen=True, kw_only=True)
class ExportedSet:
    """A dataset as described by its exported files; `files` by split, in the dataset's order."""

    spec: DatasetSpec
    files: Mapping[str, Annotations]

    @classmethod
    def of(cls, files: Sequence[Annotations]) -> ExportedSet | None:
        """Reads the description; returns None if the files were not exported.

        Raises:
            InputError: the files do not form one complete export, or a description is damaged.
        """
        if not any(KEY in file.header for file in files):
            return None
        own: dict[str, Annotations] = {}
        fingerprints = set()
        for file in files:
            if KEY not in file.header:
                raise InputError(f"{file.path}: lies among files of `aims export` and is none; move it away")
            content, where = file.header[KEY], f"{file.path}: {_WRITTEN}"
            # Checked first, as a newer version may have other keys.
            if convert_struct(content, _Version, where=where).version > FORMAT_VERSION:
                raise InputError(f"{file.path}: of a newer format; update AIMS to read it")
            header = convert_struct(content, _SetKeys, where=where)
            spec = convert_struct(header.dataset, DatasetSpec, where=f"{file.path}: {KEY}.dataset")
            fingerprints.add(header.fingerprint)
            if own.setdefault(header.split, file) is not file or len(fingerprints) > 1:
                raise InputError(f"{file.path}: is of another export than {files[0].path}; keep them apart")
            if spec.classes != file.classes:
                raise InputError(
                    f"{file.path}: 'categories' are not the classes under {KEY!r}; export it again"
                )
        for split in header.splits:
            if split not in own:
                raise InputError(
                    f"{files[0].path}: the export has a split {split!r}, whose file is missing; copy it, or "
                    f"take {split!r} out of 'splits' under {KEY!r}"
                )
        return cls(spec=spec, files={split: own[split] for split in header.splits})

    def entries(self, root: Path, split: str) -> Iterator[CocoEntry]:
        """Yields the images of a split, with their files below `root`."""
        file = self.files[split]
        for image in file.images:
            where = f"{file.path}: image {image.id}"
            own = convert_struct(file.entries[image.id].get(KEY), _ImageKeys, where=f"{where}: {_WRITTEN}")
            for name in self.spec.streams:
                if name not in own.streams:
                    raise InputError(f"{where}: {_WRITTEN}: streams: no {name!r}")
            yield CocoEntry(
                image=image,
                image_id=own.image_id,
                group=own.group,
                streams={name: inside(root, own.streams[name], where=where) for name in self.spec.streams},
                rgb=None if own.rgb is None else inside(root, own.rgb, where=where),
            )
