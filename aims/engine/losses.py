"""Training losses, computed from mask logits in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from aims.core.registry import Registry

Loss = Callable[
    [Float[Tensor, "batch height width"], Float[Tensor, "batch height width"], Float[Tensor, " batch"]],
    Float[Tensor, ""],
]

LOSSES = Registry[Loss]("loss")

_SMOOTH = 1e-5


@LOSSES.register("dice-ce")
def dice_ce(
    mask_logits: Float[Tensor, "batch height width"],
    masks: Float[Tensor, "batch height width"],
    iou_predictions: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Dice plus cross-entropy: what the paper's released program trains with (docs/protocols.md).

    Dice has squared terms in its denominator. Both terms are means over the batch. `iou_predictions` is not
    used, so the IoU head gets no gradient.
    """
    probability = mask_logits.sigmoid()
    overlap = (probability * masks).sum((1, 2))
    squares = (probability**2).sum((1, 2)) + (masks**2).sum((1, 2))
    dice = 1 - (2 * overlap + _SMOOTH) / (squares + _SMOOTH)
    return dice.mean() + F.binary_cross_entropy_with_logits(mask_logits, masks)


@LOSSES.register("sam")
def sam(
    mask_logits: Float[Tensor, "batch height width"],
    masks: Float[Tensor, "batch height width"],
    iou_predictions: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """SAM's own loss: 20 x focal + dice + squared error of the predicted IoU.

    The focal loss has alpha 0.25 and gamma 2 (Lin et al., 2017). The paper's text names this loss (section
    3.2), but its published numbers were made with `dice_ce`.
    """
    probability = mask_logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none")
    # 1 - p_t: the probability that is given to the wrong class.
    wrong = probability + masks - 2 * probability * masks
    focal = ((0.25 * masks + 0.75 * (1 - masks)) * wrong**2 * entropy).mean()
    overlap = (probability * masks).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((1, 2)) + masks.sum((1, 2)) + 1)
    # The IoU is the target of the IoU head; thresholding has no gradient.
    with torch.no_grad():
        found, true = mask_logits > 0, masks > 0
        union = (found | true).sum((1, 2)).clamp(min=1)
        iou = (found & true).sum((1, 2)) / union
    return 20 * focal + dice.mean() + F.mse_loss(iou_predictions, iou)
