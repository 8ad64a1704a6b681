"""Checks every promise of the format on a dataset folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aims.core.errors import AimsError
from aims.core.files import inside, sha256_file
from aims.data.format import (
    CARD,
    DROPPED,
    MANIFEST,
    arrow_schema,
    decode_instances,
    decode_rgb,
    decode_tensor,
    fingerprint,
    row_digest,
)
from aims.data.instances import describe_objects
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


def verify_dataset(folder: Path, *, on_progress: Callable[[int], None] = lambda images: None) -> list[Problem]:
    """Reads a whole dataset and lists everything that does not hold.

    Args:
        folder: the dataset.
        on_progress: called with the number of further images that were checked.

    Raises:
        InputError: the folder is missing or its manifest cannot be read at all.
    """
    dataset = Dataset.open(folder)
    problems = list(_check_files(dataset))
    if problems:
        # Without all files, and only those, the sums over the content mean nothing; rows are still read.
        problems += [problem for problem, _ in _check_shards(dataset, on_progress) if problem is not None]
        return problems
    digests: list[str] = []
    for problem, digest in _check_shards(dataset, on_progress):
        if problem is not None:
            problems.append(problem)
        if digest is not None:
            digests.append(digest)
    if fingerprint(dataset.spec, digests) != dataset.fingerprint:
        problems.append(Problem(file=MANIFEST, column="fingerprint", message="does not follow from the content"))
    problems += _check_counts(dataset)
    return problems


def _check_files(dataset: Dataset) -> Iterator[Problem]:
    """Every file of the manifest is there with its checksum, and nothing else is."""
    listed = dataset.manifest["files"]
    for file, entry in listed.items():
        path = inside(dataset.folder, file, where=MANIFEST)
        if not path.is_file():
            yield Problem(file=file, message="listed in the manifest but missing")
        elif sha256_file(path) != entry["sha256"]:
            yield Problem(file=file, message="checksum differs from the manifest's")
    for path in sorted((dataset.folder / "data").glob("*")):
        file = path.relative_to(dataset.folder).as_posix()
        if file not in listed:
            yield Problem(file=file, message="not listed in the manifest")
    for name in (CARD, DROPPED):
        if not (dataset.folder / name).is_file():
            yield Problem(file=name, message="missing")


def _check_shards(
    dataset: Dataset, on_progress: Callable[[int], None]
) -> Iterator[tuple[Problem | None, str | None]]:
    """Yields problems, and for every row its digest."""
    schema = arrow_schema(dataset.spec)
    seen: dict[str, tuple[str, str]] = {}
    for file, entry in dataset.manifest["files"].items():
        path = inside(dataset.folder, file, where=MANIFEST)
        if not path.is_file():
            continue
        try:
            with pq.ParquetFile(path) as parquet:
                mismatches = list(_check_schema(file, parquet, schema, entry))
                yield from ((problem, None) for problem in mismatches)
                if any(problem.column for problem in mismatches):
                    continue
                row = 0
                for group in range(parquet.num_row_groups):
                    for value in parquet.read_row_group(group).to_pylist():
                        yield from _check_row(dataset, file, row, value, entry["split"], seen)
                        row += 1
                        on_progress(1)
        except (OSError, pa.ArrowException) as error:
            yield Problem(file=file, message=f"not readable as Parquet ({str(error).strip()})"), None


def _check_schema(
    file: str, parquet: pq.ParquetFile, schema: pa.Schema, entry: dict[str, Any]
) -> Iterator[Problem]:
    found = parquet.schema_arrow
    if parquet.metadata.num_rows != entry["images"]:
        yield Problem(file=file, message=f"{parquet.metadata.num_rows} rows, the manifest says {entry['images']}")
    for name in schema.names:
        if name not in found.names:
            yield Problem(file=file, column=name, message="column is missing")
        elif found.field(name).type != schema.field(name).type:
            message = f"type is {found.field(name).type}, not {schema.field(name).type}"
            yield Problem(file=file, column=name, message=message)
    for name in set(found.names) - set(schema.names):
        yield Problem(file=file, column=name, message="column is not in the manifest")
    if b"huggingface" not in (found.metadata or {}):
        yield Problem(file=file, message="carries no Hugging Face features")


def _check_row(
    dataset: Dataset,
    file: str,
    row: int,
    value: dict[str, Any],
    split: str,
    seen: dict[str, tuple[str, str]],
) -> Iterator[tuple[Problem | None, str | None]]:
    def problem(column: str, message: str) -> tuple[Problem, None]:
        return Problem(file=file, row=row, column=column, message=message), None

    image_id, size = value["image_id"], (value["height"], value["width"])
    if image_id in seen:
        other_split, place = seen[image_id]
        where = f"in split {other_split!r} and in {split!r}" if other_split != split else f"twice in {split!r}"
        yield problem("image_id", f"image {image_id!r} is {where} (also {place})")
    seen[image_id] = (split, f"{file}, row {row}")
    if not value["group"]:
        yield problem("group", "is empty")
    for name, stream in dataset.spec.streams.items():
        try:
            shape = decode_tensor(value[name]).shape
            if shape != (*size, stream.channels):
                yield problem(name, f"shape is {shape}, not {(*size, stream.channels)}")
        except (ValueError, TypeError, KeyError) as error:
            yield problem(name, f"not a tensor: {error}")
    if value["rgb"] is not None:
        try:
            found = decode_rgb(value["rgb"]["bytes"]).shape[:2]
            if found != size:
                yield problem("rgb", f"size is {found}, not {size}")
        except ValueError as error:
            yield problem("rgb", str(error))
    elif dataset.spec.has_rgb:
        yield problem("rgb", "is empty, but the manifest says that the set has RGB")
    try:
        instances = decode_instances(value["instances"]["bytes"])
    except (ValueError, TypeError) as error:
        yield problem("instances", str(error))
        return
    if instances.shape != size:
        yield problem("instances", f"size is {instances.shape}, not {size}")
    else:
        yield from (problem(*what) for what in _check_objects(instances, value["objects"], len(dataset.spec.classes)))
    try:
        yield None, row_digest(split, value, instances, tuple(dataset.spec.streams))
    except (TypeError, KeyError) as error:
        yield problem("row", f"has no content to sum up: {error!r}")


def _check_objects(
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
            if name.startswith("click") and not _clicks(instances, found, entry["id"]):
                message = f"instance {entry['id']}: click {found} does not lie in the instance"
            yield f"objects.{name}", message


def _clicks(instances: NDArray[np.uint16], click: list[int], instance_id: int) -> bool:
    x, y = click
    height, width = instances.shape
    return 0 <= x < width and 0 <= y < height and instances[y, x] == instance_id


def _check_counts(dataset: Dataset) -> Iterator[Problem]:
    for split, stated in dataset.manifest["splits"].items():
        try:
            refs = dataset.index[split]
        except AimsError as error:
            yield Problem(file=MANIFEST, column="splits", message=str(error))
            return
        found = {"images": len(refs), "instances": sum(ref.instances for ref in refs)}
        if found != stated:
            yield Problem(file=MANIFEST, column=f"splits.{split}", message=f"says {stated}, the files hold {found}")
    lines = (dataset.folder / DROPPED).read_text("utf-8").splitlines()
    try:
        kinds = [json.loads(line)["kind"] for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        yield Problem(file=DROPPED, message=f"not readable ({error!r})")
        return
    if {kind: kinds.count(kind) for kind in set(kinds)} != dataset.manifest["dropped"]:
        yield Problem(file=DROPPED, message="does not hold what the manifest counts")
