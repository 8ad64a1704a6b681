from __future__ import annotations

import math

import pytest
import torch

from aims.engine.losses import LOSSES, dice_ce, sam


def test_dice_ce_by_hand():
    # Two pixels with probability 1/2, one of them true.
    logits, masks = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])
    dice = 1 - (2 * 0.5 + 1e-5) / (0.25 + 0.25 + 1 + 1e-5)
    assert dice_ce(logits, masks, torch.zeros(1)).item() == pytest.approx(dice + math.log(2), rel=1e-6)


def test_sam_loss_by_hand():
    logits, masks = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])
    # Focal: alpha is 1/4 on the true pixel and 3/4 on the other, both wrong by 1/2.
    focal = (0.25 + 0.75) * 0.25 * math.log(2) / 2
    dice = 1 - (2 * 0.5 + 1) / (1 + 1 + 1)
    # Nothing is above 0, so the true IoU is 0 and the predicted one is wrong by 0.5.
    expected = 20 * focal + dice + 0.25
    assert sam(logits, masks, torch.tensor([0.5])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", list(LOSSES))
def test_a_right_mask_costs_less_than_a_wrong_one(name):
    masks = torch.zeros(2, 8, 8)
    masks[:, 2:6, 2:6] = 1
    right, wrong = 20 * masks - 10, 10 - 20 * masks
    good = LOSSES[name](right, masks, torch.ones(2))
    bad = LOSSES[name](wrong, masks, torch.zeros(2))
    assert good < 0.01 < 1 < bad


@pytest.mark.parametrize("name", list(LOSSES))
def test_extreme_logits_stay_finite(name):
    logits = torch.tensor([[[1e4, -1e4]]], requires_grad=True)
    loss = LOSSES[name](logits, torch.tensor([[[0.0, 1.0]]]), torch.ones(1))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
