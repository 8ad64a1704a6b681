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
from aims.engine.evaluate import encode_mask, encode_masks, evaluate, mean_iou


class Answers(nn.Module):
    """Answers with a disc of logits around the click, or the same everywhere."""

    def __init__(self, radius):
        super().__init__()
        self.radius, self.anchor = radius, nn.Parameter(torch.zeros(1))

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
        truth = stretch_nearest(stretch_nearest(native, (1024, 1024)), (256, 256)) == row["instance_id"]
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


def decode(rle):
    return coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()}).astype(bool)


def test_an_instance_that_vanishes(tmp_path):
    """One pixel of a 640 x 640 picture is not on the 256 grid: the protocols differ on it."""
    from aims.engine.evaluate import Truth

    truth = Truth(np.zeros((4, 4), np.uint16), torch.device("cpu"))
    nothing, everything = torch.zeros(1, 4, 4, dtype=torch.bool), torch.ones(1, 4, 4, dtype=torch.bool)
    ids = np.array([1])
    assert truth.iou(nothing, ids, 1e-6) == [1]
    assert truth.iou(everything, ids, 1e-6) == [pytest.approx(1e-6 / 16, rel=1e-3)]
    assert truth.iou(everything, ids, 0) == [None]


def test_instances_beyond_a_signed_word_are_told_apart():
    from aims.engine.evaluate import Truth

    truth = Truth(np.array([[40_000, 7], [40_001, 40_000]], np.uint16), torch.device("cpu"))
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
