"""Average precision of found objects, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aims.prediction.instances import Instances
from aims.prediction.options import Everything
from aims.prediction.scores import EVERYTHING, average_precision, evaluate_everything

TRUTH = np.zeros((20, 30), np.uint16)
TRUTH[2:10, 2:10] = 1
TRUTH[2:10, 15:25] = 2
TRUTH[15:17, 2:4] = 3  # too small to count


def found(*masks, scores=None):
    planes = np.stack(masks) if masks else np.zeros((0, 20, 30), bool)
    values = np.ones(len(planes), np.float32) if scores is None else np.array(scores, np.float32)
    return Instances.of(planes, values)


def score(*instances):
    truths = [(TRUTH, np.array([1, 2]))] * len(instances)
    return average_precision(truths, instances, Everything())


def test_all_and_nothing_else_is_one():
    scores = score(found(TRUTH == 1, TRUTH == 2))
    assert (scores.ap, scores.ap_50, scores.ap_75, scores.recall) == (1, 1, 1, 1)
    assert (scores.instances, scores.objects, scores.images) == (2, 2, 1)


def test_what_is_too_small_counts_neither_way():
    assert score(found(TRUTH == 1, TRUTH == 2, TRUTH == 3)).ap == 1


def test_one_of_two_instances_is_half_the_recall():
    scores = score(found(TRUTH == 1))
    assert scores.recall == 0.5
    # COCO's precision at 101 recalls, of which 0 to 0.5 are reached.
    assert scores.ap == pytest.approx(51 / 101)


def test_a_false_object_before_the_true_ones_halves_the_precision_at_the_first():
    false = np.zeros((20, 30), bool)
    false[12:19, 10:28] = True
    last = score(found(TRUTH == 1, TRUTH == 2, false, scores=[0.9, 0.8, 0.1]))
    first = score(found(false, TRUTH == 1, TRUTH == 2, scores=[0.9, 0.8, 0.1]))
    assert last.ap == 1
    # 2 of 3 at every recall, by COCO's interpolation.
    assert first.ap == pytest.approx(2 / 3)


def test_thresholds_of_iou():
    # 64 pixels of which 48 are found: IoU 0.75 exactly.
    part = (TRUTH == 1) & (np.arange(30) < 8)
    scores = score(found(part, TRUTH == 2))
    assert scores.ap_50 == 1
    assert scores.ap_75 == 1
    # Above, the first of two objects is false and the second true: half the precision up to half the recall.
    assert scores.ap == pytest.approx((6 * 1 + 4 * 0.5 * 51 / 101) / 10)


def test_nothing_found_is_zero():
    assert score(found(), found()).ap == 0


def test_a_run_is_scored_on_its_test_images(run_folder, made_up):
    options = Everything(points_per_side=3, stability_offset=1e-3, min_stability=0, max_share=1.0)
    scores = evaluate_everything(run_folder, made_up.folder, options, device="cpu")
    assert scores.images == len(made_up.index["test"])
    assert scores.objects
    written = json.loads((run_folder / EVERYTHING).read_text())
    assert written["ap"] == scores.ap
    assert written["points_per_side"] == 3
