"""Checks every promise of the format on a dataset folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aims.core.errors import InputError
from aims.core.files import inside, sha256_file
from aims.core.structs import read_lines
from aims.data.cells import all_columns, find_misfit
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
from aims.data.read import Dataset


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken promise.

    Attributes:
        file: path below the dataset folder.
        row: row in the file, from 0; None where the whole file is meant.
        column: column, or entry of the manifest; None where the whole row or file is meant.
        message: what is wrong.
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
    """Reads a whole dataset and lists everything that does not hold.

    Args:
        folder: the dataset.
        on_progress: called with the number of further images that were checked.

    Raises:
        InputError: the folder is missing or its manifest cannot be read at all.
    """
    return _Check(Dataset.open(folder), on_progress).run()


class _Check:
    """One walk through a dataset, and what it has found so far."""

    def __init__(self, dataset: Dataset, on_progress: Callable[[int], None]) -> None:
        self.dataset = dataset
        self.on_progress = on_progress
        self.problems: list[Problem] = []
        self.digests: list[str] = []
        self.seen: dict[str, tuple[str, str]] = {}
        self.found = {split: Counter[str]() for split in dataset.manifest.splits}

    def run(self) -> list[Problem]:
        listed = self.dataset.manifest.files
        paths = {file: inside(self.dataset.folder, file, where=MANIFEST) for file in listed}
        self._check_files(paths)
        for file, path in paths.items():
            if path.is_file():
                self._check_shard(file, path, listed[file])
        if fingerprint(self.dataset.spec, self.digests) != self.dataset.fingerprint:
            self._add(MANIFEST, "does not follow from the content", column="fingerprint")
        self._check_counts()
        return self.problems

    def _add(self, file: str, message: str, *, row: int | None = None, column: str | None = None) -> None:
        self.problems.append(Problem(file=file, message=message, row=row, column=column))

    def _check_files(self, paths: dict[str, Path]) -> None:
        """Every file of the manifest is there with its checksum, and nothing else is."""
        for file, path in paths.items():
            if not path.is_file():
                self._add(file, "listed in the manifest but missing")
            elif sha256_file(path) != self.dataset.manifest.files[file].sha256:
                self._add(file, "checksum differs from the manifest's")
            if self.dataset.manifest.files[file].split not in self.found:
                self._add(MANIFEST, f"{file} is of a split that is not listed", column="files")
        for path in sorted((self.dataset.folder / "data").glob("*")):
            file = path.relative_to(self.dataset.folder).as_posix()
            if file not in paths:
                self._add(file, "not listed in the manifest")
        for name in (CARD, DROPPED):
            if not (self.dataset.folder / name).is_file():
                self._add(name, "missing")

    def _check_shard(self, file: str, path: Path, entry: FileEntry) -> None:
        try:
            with pq.ParquetFile(path) as parquet:
                if not self._check_schema(file, parquet, entry):
                    return
                row = 0
                for group in range(parquet.num_row_groups):
                    for value in parquet.read_row_group(group).to_pylist():
                        self._check_row(file, row, value, entry.split)
                        row += 1
                        self.on_progress(1)
        except (OSError, pa.ArrowException) as error:
            self._add(file, f"not readable as Parquet ({str(error).strip()})")

    def _check_schema(self, file: str, parquet: pq.ParquetFile, entry: FileEntry) -> bool:
        """Checks what can be told without reading rows; False if the rows make no sense then."""
        found, schema = parquet.schema_arrow, arrow_schema(self.dataset.spec)
        before = len(self.problems)
        for name in schema.names:
            if name not in found.names:
                self._add(file, "column is missing", column=name)
            elif found.field(name).type != schema.field(name).type:
                message = f"type is {found.field(name).type}, not {schema.field(name).type}"
                self._add(file, message, column=name)
        for name in sorted(set(found.names) - set(schema.names)):
            self._add(file, "column is not in the manifest", column=name)
        readable = len(self.problems) == before
        if b"huggingface" not in (found.metadata or {}):
            self._add(file, "carries no Hugging Face features")
        if parquet.metadata.num_rows != entry.images:
            self._add(file, f"{parquet.metadata.num_rows} rows, the manifest says {entry.images}")
        return readable

    def _check_row(self, file: str, row: int, value: dict[str, Any], split: str) -> None:
        def problem(column: str, message: str) -> None:
            self._add(file, message, row=row, column=column)

        counts = self.found.setdefault(split, Counter())
        counts["images"] += 1
        misfit = find_misfit(value, all_columns(tuple(self.dataset.spec.streams)))
        if misfit:
            problem(*misfit)
            return
        image_id, size = value["image_id"], (value["height"], value["width"])
        if image_id in self.seen:
            other, place = self.seen[image_id]
            where = f"in split {other!r} and in {split!r}" if other != split else f"twice in {split!r}"
            problem("image_id", f"image {image_id!r} is {where} (also {place})")
        self.seen[image_id] = (split, f"{file}, row {row}")
        if not value["group"]:
            problem("group", "is empty")
        self._check_pictures(value, size, problem)
        objects = value["objects"]
        counts["instances"] += len(objects)
        try:
            instances = decode_instances(value["instances"]["bytes"])
        except ValueError as error:
            problem("instances", str(error))
            return
        if instances.shape != size:
            problem("instances", f"size is {instances.shape}, not {size}")
        else:
            for column, message in _compare_objects(instances, objects, len(self.dataset.spec.classes)):
                problem(column, message)
        self.digests.append(row_digest(split, value, instances, tuple(self.dataset.spec.streams)))

    def _check_pictures(
        self, value: dict[str, Any], size: tuple[int, int], problem: Callable[[str, str], None]
    ) -> None:
        for name, stream in self.dataset.spec.streams.items():
            try:
                shape = decode_tensor(value[name]).shape
                if shape != (*size, stream.channels):
                    problem(name, f"shape is {shape}, not {(*size, stream.channels)}")
            except ValueError as error:
                problem(name, f"not a tensor: {error}")
        if value["rgb"] is None:
            if self.dataset.spec.has_rgb:
                problem("rgb", "is empty, but the manifest says that the set has RGB")
            return
        try:
            found = decode_rgb(value["rgb"]["bytes"]).shape[:2]
            if found != size:
                problem("rgb", f"size is {found}, not {size}")
        except ValueError as error:
            problem("rgb", str(error))

    def _check_counts(self) -> None:
        for split, stated in self.dataset.manifest.splits.items():
            found = Counts(images=self.found[split]["images"], instances=self.found[split]["instances"])
            if found != stated:
                message = f"says {_words(stated)}, the files hold {_words(found)}"
                self._add(MANIFEST, message, column=f"splits.{split}")
        if not (self.dataset.folder / DROPPED).exists():
            return
        try:
            kinds = count_kinds(read_lines(self.dataset.folder / DROPPED, DroppedLine))
        except InputError as error:
            self._add(DROPPED, str(error).removeprefix(str(self.dataset.folder / DROPPED)).lstrip(",: "))
            return
        if kinds != self.dataset.manifest.dropped:
            self._add(DROPPED, "does not hold what the manifest counts")


def _words(counts: Counts) -> str:
    return f"{counts.images} images with {counts.instances} instances"


def _compare_objects(
    instances: NDArray[np.uint16], objects: list[dict[str, Any]], classes: int
) -> Iterator[tuple[str, str]]:
    """Compares the objects with what the map says; yields (column, message)."""
    ids = np.unique(instances)
    ids = ids[ids != 0].tolist()
    if ids != list(range(1, len(ids) + 1)):
        yield "instances", f"ids are not dense 1..{len(ids)}"
        return
    if [entry["id"] for entry in objects] != ids:
        yield "objects", f"ids {[entry['id'] for entry in objects]} are not the map's 1..{len(ids)}"
        return
    class_ids = {entry["id"]: entry["class_id"] for entry in objects}
    for entry, expected in zip(objects, describe_objects(instances, class_ids), strict=True):
        if not 1 <= entry["class_id"] <= classes:
            yield "objects.class_id", f"instance {entry['id']}: class {entry['class_id']} of {classes}"
        for name in ("area", "bbox", "click_paper", "click_strict"):
            found = entry[name]
            if found == expected[name]:
                continue
            message = f"instance {entry['id']}: {found}, the map says {expected[name]}"
            if name.startswith("click") and not _contains(instances, found, entry["id"]):
                message = f"instance {entry['id']}: click {found} does not lie in the instance"
            yield f"objects.{name}", message


def _contains(instances: NDArray[np.uint16], click: list[int], instance_id: int) -> bool:
    x, y = click
    height, width = instances.shape
    return 0 <= x < width and 0 <= y < height and bool(instances[y, x] == instance_id)
