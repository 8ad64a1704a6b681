"""Recomputes a run's scores from its stored masks and its dataset, without the model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as coco_mask

from aims.core.errors import InputError
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, METRICS, RECORD, RunRecord
from aims.core.vocabulary import PROTOCOLS, Protocol
from aims.data.verify import verify_dataset
from aims.engine.evaluate import mean_iou, score_instance
from aims.engine.restore import dataset_of
from aims.engine.samples import Targets, find_targets, split_images

#: Scores are sums and quotients of whole numbers: nothing but the order of a mean may differ.
TOLERANCE = 1e-9

Row = dict[str, Any]
# What `score_instance` gives beside the masks.
_COMPARED = ("group", "class_id", "area", "click", "click_size", "iou", "iou_grid", "iou_native")


def verify_run(
    folder: Path, data: Path, *, on_progress: Callable[[int], None] = lambda images: None
) -> list[str]:
    """Scores every test instance again, from the masks that the run stored and the truth of its dataset.

    The dataset is verified first: scores that follow from a damaged one say nothing.

    Args:
        folder: a finished run.
        data: a converted dataset or a folder of several, with the run's own among them.
        on_progress: called with the number of further images that are done.

    Returns:
        What does not follow, one line each: instance, number, what is stored and what was found.

    Raises:
        InputError: the folder is of no finished run, a file cannot be read, or the dataset is not there.
    """
    record = RunRecord.load(folder)
    dataset = dataset_of(record, data)
    if damaged := verify_dataset(dataset.folder):
        return [f"dataset {dataset.folder}: {problem}" for problem in damaged]
    problems: list[str] = []
    config, protocol = record.config, PROTOCOLS[record.config.protocol]
    refs = split_images(dataset, protocol, config.seed, config.limit)["test"]
    stored = _read_rows(folder / INSTANCES)
    by_image: dict[str, dict[int, Row]] = {}
    for row in stored:
        if by_image.setdefault(row["image_id"], {}).setdefault(row["instance_id"], row) is not row:
            problems.append(f"{INSTANCES}: {_name(row)} is there twice")
    for ref in refs:
        image = dataset.read(ref, ())
        targets = find_targets(ref, image.instances, image.objects, dataset.name, protocol)
        problems += _check_image(targets, by_image.pop(ref.image_id, {}), protocol)
        on_progress(1)
    for image_id, rows in by_image.items():
        problems.append(f"{INSTANCES}: image {image_id!r} ({len(rows)} instances) is not of the test split")
    return [*problems, *_check_scores(record, stored)]


def _read_rows(path: Path) -> list[Row]:
    try:
        with pq.ParquetFile(path) as file:
            rows: list[Row] = file.read().select(INSTANCE_SCHEMA.names).cast(INSTANCE_SCHEMA).to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{path}: not readable as the instances of a run ({error})") from None
    return rows


def _check_image(targets: Targets, rows: Mapping[int, Row], protocol: Protocol) -> Iterator[str]:
    image_id, expected = targets.ref.image_id, targets.ids.tolist()
    for instance_id in sorted(set(expected) - set(rows)):
        yield f"{INSTANCES}: instance {instance_id} of {image_id!r} is missing"
    for instance_id in sorted(set(rows) - set(expected)):
        yield f"{INSTANCES}: instance {instance_id} of {image_id!r} is not scored under this protocol"
    sizes = [targets.grid.shape, *([targets.native.shape] if protocol.name == "strict" else [])]
    for index, instance_id in enumerate(expected):
        if instance_id not in rows:
            continue
        row = rows[instance_id]
        masks = [_mask(row[name]) for name in ("rle_grid", "rle_native")[: len(sizes)]]
        if [None if mask is None else mask.shape for mask in masks] != sizes:
            yield f"{INSTANCES}: {_name(row)}: its masks are not readable, or of another size"
            continue
        grid, *native = masks
        found = score_instance(targets, index, grid, native[0] if native else None, protocol, False)
        for name in _COMPARED:
            if not _equal(row[name], found[name]):
                yield f"{INSTANCES}: {_name(row)}: {name} is {row[name]}, recomputed {found[name]}"


def _mask(rle: Mapping[str, Any] | None) -> Any:
    """The mask of a COCO RLE; None where there is none, or none that can be read."""
    try:
        height, width = rle["size"] if rle else (0, 0)
        if not 0 < height * width <= 1 << 28:
            return None
        counts = rle["counts"].encode("ascii") if rle else b""
        return coco_mask.decode({"size": [height, width], "counts": counts}).astype(np.bool_)
    except (ValueError, TypeError, UnicodeEncodeError, AttributeError):
        return None


def _check_scores(record: RunRecord, rows: Sequence[Row]) -> Iterator[str]:
    grid = [row["iou_grid"] for row in rows if row["iou_grid"] is not None]
    found: dict[str, Any] = {
        "miou": mean_iou(rows) if rows else math.nan,
        "miou_grid": sum(grid) / len(grid) if grid else None,
        "instances": len(rows),
        "images": len({row["image_id"] for row in rows}),
    }
    for name, value in found.items():
        if not _equal(record.scores.get(name), value):
            yield f"{RECORD}: {name} is {record.scores.get(name)}, recomputed {value}"
    yield from _check_selection(record)


def _check_selection(record: RunRecord) -> Iterator[str]:
    """The epoch that was taken is the best of the curve, the earlier of two equal ones."""
    path = record.path / METRICS
    if not path.is_file():
        if record.config.epochs:
            yield f"{METRICS}: is missing"
        return
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        name = f"{record.content['selected_on']}_miou"
        scored = [line for line in lines if name in line]
        best = max(scored, key=lambda line: (line[name], -line["epoch"]))
        taken = {"epoch": best["epoch"], name: best[name]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{METRICS}: not readable as the curve of a run ({error!r})"
        return
    for key, value in taken.items():
        if key in record.scores and not _equal(record.scores[key], value):
            yield f"{RECORD}: {key} is {record.scores[key]}, the best of {METRICS} has {value}"


def _name(row: Row) -> str:
    return f"instance {row['instance_id']} of {row['image_id']!r}"


def _equal(stored: Any, found: Any) -> bool:
    if isinstance(stored, float) and isinstance(found, float):
        return abs(stored - found) <= TOLERANCE
    return bool(stored == found)
