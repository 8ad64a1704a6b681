"""Schemas of aims.json and dropped.jsonl; fields are the keys of the files, in the order written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from aims.core.schema import FORMAT_VERSION, DatasetSpec, FileCount
from aims.core.structs import Count, Digest, read_struct

MANIFEST = "aims.json"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of images and instances of a split."""

    images: Count
    instances: Count


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Manifest entry of one Parquet file.

    Attributes:
        split: the split whose images it holds.
        images: number of images.
        instances: number of instances.
        sha256: checksum of the file, in hexadecimal.
    """

    split: str
    images: Count
    instances: Count
    sha256: Digest


class ConverterEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Name and options of the converter that wrote a dataset."""

    name: str
    options: dict[str, Any] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of aims.json.

    Attributes:
        format: always "aims".
        version: version of the dataset format.
        aims_version: version of AIMS that wrote it.
        dataset: description of the whole dataset.
        converter: the converter that wrote it; None if no converter did.
        splits: image and instance counts by split.
        fingerprint: SHA-256 of the content (`aims.data.format.fingerprint`).
        files: the Parquet files by path below the folder.
        sources: SHA-256 of every source file by name.
        dropped: number of lines of dropped.jsonl by kind.
        warnings: warnings of the conversion, one line each.
        inventory: the raw files of each kind, used and unused.
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
    inventory: tuple[FileCount, ...] = ()

    @property
    def images(self) -> int:
        """Number of images in all files."""
        return sum(entry.images for entry in self.files.values())

    def as_json(self) -> dict[str, Any]:
        """Returns the manifest as a JSON object, keys in the order written."""
        value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return value


#: Kinds of lines that leave out no image: "object", "overlap" (parts of objects that lie under others), and
#: "cut" (objects that go on outside of a tile).
PARTS = ("object", "overlap", "cut")


class DroppedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of dropped.jsonl: an image or an object that was left out.

    Attributes:
        split: the split it would belong to.
        image_id: the image.
        kind: "unusable" (named by the converter), "unreadable", "no instance", or one of `PARTS`.
        reason: why it was left out.
    """

    split: str
    image_id: str
    kind: str
    reason: str


def read_manifest(path: Path) -> Manifest:
    """Reads aims.json.

    Raises:
        InputError: the file is missing or malformed, or its format is newer than `FORMAT_VERSION`.
    """
    return read_struct(path, Manifest, what="a manifest", newest=FORMAT_VERSION)


def count_kinds(lines: Sequence[DroppedLine]) -> dict[str, int]:
    """Counts the lines of each kind; the kinds are sorted."""
    return dict(sorted(Counter(line.kind for line in lines).items()))


def dropped_text(lines: Sequence[DroppedLine]) -> str:
    """Returns the content of dropped.jsonl, one JSON object per line."""
    return "".join(f"{json.dumps(msgspec.to_builtins(line), ensure_ascii=False)}\n" for line in lines)
