"""aims.json and dropped.jsonl as classes; their fields are the files' keys, in order of writing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from aims.core.schema import FORMAT_VERSION, DatasetSpec
from aims.core.structs import Count, Digest, read_struct

MANIFEST = "aims.json"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of images and instances of a split."""

    images: Count
    instances: Count


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file.

    Attributes:
        split: the split whose images it holds.
        images: number of images.
        instances: number of instances.
        sha256: checksum of the file.
    """

    split: str
    images: Count
    instances: Count
    sha256: Digest


class ConverterEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How a set was converted: the converter's name and its options."""

    name: str
    options: dict[str, Any] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What aims.json says of a dataset.

    Attributes:
        format: always "aims".
        version: edition of the format.
        aims_version: version of the program that wrote it.
        dataset: what is true of the whole set.
        converter: what made it; None in a set that no converter made.
        splits: numbers of every split.
        fingerprint: fingerprint of the content.
        files: the Parquet files by path below the folder.
        sources: checksum of every source file.
        dropped: number of lines of dropped.jsonl by kind.
        warnings: what the conversion warned of.
    """

    format: str = "aims"
    version: Count
    aims_version: str = "unknown"
    dataset: DatasetSpec
    converter: ConverterEntry | None = None
    splits: dict[str, Counts]
    fingerprint: Digest
    files: dict[str, FileEntry]
    sources: dict[str, str]
    dropped: dict[str, Count]
    warnings: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Number of images in all files."""
        return sum(entry.images for entry in self.files.values())

    def as_json(self) -> dict[str, Any]:
        """The JSON object, in order of writing."""
        value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return value


class DroppedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of dropped.jsonl: an image or an object that was left out.

    Attributes:
        split: the split it would belong to.
        image_id: the image.
        kind: what sort of loss it is.
        reason: why.
    """

    split: str
    image_id: str
    kind: str
    reason: str


def read_manifest(path: Path) -> Manifest:
    """Reads aims.json.

    Raises:
        InputError: it is missing, does not fit, or is of a newer format.
    """
    return read_struct(path, Manifest, what="a manifest", newest=FORMAT_VERSION)


def count_kinds(lines: Sequence[DroppedLine]) -> dict[str, int]:
    """Number of lines of each kind, by name."""
    return dict(sorted(Counter(line.kind for line in lines).items()))


def dropped_text(lines: Sequence[DroppedLine]) -> str:
    """The content of dropped.jsonl."""
    return "".join(f"{json.dumps(msgspec.to_builtins(line), ensure_ascii=False)}\n" for line in lines)
