"""Verifies every invariant of the format on a dataset folder."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aims.core.columns import CLICKS, column_types
from aims.core.errors import InputError
from aims.core.files import sha256_file
from aims.core.schema import Array
from aims.core.structs import read_lines
from aims.data.cells import find_misfit, find_wrong_instance, find_wrong_object
from aims.data.format import (
    CARD,
    DROPPED,
    arrow_schema,
    decode_instances,
    decode_rgb,
    decode_tensor,
    fingerprint,
    row_digest,
)
from aims.data.instances import describe_objects
from aims.data.manifest import MANIFEST, Counts, DroppedLine, FileEntry, count_kinds
from aims.data.read import Dataset, read_rows


@dataclass(frozen=True)
class Problem:
    """One violated invariant.

    Attributes:
        file: path below the dataset folder.
        message: what is wrong.
        row: row in the file, counted from 0; None if the whole file is concerned.
        column: column, or entry of the manifest; None if the whole row or file is concerned.
    """

    file: str
    message: str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        column = "" if self.column is None else f", {self.column}"
        return f"{self.file}{row}{column}: {self.message}"


def verify_dataset(
    folder: Path, *, on_progress: Callable[[int], None] = lambda images: None
) -> list[Problem]:
    """Reads a whole dataset and lists every violated invariant.

    Args:
        folder: the dataset.
        on_progress: called with the number of images checked since the last call.

    Raises:
        InputError: the folder is missing or its manifest cannot be read at all.
    """
    return list(find_problems(Dataset.open(folder), on_progress))


def find_problems(
    dataset: Dataset, on_progress: Callable[[int], None] = lambda images: None
) -> Iterator[Problem]:
    """Yields the violated invariants of a dataset; first those that are found without reading every row.

    Raises:
        InputError: a file is not a regular file, or leads out of the folder.
    """
    return _Check(dataset, on_progress).run()


class _Check:
    """One pass over a dataset; collects the digests, image ids and counts that span several rows."""

    def __init__(self, dataset: Dataset, on_progress: Callable[[int], None]) -> None:
        self.dataset, self.spec, self.folder = dataset, dataset.spec, dataset.folder
        self.on_progress = on_progress
        self.digests: list[str] = []
        # By image id, and by the digest of the pictures: the split and the place of the first.
        self.seen: dict[str, tuple[str, str]] = {}
        self.pictures: dict[bytes, tuple[str, str]] = {}
        self.found = {split: Counter[str]() for split in dataset.manifest.splits}

    def run(self) -> Iterator[Problem]:
        files = self.dataset.manifest.files
        paths = {file: self.dataset.path(file) for file in files}
        yield from self._check_files(paths)
        for file, path in paths.items():
            if path.is_file():
                yield from self._check_shard(file, path, files[file])
        if fingerprint(self.spec, self.digests) != self.dataset.fingerprint:
            yield Problem(MANIFEST, "does not follow from the content", column="fingerprint")
        yield from self._check_counts()

    def _check_files(self, paths: Mapping[str, Path]) -> Iterator[Problem]:
        """Checks that the files of the manifest exist with their checksums, and no others."""
        for file, path in paths.items():
            entry = self.dataset.manifest.files[file]
            if not path.is_file():
                yield Problem(file, "listed in the manifest but missing")
            elif sha256_file(path) != entry.sha256:
                yield Problem(file, "checksum differs from the manifest's")
            if entry.split not in self.found:
                yield Problem(MANIFEST, f"{file} is of a split that is not listed", column="files")
        # Without hidden files, which file systems and desktops leave.
        for path in sorted((self.folder / "data").glob("[!.]*")):
            file = path.relative_to(self.folder).as_posix()
            if file not in paths:
                yield Problem(file, "not listed in the manifest")
        for name in (CARD, DROPPED):
            if not self.dataset.path(name).is_file():
                yield Problem(name, "missing")

    def _check_shard(self, file: str, path: Path, entry: FileEntry) -> Iterator[Problem]:
        try:
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                schema = parquet.schema_arrow
                wrong = dict(_compare_schemas(schema, arrow_schema(self.spec)))
                for column, message in wrong.items():
                    yield Problem(file, message, column=column)
                if b"huggingface" not in (schema.metadata or {}):
                    yield Problem(file, "carries no Hugging Face features")
                count = parquet.metadata.num_rows
                if count != entry.images:
                    yield Problem(file, f"{count} rows, the manifest says {entry.images}")
                before = self._counts(entry.split)["instances"]
                # With a wrong schema every row would be reported, so none is read.
                groups = () if wrong else range(parquet.num_row_groups)
                rows = (value for group in groups for value in read_rows(parquet, group))
                for row, value in enumerate(rows):
                    for place, message in self._check_row(f"{file}, row {row}", value, entry.split):
                        yield Problem(file, message, row=row, column=place)
                    self.on_progress(1)
                found = self._counts(entry.split)["instances"] - before
                if groups and found != entry.instances:
                    yield Problem(file, f"{found} instances, the manifest says {entry.instances}")
        except (OSError, pa.ArrowException) as error:
            yield Problem(file, f"not readable as Parquet ({str(error).strip()})")

    def _counts(self, split: str) -> Counter[str]:
        return self.found.setdefault(split, Counter())

    def _check_row(self, where: str, row: dict[str, Any], split: str) -> Iterator[tuple[str | None, str]]:
        """Yields (column, message) for every problem of a row; no column where all are concerned."""
        counts = self._counts(split)
        counts["images"] += 1
        # The later checks rely on valid types and ranges.
        if misfit := find_misfit(row, tuple(column_types(self.spec.streams))):
            yield misfit
            return
        image_id, size = row["image_id"], (row["height"], row["width"])
        if image_id in self.seen:
            other, first = self.seen[image_id]
            splits = f"in split {other!r} and in {split!r}" if other != split else f"twice in {split!r}"
            yield "image_id", f"image {image_id!r} is {splits} (also {first})"
        self.seen[image_id] = (split, where)
        if not row["group"]:
            yield "group", "is empty"
        yield from self._check_pictures(row, size, (split, where))
        counts["instances"] += len(row["objects"])
        try:
            instances = decode_instances(row["instances"]["bytes"])
        except ValueError as error:
            yield "instances", str(error)
            return
        found = find_wrong_object(row, len(self.spec.classes)) or find_wrong_instance(instances, row)
        if found:
            yield found
        else:
            yield from _compare_objects(instances, row["objects"])
        self.digests.append(row_digest(split, row, instances, tuple(self.spec.streams)))

    def _check_pictures(
        self, row: dict[str, Any], size: tuple[int, int], place: tuple[str, str]
    ) -> Iterator[tuple[str | None, str]]:
        """Checks the streams and the RGB picture of a row, and that no other split has all the same."""
        pictures: list[Array] = []
        for name, stream in self.spec.streams.items():
            try:
                pictures.append(decode_tensor(row[name]))
                shape = pictures[-1].shape
                if shape != (*size, stream.channels):
                    yield name, f"shape is {shape}, not {(*size, stream.channels)}"
            except ValueError as error:
                yield name, f"not a tensor: {error}"
        if row["rgb"] is not None:
            try:
                pictures.append(decode_rgb(row["rgb"]["bytes"]))
                if pictures[-1].shape[:2] != size:
                    yield "rgb", f"size is {pictures[-1].shape[:2]}, not {size}"
            except ValueError as error:
                yield "rgb", str(error)
        elif self.spec.has_rgb:
            yield "rgb", "is empty, but the manifest says that the set has RGB"
        if len(pictures) == len(self.spec.streams) + self.spec.has_rgb:
            split, where = self.pictures.setdefault(_digest(pictures), place)
            if split != place[0]:
                yield None, f"the same picture as {where}, of split {split!r}; see `aims audit`"

    def _check_counts(self) -> Iterator[Problem]:
        for split, stated in self.dataset.manifest.splits.items():
            found = Counts(images=self.found[split]["images"], instances=self.found[split]["instances"])
            if found != stated:
                message = f"says {_describe(stated)}, the files hold {_describe(found)}"
                yield Problem(MANIFEST, message, column=f"splits.{split}")
        path = self.folder / DROPPED
        try:
            if path.exists() and count_kinds(read_lines(path, DroppedLine)) != self.dataset.manifest.dropped:
                yield Problem(DROPPED, "does not hold what the manifest counts")
        except InputError as error:
            yield Problem(DROPPED, str(error).removeprefix(str(path)).lstrip(",: "))


def _digest(pictures: Sequence[Array]) -> bytes:
    """Returns the SHA-256 of some arrays, with their dtypes and shapes."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.dtype} {picture.shape}".encode())
        digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()


def _describe(counts: Counts) -> str:
    return f"{counts.images} images with {counts.instances} instances"


def _compare_schemas(found: pa.Schema, expected: pa.Schema) -> Iterator[tuple[str, str]]:
    """Yields (column, message) for every column that is missing, unexpected or of the wrong type."""
    for name in expected.names:
        if name not in found.names:
            yield name, "column is missing"
        elif found.field(name).type != expected.field(name).type:
            yield name, f"type is {found.field(name).type}, not {expected.field(name).type}"
    for name in sorted(set(found.names) - set(expected.names)):
        yield name, "column is not in the manifest"


def _compare_objects(
    instances: NDArray[np.uint16], objects: list[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Compares the objects with those computed from the map; yields (column, message)."""
    class_ids = {entry["id"]: entry["class_id"] for entry in objects}
    for entry, expected in zip(objects, describe_objects(instances, class_ids), strict=True):
        name = f"instance {entry['id']}"
        for field in ("area", "bbox", *CLICKS):
            if entry[field] != expected[field]:
                yield f"objects.{field}", f"{name}: {entry[field]}, the map says {expected[field]}"
