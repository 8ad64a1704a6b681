"""Predicts a run's masks again with its weights: the only proof that they come from its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.core.records import INSTANCES, RECORD, WEIGHTS, InstanceRow, Rle, RunRecord
from aims.core.vocabulary import TRAINING_PROMPTS
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.engine.claims import TWICE
from aims.engine.evaluate import evaluate, mean_iou
from aims.engine.floors import run_floor
from aims.engine.restore import load_model, source_of
from aims.engine.train import RunObserver
from aims.models.segmenter import Segmenter

#: Share of the pixels of two masks' union that may differ, by precision: other hardware rounds otherwise.
TOLERANCES = MappingProxyType({"float32": 0.01, "bf16": 0.05})
# Pixels that may differ in any case: of a small mask one is a large share.
_FEW = 4


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """Settings of a rerun.

    Attributes:
        weights: the pretrained weights that runs started from; None for those found by their checksum.
        device: device to compute on.
    """

    weights: Path | None = None
    device: torch.device


def require_weights(record: RunRecord) -> None:
    """Raises InputError unless a run's folder holds what it trained, if it trained anything."""
    if record.config.tuning != NO_TUNING and not (record.path / WEIGHTS).is_file():
        raise InputError(
            f"{record.path}: holds no weights, so that its masks cannot be predicted again; leave --rerun "
            "out, or ask for a file of `aims submit --weights`"
        )


def rerun(
    record: RunRecord,
    stored: Sequence[InstanceRow],
    dataset: Dataset,
    splits: Mapping[str, tuple[ImageRef, ...]],
    how: Rerun,
    *,
    on_progress: Callable[[int], None] = lambda images: None,
) -> list[str]:
    """Evaluates the model of a run, or fits and scores its floor, and compares every mask.

    Nothing is trained. The validation score is recomputed, too.

    Args:
        record: record of the run.
        stored: its rows, which are one for each instance of the test split, in order.
        dataset: its dataset.
        splits: the images of train, test and, where the protocol has one, val.
        how: weights and device.
        on_progress: called with the number of test images finished since the last call.

    Returns:
        Discrepancies, one line each.

    Raises:
        InputError: the weights of the run, or those that it started from, are missing, damaged or others.
    """
    if record.config.is_floor:
        outcome = run_floor(record.config, dataset, splits, RunObserver())
        on_progress(len(splits["test"]))
        rows, val_miou = outcome.rows, outcome.val_miou
        chosen: Mapping[str, float] = outcome.chosen
    else:
        rows, val_miou = _evaluate(record, dataset, splits, how, on_progress)
        chosen = record.content.chosen or {}
    problems = [*_compare(stored, rows, TOLERANCES[record.config.precision])]
    if (said := record.content.chosen or {}) != chosen:
        problems.append(f"{RECORD}: chosen are {dict(said)}, the rerun chose {dict(chosen)}")
    said_miou = record.scores.val_miou
    if said_miou is not None and (val_miou is None or abs(said_miou - val_miou) > TWICE):
        problems.append(f"{RECORD}: val_miou is {said_miou}, the rerun scores {val_miou}")
    return problems


def _evaluate(
    record: RunRecord,
    dataset: Dataset,
    splits: Mapping[str, tuple[ImageRef, ...]],
    how: Rerun,
    on_progress: Callable[[int], None],
) -> tuple[list[InstanceRow], float | None]:
    """Returns the rows of the test split, and the validation score if the record has one."""
    config, source = record.config, source_of(record, dataset)
    model: Segmenter = load_model(record.path, how.weights).to(how.device)
    model.path = "stock" if record.content.path == "stock" else "fast"
    given: dict[str, Any] = {"precision": config.precision}
    rows = evaluate(model, source, splits["test"], masks=True, on_image=on_progress, **given)
    if record.scores.val_miou is None or "val" not in splits:
        return rows, None
    boxes = TRAINING_PROMPTS[config.prompts].boxes_alone
    return rows, mean_iou(evaluate(model, source, splits["val"], masks=False, boxes=boxes, **given))


def _compare(stored: Sequence[InstanceRow], found: Sequence[InstanceRow], most: float) -> Iterator[str]:
    """Compares every mask with that of the rerun."""
    for said, row in zip(_in_order(stored), _in_order(found), strict=True):
        for size in ("rle_grid", "rle_native"):
            share = _difference(said[size], row[size])
            if share > most:
                yield (
                    f"{INSTANCES}: instance {row['instance_id']} of {row['image_id']!r}: {100 * share:.1f} % "
                    f"of its mask differ from what its model predicts here ({size}, at most {100 * most:g} %)"
                )


def _in_order(rows: Sequence[InstanceRow]) -> list[InstanceRow]:
    # Copies of an image that stands in for broken ones have equal masks: their order does not matter.
    return sorted(rows, key=lambda row: (row["image_id"], row["instance_id"]))


def _difference(one: Rle | None, other: Rle | None) -> float:
    """Returns the share of the union of two masks in which they differ; 0 for up to `_FEW` pixels."""
    if one == other:
        return 0.0
    if one is None or other is None:
        return 1.0
    masks = [coco_mask.decode({**rle, "counts": rle["counts"].encode("ascii")}) for rle in (one, other)]
    differing = int(np.count_nonzero(masks[0] != masks[1]))
    return 0.0 if differing <= _FEW else differing / int(np.count_nonzero(masks[0] | masks[1]))
