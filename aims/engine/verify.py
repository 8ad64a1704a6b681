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
from msgspec import UNSET
from pycocotools import mask as coco_mask

from aims.core.errors import InputError
from aims.core.instance_files import read_batches, unreadable
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, RECORD, InstanceRow, Rle, RunRecord, Scores
from aims.core.vocabulary import PROTOCOLS, Protocol
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.data.verify import verify_dataset
from aims.engine.claims import check_claims, same
from aims.engine.evaluate import count_images, large_iou, mean_grid_iou, mean_iou, score_instance
from aims.engine.masks import encode_mask
from aims.engine.rerun import Rerun, require_weights, rerun
from aims.engine.restore import dataset_of
from aims.engine.samples import EvaluationTargets, find_targets, split_images

# Fields of a row from `score_instance` that are compared; masks are its input.
_COMPARED = ("group", "class_id", "area", "pixels", "click", "click_size", "iou", "iou_grid", "iou_native")
# Earlier versions did not write these: they are checked where present.
_LATER_SCORES = ("miou_large", "instances_large")
# COCO counts: each character has five bits of a number and one that says whether it continues. pycocotools
# does not check that the last number ends.
_RLE = re.compile(r"(?:[P-o]{0,5}[0-O])+")


def verify_run(
    folder: Path,
    data: Path,
    *,
    again: Rerun | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> list[str]:
    """Recomputes the score of every test instance from the stored masks and the dataset's ground truth.

    The dataset is verified first, because scores against a damaged one mean nothing, and says how many rows
    are read at most.

    Args:
        folder: folder of a finished run.
        data: a converted dataset or a folder of several, one of which is the run's.
        again: how the run's masks are predicted again, if nothing else is wrong; None for not at all.
        on_progress: called with the number of images finished since the last call: each once, or twice with
            `again`.

    Returns:
        Discrepancies, one line each: instance, field, stored and recomputed value. Empty if there are none.

    Raises:
        InputError: the folder holds no finished run, the dataset is missing, or weights that `again` needs.
    """
    record = RunRecord.load(folder)
    if again is not None:
        require_weights(record)
    dataset = dataset_of(record, data)
    if damaged := verify_dataset(dataset.folder):
        return [f"dataset {dataset.folder}: {problem}" for problem in damaged]
    config, protocol = record.config, PROTOCOLS[record.config.protocol]
    splits = split_images(dataset, protocol, config.seed, config.limit, config.train_images)
    try:
        stored = read_rows(folder / INSTANCES, sum(ref.instances for ref in splits["test"]))
    except InputError as error:
        return [str(error)]
    problems = [
        *_check_rows(stored, dataset, splits["test"], protocol, on_progress),
        *_check_scores(record, stored),
        *check_claims(record, dataset, splits),
    ]
    if problems or again is None:
        return problems
    return rerun(record, stored, dataset, splits, again, on_progress=on_progress)


def _check_rows(
    stored: Sequence[InstanceRow],
    dataset: Dataset,
    refs: Sequence[ImageRef],
    protocol: Protocol,
    on_progress: Callable[[int], None],
) -> Iterator[str]:
    places = _by_place(stored)
    seen: Counter[str] = Counter()
    for ref in refs:
        image = dataset.read(ref, ())
        targets = find_targets(ref, image.instances, image.objects, dataset.name, protocol)
        yield from _check_image(targets, places.pop((ref.image_id, seen[ref.image_id]), {}), protocol)
        seen[ref.image_id] += 1
        on_progress(1)
    for (image_id, place), rows in places.items():
        if image_id in seen:
            often = "twice" if place == 1 else f"{place + 1} times"
            yield from (f"{INSTANCES}: {_name(row)} is there {often}" for row in rows.values())
        else:
            strangers = f"image {image_id!r} ({len(rows)} instances)"
            yield f"{INSTANCES}: {strangers} is not of the test split"


def read_rows(path: Path, most: int) -> list[InstanceRow]:
    """Reads the rows of instances.parquet; `pixels` is None in files of earlier versions.

    Args:
        path: the file.
        most: largest number of rows, checked before any is read.

    Raises:
        InputError: the file cannot be read, or exceeds a bound (`aims.core.instance_files`).
    """
    required = [name for name in INSTANCE_SCHEMA.names if name != "pixels"]
    rows: list[InstanceRow] = []
    try:
        for batch in read_batches(path, required, optional=["pixels"], most=most):
            schema = pa.schema([INSTANCE_SCHEMA.field(name) for name in batch.schema.names])
            read = [{"pixels": None, **row} for row in batch.cast(schema).to_pylist()]
            rows += msgspec.convert(read, list[InstanceRow])
    except (ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None
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
        if not native and row["rle_native"] is not None:
            yield f"{INSTANCES}: {_name(row)}: has a mask at a size at which its protocol scores none"
        found = score_instance(targets, index, grid, native[0] if native else None, protocol, False)
        # Earlier versions did not write `pixels`, which the scores of large instances need.
        row["pixels"] = found["pixels"] if row["pixels"] is None else row["pixels"]
        for name in _COMPARED:
            said, value = row.get(name), found.get(name)
            if not same(said, value):
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
        if not same(said, value):
            yield f"{RECORD}: {name} is {said}, recomputed {value}"


def _name(row: InstanceRow) -> str:
    return f"instance {row['instance_id']} of {row['image_id']!r}"
