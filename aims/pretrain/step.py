"""One step of pretraining: random clicks and colours, the model on all clicks at once, and the losses."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.segmenter import Segmenter
from aims.pretrain.pictures import Pictures, normalize_rgb
from aims.synth.world.random import normal, uniform

#: Regions below this share of the picture are not clicked (40 pixels at 128 x 128).
SMALLEST = 0.0025
#: Losses by name, in the order in which they are logged.
LOSS_NAMES = ("entropy", "dice", "iou", "pairs")

# Purposes of `aims.synth.world.random`, far from those of sensors and families.
_FLIP, _COLOUR, _GREY, _REGION, _PIXEL = 900, 901, 902, 903, 904
# Depths up to this many pixels count; more do not make a click more central.
_DEPTHS = 8
_GREY_SHARE = 0.15
# A pair's logit is scale * (cosine - middle).
_PAIR_SCALE, _PAIR_MIDDLE = 10.0, 0.5
_SMOOTH = 1.0


class ClickTargets(NamedTuple):
    """Images, clicks and target masks of a batch.

    Attributes:
        images: normalised.
        regions: flipped where the image is.
        point_coords: clicks (x, y) in pixels of the image.
        masks: share of each pixel of the logits' grid that belongs to the clicked region.
    """

    images: Float[Tensor, "batch 3 size size"]
    regions: Int[Tensor, "batch size size"]
    point_coords: Float[Tensor, "batch clicks 2"]
    masks: Float[Tensor, "batch clicks mask mask"]


def draw_targets(pictures: Pictures, clicks: int, mask_size: int) -> ClickTargets:
    """Flips, recolours and clicks a batch; everything is drawn from the pictures' own seeds."""
    flip = uniform(pictures.seeds, _FLIP, (1, 1)) < 0.5
    images = torch.where(flip[..., None], pictures.images.flip(2), pictures.images)
    regions = torch.where(flip, pictures.regions.flip(2), pictures.regions)
    coords, chosen = draw_clicks(regions, pictures.seeds, clicks)
    masks = (regions[:, None] == chosen[:, :, None, None]).to(torch.float32)
    scale = regions.shape[-1] // mask_size
    return ClickTargets(
        recolour(normalize_rgb(images), pictures.seeds), regions, coords, F.avg_pool2d(masks, scale)
    )


def recolour(
    images: Float[Tensor, "batch 3 size size"], seeds: Int[Tensor, " batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Changes contrast, brightness and the balance of colours; some pictures lose their colours."""
    drawn = normal(seeds, _COLOUR, (5, 1, 1))
    images = images * torch.exp(0.2 * drawn[:, :1] + 0.1 * drawn[:, 2:]) + 0.2 * drawn[:, 1:2]
    grey = uniform(seeds, _GREY, (1, 1, 1)) < _GREY_SHARE
    return torch.where(grey, images.mean(1, keepdim=True), images)


def draw_clicks(
    regions: Int[Tensor, "batch size size"], seeds: Int[Tensor, " batch"], clicks: int
) -> tuple[Float[Tensor, "batch clicks 2"], Int[Tensor, "batch clicks"]]:
    """Draws regions, each once before any comes again, and a pixel of each.

    Regions are equally likely if they are large enough; where none is, the largest is taken. A pixel's chance
    grows with its distance from the boundary (in steps to the four sides, up to 9): scoring clicks on
    centres, fine-tuning anywhere.

    Returns:
        (x, y) of the pixels, and the regions' numbers.
    """
    flat = regions.flatten(1).to(torch.int64)
    # As many as there may be: asking for the highest would wait for a GPU.
    area = torch.zeros(len(flat), flat.shape[1] + 1, dtype=torch.int64, device=flat.device)
    area.scatter_add_(1, flat, torch.ones_like(flat))
    area[:, 0] = 0
    usable = area >= area.amax(1, keepdim=True).to(torch.float32).clamp_max(SMALLEST * flat.shape[1])
    # Whole lots, the same number coming to the lower region first, so that no two are equal.
    lots = (uniform(seeds, _REGION, (area.shape[1],)) * 2**24).to(torch.int64) + 1
    lots = (lots * usable) * area.shape[1] - torch.arange(area.shape[1], device=flat.device)
    turns = torch.arange(clicks, device=flat.device) % usable.sum(1, keepdim=True)
    chosen = lots.topk(min(clicks, area.shape[1]), dim=1).indices.gather(1, turns)
    weights = (flat[:, None] == chosen[..., None]) * _depths(regions).flatten(1)[:, None]
    # Whole numbers, so that the pixel is the same on every device.
    heights = weights.cumsum(2, dtype=torch.int32)
    share = uniform(seeds, _PIXEL, (clicks,))
    mark = (share * heights[..., -1]).to(torch.int32).minimum(heights[..., -1] - 1)
    pixel = torch.searchsorted(heights, mark[..., None], right=True)[..., 0]
    width = regions.shape[2]
    return torch.stack([pixel % width, pixel // width], dim=-1).to(torch.float32), chosen


def _depths(regions: Tensor) -> Tensor:
    """1 on a region's boundary and the picture's, one more for each pixel inwards, at most 1 + `_DEPTHS`."""
    across, down = regions[:, :, 1:] == regions[:, :, :-1], regions[:, 1:] == regions[:, :-1]
    inside = F.pad(
        across[:, 1:-1, 1:] & across[:, 1:-1, :-1] & down[:, 1:, 1:-1] & down[:, :-1, 1:-1], (1, 1, 1, 1)
    )
    depth = inside.to(torch.uint8) + 1
    for _ in range(_DEPTHS - 1):
        # A pixel stays inside if its four neighbours were.
        sides = inside[:, 2:, 1:-1] & inside[:, :-2, 1:-1] & inside[:, 1:-1, 2:] & inside[:, 1:-1, :-2]
        inside = F.pad(sides & inside[:, 1:-1, 1:-1], (1, 1, 1, 1))
        depth += inside
    return depth


def decode_batch(
    model: Segmenter,
    image_embeddings: Float[Tensor, "batch dim height width"],
    point_coords: Float[Tensor, "batch clicks 2"],
) -> tuple[Float[Tensor, "batch clicks mask mask"], Float[Tensor, "batch clicks"]]:
    """`Segmenter.decode` of single clicks, equally many on each image."""
    coords = point_coords.flatten(0, 1)[:, None]
    labels = torch.ones(coords.shape[:2], dtype=torch.int64, device=coords.device)
    logits, iou = model.decode(image_embeddings, coords, labels)
    per_image = point_coords.shape[:2]
    return logits[:, 0].float().view(*per_image, *logits.shape[2:]), iou[:, 0].float().view(per_image)


def mask_losses(
    mask_logits: Float[Tensor, "batch clicks mask mask"],
    iou_predictions: Float[Tensor, "batch clicks"],
    masks: Float[Tensor, "batch clicks mask mask"],
    balance: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropy, Dice, and the squared error of the predicted IoU, as means over the clicks.

    Args:
        mask_logits: from `decode_batch`.
        iou_predictions: likewise.
        masks: shares 0..1.
        balance: 1 for a cross-entropy in which object and rest weigh the same whatever their size, which
            starts quickly but grows masks too large; 0 for the plain mean over the pixels; between, both.
    """
    entropy = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none")
    plain = entropy.mean((2, 3))
    inside = (entropy * masks).sum((2, 3)) / masks.sum((2, 3)).clamp_min(1)
    outside = (entropy * (1 - masks)).sum((2, 3)) / (1 - masks).sum((2, 3)).clamp_min(1)
    balanced = 0.5 * (inside + outside)
    probability = mask_logits.sigmoid()
    overlap, sizes = (probability * masks).sum((2, 3)), (probability + masks).sum((2, 3))
    dice = 1 - (2 * overlap + _SMOOTH) / (sizes + _SMOOTH)
    with torch.no_grad():
        found, true = mask_logits > 0, masks > 0.5
        union = (found | true).sum((2, 3)).clamp_min(1)
        iou = (found & true).sum((2, 3)) / union
    return (
        torch.lerp(plain, balanced, balance).mean(),
        dice.mean(),
        F.mse_loss(iou_predictions, iou),
    )


def pair_loss(
    image_embeddings: Float[Tensor, "batch dim height width"], regions: Int[Tensor, "batch size size"]
) -> Float[Tensor, ""]:
    """Loss of predicting, from the cosine of their embeddings, whether two patches show the same region.

    Cross-entropy over all pairs of the patches in each image, pairs of the same region and of different ones
    weighing the same. A patch belongs to the region of its middle pixel.
    """
    embeddings = F.normalize(image_embeddings.float().flatten(2), dim=1)
    logits = _PAIR_SCALE * (embeddings.transpose(1, 2) @ embeddings - _PAIR_MIDDLE)
    step = regions.shape[-1] // image_embeddings.shape[-1]
    patches = regions[:, step // 2 :: step, step // 2 :: step].flatten(1)
    same = (patches[:, :, None] == patches[:, None]).to(torch.float32)
    entropy = F.binary_cross_entropy_with_logits(logits, same, reduction="none")
    apart = 1 - same
    return 0.5 * ((entropy * same).sum() / same.sum() + (entropy * apart).sum() / apart.sum().clamp_min(1))


def parameter_groups(model: Segmenter, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of linear and convolutional layers decay; biases, norms, positions and embeddings do not."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    decaying = [module.weight for module in model.modules() if isinstance(module, kinds)]
    known = set(map(id, decaying))
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
