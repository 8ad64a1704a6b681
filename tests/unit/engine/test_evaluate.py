"""Evaluation against a model whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from pycocotools import mask as coco_mask
from torch import nn

from aims.core.errors import AimsError
from aims.core.vocabulary import PAPER, STRICT
from aims.data.instances import stretch_nearest
from aims.engine.evaluate import MaskLoss, count_images, evaluate, mean_dice, mean_iou
from aims.engine.losses import LOSSES
from aims.engine.masks import encode_mask, encode_masks
from aims.engine.samples import EvaluationSet


class Answers(nn.Module):
    """Answers with a disc of logits around the click, or the same everywhere."""

    def __init__(self, radius):
        super().__init__()
        self.radius, self.anchor = radius, nn.Parameter(torch.zeros(1))

    device = torch.device("cpu")

    def embed(self, images):
        return images[:, :1, :8, :8]

    def decode(self, embeddings, point_coords, point_labels):
        assert (point_labels == 1).all()
        y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
        centre = (point_coords[:, 0] + 0.5) / 4 - 0.5
        squared = (x - centre[:, 0, None, None]) ** 2 + (y - centre[:, 1, None, None]) ** 2
        return (self.radius**2 - squared)[:, None], torch.ones(len(point_coords), 1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up")


def scored(dataset, protocol, radius=3.0, masks=True):
    made = toys.source(dataset, protocol)
    return evaluate(Answers(radius), made, dataset.index["test"], precision="float32", masks=masks)


@pytest.mark.parametrize("protocol", [PAPER, STRICT])
def test_every_instance_once_and_scores_follow_from_the_masks(dataset, protocol):
    rows = scored(dataset, protocol)
    natives = {ref.image_id: dataset.read(ref, ()).instances for ref in dataset.index["test"]}
    expected = []
    for ref in dataset.index["test"]:
        grid = stretch_nearest(natives[ref.image_id], (1024, 1024))
        smallest = 1 if protocol is PAPER else 100
        expected += [
            (ref.image_id, k)
            for k in range(1, natives[ref.image_id].max() + 1)
            if (grid == k).sum() >= smallest
        ]
    assert [(row["image_id"], row["instance_id"]) for row in rows] == expected
    for row in rows:
        native = natives[row["image_id"]]
        first = 0 if protocol is PAPER else 2
        truth = stretch_nearest(native, (1024, 1024))[first::4, first::4] == row["instance_id"]
        found = decode(row["rle_grid"])
        smoothing = 1e-6 if protocol is PAPER else 0
        iou = ((found & truth).sum() + smoothing) / ((found | truth).sum() + smoothing)
        assert row["iou_grid"] == pytest.approx(iou, abs=1e-12)
        if protocol is STRICT:
            truth, found = native == row["instance_id"], decode(row["rle_native"])
            assert found.shape == native.shape
            assert row["iou"] == row["iou_native"] == (found & truth).sum() / (found | truth).sum()
        else:
            assert row["rle_native"] is None
            assert row["iou"] == row["iou_grid"]
    assert mean_iou(rows) == pytest.approx(np.mean([row["iou"] for row in rows]))
    assert 0.05 < mean_iou(rows) < 0.9


@pytest.mark.parametrize("protocol", [PAPER, STRICT])
@pytest.mark.parametrize("loss", ["dice-ce", "sam"])
def test_the_loss_of_an_instance_is_that_of_training_under_its_click(dataset, protocol, loss):
    made, model, chosen = toys.source(dataset, protocol), Answers(3.0), LOSSES[loss]
    rows = evaluate(
        model,
        made,
        dataset.index["test"],
        precision="float32",
        masks=False,
        loss=MaskLoss(chosen, 16),
    )
    for item in EvaluationSet(made, dataset.index["test"]):
        here = [row for row in rows if row["image_id"] == item.ref.image_id]
        grid = stretch_nearest(item.native, (1024, 1024))
        for row, coords in zip(here, item.point_coords, strict=True):
            first = 0 if protocol is PAPER else 32
            mask = torch.from_numpy(grid == row["instance_id"])[first::64, first::64].float()
            logits, iou = model.decode(None, coords[None], torch.ones(1, 1))
            assert row["loss"] == pytest.approx(float(chosen(logits[:, 0], mask[None], iou[:, 0])), rel=1e-6)


def test_dice_is_twice_the_intersection_over_both_areas(dataset):
    rows = scored(dataset, STRICT)
    expected = []
    for row in rows:
        found = decode(row["rle_native"])
        ref = next(ref for ref in dataset.index["test"] if ref.image_id == row["image_id"])
        truth = dataset.read(ref, ()).instances == row["instance_id"]
        expected.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert mean_dice(rows) == pytest.approx(np.mean(expected))
    assert mean_dice(rows) > mean_iou(rows)


def test_images_count_as_often_as_they_are_scored():
    """NYUv2's 1134 stands in for two others: three images of seven instances are not one."""
    rows = [{"image_id": name, "instance_id": k} for name in ("1134",) * 3 + ("7",) for k in (1, 2)]
    assert count_images(rows) == 4
    assert count_images([*rows, {"image_id": "8", "instance_id": 5}]) == 5


def decode(rle):
    return coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)


def test_an_instance_that_vanishes(tmp_path):
    """One pixel of a 640 x 640 picture is not on the 256 grid: the protocols differ on it."""
    from aims.engine.evaluate import GroundTruthMap

    truth = GroundTruthMap(np.zeros((4, 4), np.uint16), torch.device("cpu"))
    nothing, everything = torch.zeros(1, 4, 4, dtype=torch.bool), torch.ones(1, 4, 4, dtype=torch.bool)
    ids = np.array([1])
    assert truth.iou(nothing, ids, 1e-6) == [1]
    assert truth.iou(everything, ids, 1e-6) == [pytest.approx(1e-6 / 16, rel=1e-3)]
    assert truth.iou(everything, ids, 0) == [None]


def test_instances_beyond_a_signed_word_are_told_apart():
    from aims.engine.evaluate import GroundTruthMap

    truth = GroundTruthMap(np.array([[40_000, 7], [40_001, 40_000]], np.uint16), torch.device("cpu"))
    masks = torch.ones(2, 2, 2, dtype=torch.bool)
    assert truth.iou(masks, np.array([40_000, 40_001]), 0) == [0.5, 0.25]


def test_nothing_to_evaluate_is_an_error(dataset):
    large = replace(PAPER, min_area={}, default_min_area=2_000_000)
    made = toys.source(dataset, PAPER)
    with pytest.raises(AimsError, match="nothing to evaluate"):
        evaluate(
            Answers(3),
            replace(made, protocol=large),
            dataset.index["test"],
            precision="float32",
            masks=False,
        )


def test_the_model_comes_back_in_the_mode_it_was_in(dataset):
    model = Answers(3).train()
    evaluate(model, toys.source(dataset, PAPER), dataset.index["test"], precision="float32", masks=False)
    assert model.training


def test_many_masks_are_encoded_as_each_of_them():
    masks = torch.rand(5, 7, 11, generator=torch.Generator().manual_seed(0)) > 0.6
    masks[3] = False
    masks[4] = True
    assert encode_masks(masks) == [encode_mask(mask.numpy()) for mask in masks]
