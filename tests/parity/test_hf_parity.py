"""Backbones of transformers against their own forward pass, and its SAM against ours, on whole tensors.

Both sides call the same layers, in another order of batches, or compute the same sums in another order;
their difference is rounding, at most 1e-5 of the largest number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)
from hf_models import MODELS, SIZE, make_model, save_model
from torch import Tensor
from transformers import SamModel

from aims.engine.export.transformers import _configuration, _renamed
from aims.methods import BACKBONES, build_model
from aims.models.features import maps_of
from aims.models.sam import SAM
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters
from aims.models.weights import load_weights, resolve_weights

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(2, 3, SIZE, SIZE, generator=GENERATOR)
POINTS = SIZE * torch.rand(2, 3, 2, 2, generator=GENERATOR)
LABELS = torch.tensor([[[1, 0], [1, 1], [1, -1]], [[0, 1], [1, 1], [1, 0]]])
CORNERS = torch.rand(2, 3, 2, 2, generator=GENERATOR).sort(2)[0] * SIZE
BOXES = CORNERS.flatten(2)
LATER = ("sam2", "sam3_tracker")
MASKS = 20 * torch.rand(2, 1, SIZE // 2, SIZE // 2, generator=GENERATOR) - 10


def loaded(backbone: str) -> Segmenter:
    """The plain model with the weights beside its configuration."""
    weights = load_weights(backbone, resolve_weights(backbone, None))
    model = build_model(
        method="zero-shot", tuning="none", backbone=backbone, channels=3, weights=weights.state, seed=0
    )
    return model.eval()


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


@pytest.mark.parametrize("kind", MODELS)
@torch.no_grad()
def test_a_backbone_gives_what_its_own_class_gives(kind: str, tmp_path: Path) -> None:
    theirs: Any = make_model(kind)
    ours = loaded(save_model(tmp_path, theirs))
    if kind in LATER:
        # The answer is always the first mask, which is the one that is trained.
        theirs.mask_decoder.dynamic_multimask_via_stability = False
    features = ours.embed(IMAGES)
    for multimask in (False, True):
        prompts: dict[str, Any]
        for prompts in (
            {"input_points": POINTS, "input_labels": LABELS},
            {"input_points": POINTS, "input_labels": LABELS, "input_boxes": BOXES},
            {"input_boxes": BOXES},
        ):
            expected = theirs(pixel_values=IMAGES, **prompts, multimask_output=multimask)
            clicked = "input_points" in prompts
            logits, iou = ours.decode(
                features,
                POINTS.flatten(0, 1)[:, : 2 * clicked],
                LABELS.flatten(0, 1)[:, : 2 * clicked],
                BOXES.flatten(0, 1) if "input_boxes" in prompts else None,
                multimask=multimask,
            )
            close(logits, expected.pred_masks.flatten(0, 1))
            close(iou, expected.iou_scores.flatten(0, 1))
    masks = MASKS if kind not in LATER else MASKS[:, :, : SIZE // 4, : SIZE // 4]
    expected = theirs(
        pixel_values=IMAGES, input_points=POINTS[:, :1], input_labels=LABELS[:, :1], input_masks=masks
    )
    logits, _ = ours.decode(features, POINTS[:, 0], LABELS[:, 0], masks=masks, multimask=True)
    close(logits, expected.pred_masks.flatten(0, 1))


@torch.no_grad()
def both(folder: Path) -> tuple[Segmenter, str]:
    """Our SAM with random weights, and the name of the backbone of transformers with the same."""
    backbone = BACKBONES["sam-toy"]
    assert isinstance(backbone, SAM)
    ours = backbone.build().eval()
    for parameter in ours.parameters():
        parameter.copy_(parameter + 0.1 * torch.randn(parameter.shape, generator=GENERATOR))
    model = SamModel(_configuration(backbone, 3))
    model.load_state_dict(_renamed(ours.state_dict()))
    return ours, save_model(folder, model)


@pytest.mark.parametrize("tuning", ["lora", "adapter", "prompt", "prefix"])
@torch.no_grad()
def test_a_tuned_sam_of_transformers_is_our_tuned_sam(tuning: str, tmp_path: Path) -> None:
    """The layers of a tuning sit at the same places, in the same order, and compute the same."""
    plain, name = both(tmp_path)
    weights = load_weights(name, resolve_weights(name, None))
    ours, theirs = (
        build_model(method="simcmf", tuning=tuning, backbone=backbone, channels=3, weights=state, seed=0)
        for backbone, state in (("sam-toy", plain.state_dict()), (name, weights.state))
    )
    pairs = zip(declared_parameters(ours).values(), declared_parameters(theirs).values(), strict=True)
    for one, other in pairs:
        assert torch.equal(one, other)
        # Also where a tuning starts at zero.
        one.add_(0.1 * torch.randn(one.shape, generator=GENERATOR))
        other.copy_(one)
    answers = [
        model.eval().decode(model.embed(IMAGES), POINTS.flatten(0, 1), LABELS.flatten(0, 1))
        for model in (ours, theirs)
    ]
    close(answers[1][0], answers[0][0])
    close(answers[1][1], answers[0][1])


@torch.no_grad()
def test_sam_of_transformers_is_our_sam(tmp_path: Path) -> None:
    ours, name = both(tmp_path)
    theirs = loaded(name)
    assert type(theirs.image_encoder.get_submodule("blocks.0")).__module__.startswith("transformers.")
    features = ours.embed(IMAGES), theirs.embed(IMAGES)
    close(*map(torch.stack, map(list, map(maps_of, features))))
    for masks in (None, torch.randn(6, 1, SIZE // 2, SIZE // 2, generator=GENERATOR)):
        for boxes in (None, BOXES.flatten(0, 1)):
            for multimask in (False, True):
                arguments = (POINTS.flatten(0, 1), LABELS.flatten(0, 1), boxes, masks)
                answers = [
                    model.decode(each, *arguments, multimask=multimask)
                    for model, each in zip((ours, theirs), features, strict=True)
                ]
                close(answers[1][0], answers[0][0])
                close(answers[1][1], answers[0][1])
