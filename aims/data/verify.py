"""Verifies every invariant of the format on a dataset folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aims.core.columns import CLICKS, column_types
from aims.core.errors import InputError
from aims.core.files import inside, sha256_file
from aims.core.structs import read_lines
from aims.data.cells import find_misfit
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
from aims.data.instances import count_pixels, describe_objects
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
    return list(_Check(Dataset.open(folder), on_progress).run())


class _Check:
    """One pass over a dataset; collects the digests, image ids and counts that span several rows."""

    def __init__(self, dataset: Dataset, on_progress: Callable[[int], None]) -> None:
        self.dataset, self.spec, self.folder = dataset, dataset.spec, dataset.folder
        self.on_progress = on_progress
        self.digests: list[str] = []
        self.seen: dict[str, tuple[str, str]] = {}
        self.found = {split: Counter[str]() for split in dataset.manifest.splits}

    def run(self) -> Iterator[Problem]:
        files = self.dataset.manifest.files
        paths = {file: inside(self.folder, file, where=MANIFEST) for file in files}
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
        for path in sorted((self.folder / "data").glob("*")):
            file = path.relative_to(self.folder).as_posix()
            if file not in paths:
                yield Problem(file, "not listed in the manifest")
        for name in (CARD, DROPPED):
            if not (self.folder / name).is_file():
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
                # With a wrong schema every row would be reported, so none is read.
                groups = () if wrong else range(parquet.num_row_groups)
                rows = (value for group in groups for value in read_rows(parquet, group))
                for row, value in enumerate(rows):
                    for column, message in self._check_row(f"{file}, row {row}", value, entry.split):
                        yield Problem(file, message, row=row, column=column)
                    self.on_progress(1)
        except (OSError, pa.ArrowException) as error:
            yield Problem(file, f"not readable as Parquet ({str(error).strip()})")

    def _check_row(self, where: str, row: dict[str, Any], split: str) -> Iterator[tuple[str, str]]:
        """Yields (column, message) for every problem of a row."""
        counts = self.found.setdefault(split, Counter())
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
        yield from self._check_pictures(row, size)
        counts["instances"] += len(row["objects"])
        try:
            instances = decode_instances(row["instances"]["bytes"])
        except ValueError as error:
            yield "instances", str(error)
            return
        if instances.shape != size:
            yield "instances", f"size is {instances.shape}, not {size}"
        else:
            yield from _compare_objects(instances, row["objects"], len(self.spec.classes))
        self.digests.append(row_digest(split, row, instances, tuple(self.spec.streams)))

    def _check_pictures(self, row: dict[str, Any], size: tuple[int, int]) -> Iterator[tuple[str, str]]:
        for name, stream in self.spec.streams.items():
            try:
                shape = decode_tensor(row[name]).shape
                if shape != (*size, stream.channels):
                    yield name, f"shape is {shape}, not {(*size, stream.channels)}"
            except ValueError as error:
                yield name, f"not a tensor: {error}"
        if row["rgb"] is None:
            if self.spec.has_rgb:
                yield "rgb", "is empty, but the manifest says that the set has RGB"
            return
        try:
            found = decode_rgb(row["rgb"]["bytes"]).shape[:2]
            if found != size:
                yield "rgb", f"size is {found}, not {size}"
        except ValueError as error:
            yield "rgb", str(error)

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
    instances: NDArray[np.uint16], objects: list[dict[str, Any]], classes: int
) -> Iterator[tuple[str, str]]:
    """Compares the objects with those computed from the map; yields (column, message)."""
    ids = (np.flatnonzero(count_pixels(instances)[1:]) + 1).tolist()
    if ids != list(range(1, len(ids) + 1)):
        yield "instances", f"ids are not dense 1..{len(ids)}"
        return
    if [entry["id"] for entry in objects] != ids:
        yield "objects", f"ids {[entry['id'] for entry in objects]} are not the map's 1..{len(ids)}"
        return
    class_ids = {entry["id"]: entry["class_id"] for entry in objects}
    for entry, expected in zip(objects, describe_objects(instances, class_ids), strict=True):
        name = f"instance {entry['id']}"
        if not 1 <= entry["class_id"] <= classes:
            yield "objects.class_id", f"{name}: class {entry['class_id']} of {classes}"
        for field in ("area", "bbox", *CLICKS):
            found = entry[field]
            if field in CLICKS and not _contains(instances, found, entry["id"]):
                yield f"objects.{field}", f"{name}: click {found} does not lie in the instance"
            elif found != expected[field]:
                yield f"objects.{field}", f"{name}: {found}, the map says {expected[field]}"


def _contains(instances: NDArray[np.uint16], click: list[int], instance_id: int) -> bool:
    (x, y), (height, width) = click, instances.shape
    return x < width and y < height and bool(instances[y, x] == instance_id)
