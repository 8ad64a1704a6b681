"""More clicks, boxes, clicks anywhere, boundary IoU."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import toys

from aims.core.errors import InputError
from aims.engine import evaluate as evaluating
from aims.engine import prompts
from aims.engine.prompt_scores import boundary_iou, clicks_until, next_click, summarize
from aims.engine.prompts import PROMPT_SCHEMA, PromptPlan, evaluate_run
from aims.engine.run import run


def block(shape, top, left, bottom, right):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


NOTHING = np.zeros((20, 30), bool)


def test_the_next_click_is_in_the_middle_of_the_largest_error():
    truth = block((20, 30), 2, 2, 11, 11)
    # All of it is missing, and a smaller block is too much.
    assert next_click(block((20, 30), 14, 20, 19, 25), truth, NOTHING) == ((6, 6), 1)
    # It is found, and a larger block is too much.
    extra = block((20, 30), 5, 15, 18, 28)
    assert next_click(truth | extra, truth, NOTHING) == ((21, 11), 0)


def test_the_pictures_border_is_an_edge_and_no_pixel_is_clicked_twice():
    truth = block((20, 30), 0, 0, 5, 30)
    (x, y), sign = next_click(NOTHING, truth, NOTHING)
    assert (y, sign) == (2, 1)
    taken = NOTHING.copy()
    taken[y, x] = True
    assert next_click(NOTHING, truth, taken)[0] != (x, y)


def test_without_an_error_the_click_is_padding():
    truth = block((20, 30), 2, 2, 9, 9)
    assert next_click(truth, truth, NOTHING) == ((0, 0), -1)


def test_clicks_until():
    assert clicks_until([0.5, 0.85, 0.8], 0.85) == 2
    assert clicks_until([0.5, 0.7], 0.85) is None


def test_boundary_iou_by_hand():
    # The diagonal of 60 x 80 is 100: boundaries are two pixels wide.
    shape = (60, 80)
    square = block(shape, 10, 10, 30, 30)
    assert boundary_iou(square, square) == 1
    ring = 20 * 20 - 16 * 16
    assert boundary_iou(square, np.zeros(shape, bool)) == 0
    # Moved by four pixels to the right, the upper and lower edges overlap by 16 columns of two rows, and
    # nothing else does but the corners' sides.
    moved = block(shape, 10, 14, 30, 34)
    rings = [each & ~block(shape, 12, left + 2, 28, left + 18) for each, left in ((square, 10), (moved, 14))]
    both = (rings[0] & rings[1]).sum()
    assert boundary_iou(square, moved) == pytest.approx(both / (2 * ring - both))
    # The picture's border counts as an edge: a mask of everything has a boundary.
    everything = np.ones(shape, bool)
    assert boundary_iou(everything, block(shape, 2, 2, 58, 78)) == 0
    assert boundary_iou(np.zeros(shape, bool), np.zeros(shape, bool)) == 1


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


@pytest.fixture(scope="module", params=["strict", "paper"])
def asked(request, dataset, tmp_path_factory):
    """A toy run, and what it answers."""
    runs = tmp_path_factory.mktemp(request.param)
    record, _ = run(toys.job(dataset, runs, epochs=6, protocol=request.param))
    report = evaluate_run(record.path, dataset.folder, PromptPlan(clicks=4, jitter=3, seed=1))
    return record, report.rows, report


def test_the_first_click_scores_what_the_run_scored(asked):
    record, rows, report = asked
    stored = pq.read_table(record.path / "instances.parquet").to_pylist()
    assert [(row["image_id"], row["instance_id"]) for row in rows] == [
        (row["image_id"], row["instance_id"]) for row in stored
    ]
    for row, expected in zip(rows, stored, strict=True):
        assert row["iou_clicks"][0] == pytest.approx(expected["iou"], abs=1e-6)
    assert report.scores.miou_clicks[0] == pytest.approx(record.scores.miou, abs=1e-6)


def test_rows_and_means_agree_and_are_written(asked):
    record, rows, report = asked
    assert all(len(row["iou_clicks"]) == 4 and len(row["iou_jitter"]) == 3 for row in rows)
    assert all(
        0 <= row[name] <= 1 for row in rows for name in ("iou_box", "boundary_iou", "boundary_iou_box")
    )
    table = pq.read_table(record.path / "prompts.parquet")
    assert table.schema.equals(PROMPT_SCHEMA)
    assert table.to_pylist() == rows
    assert json.loads((record.path / "prompts.json").read_text()) == report.as_json()
    by_class = report.scores.by_class.values()
    assert sum(each.instances for each in by_class) == len(rows)
    total = sum(each.instances * each.miou for each in by_class)
    assert total / len(rows) == pytest.approx(report.scores.miou_clicks[0])
    assert sum(each.instances for each in report.scores.by_size.values()) == len(rows)


def test_the_same_seed_gives_the_same_clicks(asked, dataset):
    record, rows, _ = asked
    again = evaluate_run(record.path, dataset.folder, PromptPlan(clicks=1, jitter=3, seed=1)).rows
    other = evaluate_run(record.path, dataset.folder, PromptPlan(clicks=1, jitter=3, seed=2)).rows
    jitter = [[row["iou_jitter"] for row in found] for found in (rows, again, other)]
    np.testing.assert_allclose(jitter[0], jitter[1], atol=1e-6)
    assert np.abs(np.array(jitter[0]) - np.array(jitter[2])).max() > 1e-3


def test_large_images_are_asked_few_instances_at_a_time(asked, dataset, monkeypatch):
    record, rows, _ = asked
    most = []

    def predict(model, embeddings, coords, *given, **options):
        most.append(len(coords))
        return evaluating.predict(model, embeddings, coords, *given, **options)

    monkeypatch.setattr(prompts, "predict", predict)
    monkeypatch.setattr(prompts, "PIXELS", 1)
    report = evaluate_run(record.path, dataset.folder, PromptPlan(clicks=4, jitter=3, seed=1))
    # Without that, the masks of all instances lie in memory for as long as clicks are corrected.
    assert set(most) == {1}
    for one, other in zip(report.rows, rows, strict=True):
        assert one["instance_id"] == other["instance_id"]
        for name in ("iou_clicks", "iou_jitter", "iou_box", "boundary_iou"):
            assert one[name] == pytest.approx(other[name], abs=1e-6)


@pytest.mark.parametrize("last_mask", [True, False])
def test_further_clicks_come_with_the_answer_before(asked, dataset, monkeypatch, last_mask):
    record, rows, _ = asked
    given, before = [], {}

    def predict(model, embeddings, coords, labels, boxes, masks, *, precision):
        logits, iou = evaluating.predict(model, embeddings, coords, labels, boxes, masks, precision=precision)
        if boxes is None:
            given.append(masks is not None)
            # Of the same image: the clicks of this call begin with those of the one before.
            if masks is not None:
                key = coords[:, :-1].numpy().tobytes()
                assert torch.equal(masks[:, 0], before[key])
            before[coords.numpy().tobytes()] = logits
        return logits, iou

    monkeypatch.setattr(prompts, "predict", predict)
    plan = PromptPlan(clicks=3, jitter=1, seed=1, last_mask=last_mask)
    report = evaluate_run(record.path, dataset.folder, plan)
    images = report.scores.images
    # Of each image: three clicks, of which two are further ones, and a click anywhere.
    assert given == [False, last_mask, last_mask, False] * images
    assert report.as_json()["last_mask"] is last_mask
    found = np.array([row["iou_clicks"] for row in report.rows])
    usual = np.array([row["iou_clicks"][:3] for row in rows])
    np.testing.assert_allclose(found[:, 0], usual[:, 0], atol=1e-6)
    assert np.allclose(found, usual, atol=1e-6) is not last_mask


def test_a_first_click_that_brought_no_mask_is_not_repeated(dataset, tmp_path, monkeypatch):
    record, _ = run(toys.job(dataset, tmp_path, epochs=1, protocol="strict"))
    asked = []

    def predict(model, embeddings, coords, *given, **options):
        asked.append(coords)
        logits, iou = evaluating.predict(model, embeddings, coords, *given, **options)
        return torch.full_like(logits, -1), iou

    monkeypatch.setattr(prompts, "predict", predict)
    evaluate_run(record.path, dataset.folder, PromptPlan(clicks=3, jitter=0))
    last = [coords for coords in asked if coords.shape[1] == 3]
    assert last
    for clicks in torch.cat(last):
        assert len(clicks.unique(dim=0)) == 3


def test_noc_counts_failures_with_all_clicks():
    row = {
        "image_id": "a",
        "instance_id": 1,
        "class_id": 1,
        "area": 10,
        "pixels": 1000,
        "iou_jitter": [],
        **dict.fromkeys(("iou_box", "boundary_iou", "boundary_iou_box"), 0.5),
    }
    rows = [
        {**row, "iou_clicks": [0.2, 0.9, 0.95], "noc_85": 2, "noc_90": 2},
        {**row, "iou_clicks": [0.1, 0.2, 0.3], "noc_85": None, "noc_90": None},
    ]
    means = summarize(rows, ("thing",))
    assert means.miou_clicks == pytest.approx([0.15, 0.55, 0.625])
    assert (means.noc_85, means.noc_85_failed) == (2.5, 0.5)
    assert means.miou_jitter is None


def test_a_floor_has_no_model_to_ask(dataset, tmp_path):
    nothing = dict.fromkeys(("tuning", "weights", "backbone", "loss"), "none")
    job = toys.job(dataset, tmp_path, method="disc", epochs=0, lr=0.0, batch_size=1, **nothing)
    with pytest.raises(InputError, match="has no model"):
        evaluate_run(run(job)[0].path, dataset.folder, PromptPlan())
