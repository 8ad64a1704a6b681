"""Recomputes a run's scores from its stored masks and its dataset, without the model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import UNSET
from pycocotools import mask as coco_mask

from aims.core.config import NO_TUNING
from aims.core.curve import EpochLine
from aims.core.errors import InputError
from aims.core.files import own_file
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, METRICS, RECORD, InstanceRow, Rle, RunRecord, Scores
from aims.core.structs import read_lines
from aims.core.vocabulary import PROTOCOLS, Protocol
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.data.verify import verify_dataset
from aims.engine.evaluate import count_images, large_iou, mean_grid_iou, mean_iou, score_instance
from aims.engine.inputs import choose_dataset
from aims.engine.masks import encode_mask
from aims.engine.restore import dataset_of
from aims.engine.samples import EvaluationTargets, find_targets, split_images
from aims.methods import BACKBONES, METHODS, TUNINGS, describe, has_model

#: Scores are sums and quotients of integers, so they differ by the order of summation of a mean at most.
TOLERANCE = 1e-9
#: Limit of the instances in memory, in bytes: a small file can decompress to any size.
LARGEST = 4 << 30

# Fields of a row from `score_instance` that are compared; masks are its input.
_COMPARED = ("group", "class_id", "area", "pixels", "click", "click_size", "iou", "iou_grid", "iou_native")
# Earlier versions did not write these: they are checked where present.
_LATER_SCORES = ("miou_large", "instances_large")
# COCO counts: each character has five bits of a number and one that says whether it continues. pycocotools
# does not check that the last number ends.
_RLE = re.compile(r"(?:[P-o]{0,5}[0-O])+")
# Rows read at once, between two checks of `LARGEST`.
_ROWS = 256


def verify_run(
    folder: Path, data: Path, *, on_progress: Callable[[int], None] = lambda images: None
) -> list[str]:
    """Recomputes the score of every test instance from the stored masks and the dataset's ground truth.

    The dataset is verified first, because scores against a damaged one mean nothing.

    Args:
        folder: folder of a finished run.
        data: a converted dataset or a folder of several, one of which is the run's.
        on_progress: called with the number of images finished since the last call.

    Returns:
        Discrepancies, one line each: instance, field, stored and recomputed value. Empty if there are none.

    Raises:
        InputError: the folder holds no finished run, a file cannot be read, or the dataset is missing.
    """
    record = RunRecord.load(folder)
    return verify_rows(record, read_rows(folder / INSTANCES), data, on_progress=on_progress)


def verify_rows(
    record: RunRecord,
    stored: Sequence[InstanceRow],
    data: Path,
    *,
    on_progress: Callable[[int], None] = lambda images: None,
) -> list[str]:
    """Verifies a record and rows in memory; see `verify_run`."""
    dataset = dataset_of(record, data)
    if damaged := verify_dataset(dataset.folder):
        return [f"dataset {dataset.folder}: {problem}" for problem in damaged]
    problems: list[str] = []
    config, protocol = record.config, PROTOCOLS[record.config.protocol]
    splits = split_images(dataset, protocol, config.seed, config.limit, config.train_images)
    refs = splits["test"]
    places = _by_place(stored)
    seen: Counter[str] = Counter()
    for ref in refs:
        image = dataset.read(ref, ())
        targets = find_targets(ref, image.instances, image.objects, dataset.name, protocol)
        problems += _check_image(targets, places.pop((ref.image_id, seen[ref.image_id]), {}), protocol)
        seen[ref.image_id] += 1
        on_progress(1)
    for (image_id, place), rows in places.items():
        if image_id in seen:
            often = "twice" if place == 1 else f"{place + 1} times"
            problems += [f"{INSTANCES}: {_name(row)} is there {often}" for row in rows.values()]
        else:
            strangers = f"image {image_id!r} ({len(rows)} instances)"
            problems.append(f"{INSTANCES}: {strangers} is not of the test split")
    return [
        *problems,
        *_check_scores(record, stored),
        *_check_selection(record),
        *_check_images(record, splits),
        *_check_parameters(record, dataset),
    ]


def read_rows(path: Path) -> list[InstanceRow]:
    """Reads the rows of instances.parquet; `pixels` is None in files of earlier versions.

    Raises:
        InputError: the file cannot be read, or takes more than `LARGEST` bytes in memory.
    """
    rows: list[InstanceRow] = []
    held = 0
    try:
        with pq.ParquetFile(own_file(path)) as file:
            there = file.schema_arrow.names
            # Files of earlier versions have no `pixels`.
            names = [name for name in INSTANCE_SCHEMA.names if name in there or name != "pixels"]
            schema = pa.schema([INSTANCE_SCHEMA.field(name) for name in names])
            for batch in file.iter_batches(_ROWS):
                held += batch.nbytes
                if held > LARGEST:
                    raise InputError(f"{path}: holds more than {LARGEST >> 30} GiB; no run's instances do")
                read = [{"pixels": None, **row} for row in batch.select(names).cast(schema).to_pylist()]
                rows += msgspec.convert(read, list[InstanceRow])
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{path}: not readable as the instances of a run ({error})") from None
    return rows


def _by_place(stored: Sequence[InstanceRow]) -> dict[tuple[str, int], dict[int, InstanceRow]]:
    """Groups rows by image and by occurrence: an image that replaces broken ones is scored repeatedly."""
    places: dict[tuple[str, int], dict[int, InstanceRow]] = {}
    often: Counter[tuple[str, int]] = Counter()
    for row in stored:
        key = row["image_id"], row["instance_id"]
        places.setdefault((key[0], often[key]), {})[key[1]] = row
        often[key] += 1
    return places


def _check_image(
    targets: EvaluationTargets, rows: Mapping[int, InstanceRow], protocol: Protocol
) -> Iterator[str]:
    image_id, expected = targets.ref.image_id, targets.ids.tolist()
    for instance_id in sorted(set(expected) - set(rows)):
        yield f"{INSTANCES}: instance {instance_id} of {image_id!r} is missing"
    for instance_id in sorted(set(rows) - set(expected)):
        yield f"{INSTANCES}: instance {instance_id} of {image_id!r} is not scored under this protocol"
    sizes = [targets.grid.shape, *([targets.native.shape] if protocol.at_native else [])]
    for index, instance_id in enumerate(expected):
        if instance_id not in rows:
            continue
        row = rows[instance_id]
        stored = (row["rle_grid"], row["rle_native"])
        masks = [_mask(rle, size) for rle, size in zip(stored, sizes, strict=False)]
        if any(mask is None for mask in masks):
            yield f"{INSTANCES}: {_name(row)}: its masks are not readable, or of another size"
            continue
        grid, *native = masks
        found = score_instance(targets, index, grid, native[0] if native else None, protocol, False)
        # Earlier versions did not write `pixels`, which the scores of large instances need.
        row["pixels"] = found["pixels"] if row["pixels"] is None else row["pixels"]
        for name in _COMPARED:
            said, value = row.get(name), found.get(name)
            if not _equal(said, value):
                yield f"{INSTANCES}: {_name(row)}: {name} is {said}, recomputed {value}"


def _mask(rle: Rle | None, size: tuple[int, int]) -> Any:
    """Decodes a COCO RLE; None if it is missing, has another size, or is invalid."""
    if rle is None or rle["size"] != list(size) or not _RLE.fullmatch(rle["counts"] or ""):
        return None
    try:
        mask = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    except ValueError:
        return None
    # The decoder leaves pixels beyond the counts uninitialised, so the mask has to encode to the same counts.
    return mask.astype(np.bool_) if encode_mask(mask) == rle else None


def _check_scores(record: RunRecord, rows: Sequence[InstanceRow]) -> Iterator[str]:
    # Records of version 1 count an image once, even if it replaces several broken ones.
    images = count_images(rows) if record.content.version > 1 else len({row["image_id"] for row in rows})
    large, number = large_iou(rows) if all(row["pixels"] for row in rows) else (None, None)
    found = Scores(
        miou=mean_iou(rows) if rows else math.nan,
        instances=len(rows),
        images=images,
        epoch=record.scores.epoch,
        val_miou=record.scores.val_miou,
        miou_large=large,
        instances_large=number,
        miou_grid=mean_grid_iou(rows),
    )
    said_large = record.scores.instances_large is not None or record.scores.miou_large is not UNSET
    unknown = () if number is not None and said_large else _LATER_SCORES
    for name in (name for name in Scores.__struct_fields__ if name not in unknown):
        said, value = (getattr(scores, name) for scores in (record.scores, found))
        if not _equal(said, value):
            yield f"{RECORD}: {name} is {said}, recomputed {value}"


def _check_images(record: RunRecord, splits: Mapping[str, Sequence[ImageRef]]) -> Iterator[str]:
    said = record.content.images or {}
    for split, refs in splits.items():
        count = said.get(split)
        # Training images without an instance of sufficient size are not counted.
        possible = range(1, len(refs) + 1) if split == "train" else (len(refs),)
        if count not in possible:
            yield f"{RECORD}: {count} images of {split}, the dataset has {len(refs)}"


def _check_parameters(record: RunRecord, dataset: Dataset) -> Iterator[str]:
    """Recounts the parameters, unless the method belongs to another package that is not installed."""
    config, protocol = record.config, PROTOCOLS[record.config.protocol]
    known = config.method in METHODS and (not has_model(config.method) or config.backbone in BACKBONES)
    if not known or config.tuning not in (*TUNINGS, NO_TUNING):
        return
    try:
        _, modality = choose_dataset([dataset], config.modality, protocol)
        found = describe(
            method=config.method,
            tuning=config.tuning,
            backbone=config.backbone,
            channels=modality.channels or 0,
            options=config.options,
        ).parameters.as_json()
    except InputError as error:
        yield f"{RECORD}: its configuration cannot be built ({error})"
        return
    said = msgspec.to_builtins(record.content.parameters)
    if said != found:
        yield f"{RECORD}: parameters are {said}, recomputed {found}"


def _check_selection(record: RunRecord) -> Iterator[str]:
    """Checks that the selected epoch has the best score in metrics.jsonl; ties go to the earlier one."""
    path = record.path / METRICS
    if not path.is_file():
        if record.config.epochs:
            yield f"{METRICS}: is missing"
        return
    try:
        lines = read_lines(path, EpochLine)
    except InputError as error:
        yield str(error)
        return
    split = "test" if record.content.selected_on == "test" else "val"
    scored = [(miou, -line.epoch) for line in lines if (miou := line.miou(split)) is not None]
    if not scored:
        yield f"{METRICS}: no epoch was scored on {split}"
        return
    miou, epoch = max(scored)
    if record.scores.epoch != -epoch:
        yield f"{RECORD}: epoch is {record.scores.epoch}, the best of {METRICS} has {-epoch}"
    if record.scores.val_miou is not None and not _equal(record.scores.val_miou, miou):
        yield f"{RECORD}: val_miou is {record.scores.val_miou}, the best of {METRICS} has {miou}"


def _name(row: InstanceRow) -> str:
    return f"instance {row['instance_id']} of {row['image_id']!r}"


def _equal(stored: Any, found: Any) -> bool:
    if isinstance(stored, float) and isinstance(found, float):
        return abs(stored - found) <= TOLERANCE
    return bool(stored == found)
