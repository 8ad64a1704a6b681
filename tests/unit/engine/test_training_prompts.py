"""Simulated prompts of training: jittered boxes, clicks where the mask is wrong, rounds on one embedding."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import load_file
from small_backbones import SMALL

from aims.core.vocabulary import STRICT, STRICT_2, TRAINING_PROMPTS
from aims.engine import training_prompts
from aims.engine.boxes import bounding_boxes
from aims.engine.losses import LOSSES
from aims.engine.run import run
from aims.engine.samples import EvaluationSet, TrainingSet
from aims.engine.train import RunObserver, Trainer
from aims.engine.training_prompts import Prompts, correcting_clicks, decode_rounds, jittered_box
from aims.methods import BACKBONES, build_model

CLICK, MIXED = TRAINING_PROMPTS["click"], TRAINING_PROMPTS["mixed"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = BACKBONES["sam-toy"].build()
    BACKBONES["sam-toy"].initialize(model)
    model.path = "fast"
    return model


def block(top, left, bottom, right):
    return left, top, right - left, bottom - top


def jitters(box, count=300, size=(1024, 1024)):
    rng = np.random.default_rng(0)
    return np.array([jittered_box(box, size, rng) for _ in range(count)])


def test_sides_move_by_a_tenth_of_the_box_and_by_20_pixels_at_most():
    # 60 wide and 100 high: ten pixels down are one standard deviation, six across.
    moved = jitters(block(400, 500, 500, 560)) - [[500, 400], [559, 499]]
    assert np.abs(moved).max() <= 20
    np.testing.assert_allclose(moved.std(0), [[6, 9.6], [6, 9.6]], rtol=0.15)
    # Of a picture of half the size the box moves half as far.
    half = jitters(block(200, 250, 250, 280), size=(512, 512)) - [[250, 200], [279, 249]]
    np.testing.assert_allclose(2 * half, moved)
    np.testing.assert_allclose(moved.mean(0), 0, atol=2)
    # Of a large box most sides move by the most.
    large = np.abs(jitters(block(100, 100, 900, 900)) - [[100, 100], [899, 899]])
    assert large.max() == 20
    assert (large == 20).mean() > 0.7


def test_boxes_stay_in_the_picture_and_keep_their_sides_in_order():
    for box in (block(0, 0, 1024, 1024), block(0, 900, 3, 1024), block(1023, 0, 1024, 1)):
        boxes = jitters(box, 50)
        assert boxes.min() >= 0
        assert boxes.max() <= 1023
        assert (boxes[:, 0] <= boxes[:, 1]).all()


def test_correcting_clicks_lie_where_the_mask_is_wrong():
    masks = torch.zeros(50, 4, 4)
    masks[:, :2] = 1  # the upper half
    right = torch.where(masks > 0, 1.0, -1.0)
    wrong = right.clone()
    wrong[:, 0, 0], wrong[:, 3, 3] = -1, 1  # one pixel is missing, one too much
    lots = torch.arange(50) / 50
    coords, labels = correcting_clicks(wrong, masks, lots, 16)
    found = {(*coords[k].tolist(), int(labels[k])) for k in range(50)}
    # Centres of pixels of 4 x 4: (0 + 0.5) * 4 - 0.5 = 1.5, (3 + 0.5) * 4 - 0.5 = 13.5.
    assert found == {(1.5, 1.5, 1), (13.5, 13.5, 0)}
    # Nothing is wrong: a pixel of the target, also of one that fills no pixel by half.
    coords, labels = correcting_clicks(right, masks, lots, 16)
    assert (labels == 1).all()
    assert coords[:, 1].max() < 8
    small = torch.zeros(1, 4, 4)
    small[0, 2, 1] = 0.25
    coords, _ = correcting_clicks(torch.full((1, 4, 4), -1.0), small, lots[:1], 16)
    assert coords.tolist() == [[5.5, 9.5]]


def test_an_instance_without_a_pixel_gets_background_clicks_or_padding():
    nothing, lots = torch.zeros(1, 4, 4), torch.tensor([0.9])
    found = torch.full((1, 4, 4), -1.0)
    assert correcting_clicks(found, nothing, lots, 16)[1].tolist() == [-1]
    found[0, 1, 2] = 1
    coords, labels = correcting_clicks(found, nothing, lots, 16)
    assert (coords.tolist(), labels.tolist()) == ([[9.5, 5.5]], [0])


@pytest.mark.parametrize("boxes", [False, True], ids=["clicks first", "boxes first"])
def test_rounds_are_separate_prompts_with_or_without_the_mask_before(model, boxes):
    embeddings = model.embed(torch.randn(2, 3, 64, 64)).detach()
    masks = torch.zeros(6, 32, 32)
    masks[:, 8:20, 4:16] = 1
    prompts = Prompts(
        point_coords=torch.rand(6, 0 if boxes else 1, 2) * 60,
        masks=masks,
        boxes=torch.rand(6, 4) * 30 + torch.tensor([0, 0, 30, 30]) if boxes else None,
        lots=torch.rand(6, 2),
        with_mask=(True, False),
    )
    answers = list(decode_rounds(model, embeddings, prompts))
    assert len(answers) == 3
    model.path = "stock"
    coords, labels = prompts.point_coords, torch.ones(prompts.point_coords.shape[:2], dtype=torch.int64)
    for number, (logits, iou) in enumerate(answers):
        before = None
        if number:
            last = answers[number - 1][0].detach()
            click, label = correcting_clicks(last, masks, prompts.lots[:, number - 1], 64)
            coords = torch.cat([coords, click[:, None]], 1)
            labels = torch.cat([labels, label[:, None]], 1)
            before = last[:, None] if prompts.with_mask[number - 1] else None
        expected, expected_iou = model.decode(embeddings, coords, labels, prompts.boxes, before)
        torch.testing.assert_close(logits, expected[:, 0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(iou, expected_iou[:, 0], atol=1e-4, rtol=1e-4)
    model.path = "fast"


def batches(dataset, kind, count=12, **changes):
    data = TrainingSet(
        toys.source(dataset, STRICT, 1024), dataset.index["train"], 256, 3, prompts=kind, **changes
    )
    return [data[(0, step, (0, 1, 2))] for step in range(count)]


def test_a_model_that_takes_no_masks_gets_none():
    model = build_model(
        method="zero-shot", tuning="none", backbone=SMALL["efficient-sam"], channels=3, weights=None, seed=0
    ).eval()
    assert not model.takes_masks
    features = model.embed(torch.randn(1, 3, 64, 64)).detach()
    given, without = (
        Prompts(
            point_coords=torch.full((2, 1, 2), 20.0),
            masks=torch.ones(2, 16, 16),
            boxes=None,
            lots=torch.full((2, 2), 0.5),
            with_mask=with_mask,
        )
        for with_mask in ((True, True), (False, False))
    )
    rounds = zip(decode_rounds(model, features, given), decode_rounds(model, features, without), strict=True)
    assert [torch.equal(one[0], other[0]) for one, other in rounds] == [True, True, True]


def test_a_step_is_of_clicks_or_of_boxes_and_draws_the_same_instances(dataset):
    mixed, single = batches(dataset, MIXED), batches(dataset, CLICK)
    assert {batch.prompts.boxes is None for batch in mixed} == {True, False}
    for batch, plain in zip(mixed, single, strict=True):
        prompts = batch.prompts
        assert torch.equal(prompts.masks, plain.prompts.masks)
        assert prompts.lots.shape == (3, 8)
        assert len(prompts.with_mask) == 8
        if prompts.boxes is None:
            assert torch.equal(prompts.point_coords, plain.prompts.point_coords)
            continue
        assert prompts.point_coords.shape == (3, 0, 2)
        for mask, box in zip(prompts.masks.numpy(), prompts.boxes.numpy(), strict=True):
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            tight = [4 * columns[0], 4 * rows[0], 4 * columns[-1] + 3, 4 * rows[-1] + 3]
            # Jitter, what a pixel of 256 x 256 covers, and half a pixel of the picture's 40 rows.
            assert np.abs(box - tight).max() <= 20 + 4 + 1024 / 40 / 2
    given = [flag for batch in mixed for flag in batch.prompts.with_mask]
    assert 0.3 < np.mean(given) < 0.7


def test_boxes_of_training_are_those_of_evaluation_but_for_their_jitter(dataset, monkeypatch):
    monkeypatch.setattr(training_prompts, "JITTER_SHARE", 0.0)
    source = toys.source(dataset, STRICT_2)
    evaluated = EvaluationSet(source, dataset.index["train"])
    expected = {
        tuple(box.tolist())
        for item in (evaluated[k] for k in range(len(evaluated)))
        for box in bounding_boxes(item, source)
    }
    data = TrainingSet(source, dataset.index["train"], 32, 0, prompts=TRAINING_PROMPTS["box"], clicks=3)
    every = tuple(range(len(data.refs)))
    given = [tuple(box.tolist()) for k in range(4) for box in data[(0, k, every)].prompts.boxes]
    assert given
    assert set(given) <= expected


def test_shares_of_processes_and_parts_are_those_of_the_whole(dataset):
    whole = batches(dataset, MIXED, clicks=2)
    shares = [batches(dataset, MIXED, clicks=2, rank=rank, world_size=4) for rank in range(4)]
    for step, batch in enumerate(whole):
        for rank in range(3):
            own, part = shares[rank][step].prompts, batch.prompts.part(slice(2 * rank, 2 * rank + 2))
            assert own.with_mask == part.with_mask
            assert torch.equal(own.lots, part.lots)
            assert (own.boxes is None) == (part.boxes is None)
            if own.boxes is not None:
                assert torch.equal(own.boxes, part.boxes)
        # The fourth has no image, and the same kind of prompts.
        assert shares[3][step].prompts.masks.shape == (0, 256, 256)
        assert (shares[3][step].prompts.boxes is None) == (batch.prompts.boxes is None)
        assert [len(part.prompts.lots) for part in batch.parts(2)] == [4, 2]


@pytest.mark.parametrize("tuning", ["full", "linear-probe"])
def test_rounds_go_backward_one_by_one_with_the_gradients_of_all_together(dataset, tmp_path, tuning):
    config = toys.job(dataset, tmp_path, prompts="mixed", tuning=tuning, method="random-embed").config
    source = toys.source(dataset, STRICT)
    model = build_model(
        method=config.method,
        tuning=config.tuning,
        backbone="sam-toy",
        channels=len(source.preprocessing.channel_order),
        weights=None,
        seed=0,
    )
    refs = {"train": dataset.index["train"]}
    trainer = Trainer(
        config=config,
        folder=tmp_path,
        model=model,
        source=source,
        refs=refs,
        mask_size=32,
        observer=RunObserver(),
    )
    batch = TrainingSet(source, refs["train"], 32, 0, prompts=MIXED)[(0, 0, (0, 1, 2))]
    total = trainer._backward(batch, 0.5)
    found = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    answers = decode_rounds(model, model.embed(source.inputs(batch.images, total.device)), batch.prompts)
    losses = [LOSSES[config.loss](logits, batch.prompts.masks, iou) for logits, iou in answers]
    loss = 0.5 * torch.stack(losses).mean()
    loss.backward()
    assert len(losses) == 9
    torch.testing.assert_close(total, loss.detach())
    expected = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3)
    assert any(each.abs().max() > 1e-3 for each in found.values())


@pytest.mark.parametrize(
    ("prompts", "changes"),
    [("clicks", {}), ("box", {"loss": "sam"}), ("mixed", {"precision": "bf16", "tuning": "lora"})],
)
def test_runs_on_other_prompts_differ_and_say_so(dataset, tmp_path, prompts, changes):
    changes = {"epochs": 1, "limit": 4, **changes}
    plain, _ = run(toys.job(dataset, tmp_path, **changes))
    other, _ = run(toys.job(dataset, tmp_path, **changes, prompts=prompts))
    assert plain.path != other.path
    assert json.loads((other.path / "run.json").read_text())["config"]["prompts"] == prompts
    left, right = (load_file(record.path / "weights.safetensors") for record in (plain, other))
    assert any(not torch.equal(left[name], right[name]) for name in left)


def test_a_run_on_boxes_selects_its_epoch_by_boxes(dataset, tmp_path, monkeypatch):
    import aims.engine.train as train

    asked, evaluate = [], train.evaluate

    def record(*args, **named):
        asked.append(named["boxes"])
        return evaluate(*args, **named)

    monkeypatch.setattr(train, "evaluate", record)
    for prompts in ("box", "mixed"):
        run(toys.job(dataset, tmp_path, epochs=1, limit=4, prompts=prompts))
    # The start and the epoch of each.
    assert asked == [True, True, False, False]
