"""One step of pretraining: augmentation, random clicks, decoding of all clicks at once, and losses."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.segmenter import Segmenter
from aims.pretrain.pictures import Pictures, normalize_rgb
from aims.synth.world.random import normal, uniform

#: Smallest share of the image that a clicked region covers (40 pixels at 128 x 128).
SMALLEST = 0.0025
#: Losses by name, in the order in which they are logged.
LOSS_NAMES = ("entropy", "dice", "iou", "pairs")

# Streams of `aims.synth.world.random`, distinct from those of sensors and families.
_FLIP, _COLOUR, _GREY, _REGION, _PIXEL = 900, 901, 902, 903, 904
# Distances from the boundary are clipped here: farther inside, pixels are equally likely to be clicked.
_DEPTHS = 8
_GREY_SHARE = 0.15
# A pair's logit is scale * (cosine - middle).
_PAIR_SCALE, _PAIR_MIDDLE = 10.0, 0.5
_SMOOTH = 1.0


class ClickTargets(NamedTuple):
    """Images, clicks and target masks of a batch.

    Attributes:
        images: normalised and augmented images.
        regions: region maps, flipped together with the images.
        point_coords: clicks (x, y) in pixels of the image.
        masks: share of each pixel of the mask logits that belongs to the clicked region, 0..1.
    """

    images: Float[Tensor, "batch 3 size size"]
    regions: Int[Tensor, "batch size size"]
    point_coords: Float[Tensor, "batch clicks 2"]
    masks: Float[Tensor, "batch clicks mask mask"]


def draw_targets(pictures: Pictures, clicks: int, mask_size: int) -> ClickTargets:
    """Flips and recolours images and draws clicks; all randomness comes from the seeds of the images."""
    flip = uniform(pictures.seeds, _FLIP, (1, 1)) < 0.5
    images = torch.where(flip[..., None], pictures.images.flip(2), pictures.images)
    regions = torch.where(flip, pictures.regions.flip(2), pictures.regions)
    coords, chosen = draw_clicks(regions, pictures.seeds, clicks)
    masks = (regions[:, None] == chosen[:, :, None, None]).to(torch.float32)
    scale = regions.shape[-1] // mask_size
    return ClickTargets(
        recolour(normalize_rgb(images), pictures.seeds), regions, coords, F.avg_pool2d(masks, scale)
    )


def steps_of(made: Iterable[ClickTargets], batch_size: int, first: int) -> Iterator[ClickTargets]:
    """Divides what was made for several steps together.

    Args:
        made: targets of any number of steps each, one after the other.
        batch_size: images of a step.
        first: number of steps to leave out.
    """
    for targets in made:
        parts = zip(*(torch.split(each, batch_size) for each in targets), strict=True)
        yield from map(ClickTargets._make, itertools.islice(parts, first, None))
        first = 0


def recolour(
    images: Float[Tensor, "batch 3 size size"], seeds: Int[Tensor, " batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Changes contrast, brightness and colour balance at random; 15 % of the images become grey."""
    drawn = normal(seeds, _COLOUR, (5, 1, 1))
    images = images * torch.exp(0.2 * drawn[:, :1] + 0.1 * drawn[:, 2:]) + 0.2 * drawn[:, 1:2]
    grey = uniform(seeds, _GREY, (1, 1, 1)) < _GREY_SHARE
    return torch.where(grey, images.mean(1, keepdim=True), images)


def draw_clicks(
    regions: Int[Tensor, "batch size size"], seeds: Int[Tensor, " batch"], clicks: int
) -> tuple[Float[Tensor, "batch clicks 2"], Int[Tensor, "batch clicks"]]:
    """Draws regions, none again before each was drawn once, and a pixel of each.

    Regions of sufficient size are equally likely; if there are none, the largest is drawn. The probability of
    a pixel is proportional to its city-block distance from the boundary, at most 9, because scoring clicks on
    centres, and fine-tuning anywhere.

    Returns:
        (x, y) of the pixels, and the labels of the regions.
    """
    flat = regions.flatten(1).to(torch.int64)
    # Sized for the largest possible label: reading the actual one would synchronise with the GPU.
    area = torch.zeros(len(flat), flat.shape[1] + 1, dtype=torch.int64, device=flat.device)
    area.scatter_add_(1, flat, torch.ones_like(flat))
    area[:, 0] = 0
    usable = area >= area.amax(1, keepdim=True).to(torch.float32).clamp_max(SMALLEST * flat.shape[1])
    # Random integers decide the order. Subtracting the label breaks ties, so that `topk` is deterministic.
    lots = (uniform(seeds, _REGION, (area.shape[1],)) * 2**24).to(torch.int64) + 1
    lots = (lots * usable) * area.shape[1] - torch.arange(area.shape[1], device=flat.device)
    turns = torch.arange(clicks, device=flat.device) % usable.sum(1, keepdim=True)
    chosen = lots.topk(min(clicks, area.shape[1]), dim=1).indices.gather(1, turns)
    weights = (flat[:, None] == chosen[..., None]) * _depths(regions).flatten(1)[:, None]
    # Integer sums are exact, so that every device draws the same pixel.
    heights = weights.cumsum(2, dtype=torch.int32)
    share = uniform(seeds, _PIXEL, (clicks,))
    mark = (share * heights[..., -1]).to(torch.int32).minimum(heights[..., -1] - 1)
    pixel = torch.searchsorted(heights, mark[..., None], right=True)[..., 0]
    width = regions.shape[2]
    return torch.stack([pixel % width, pixel // width], dim=-1).to(torch.float32), chosen


def _depths(regions: Tensor) -> Tensor:
    """Returns each pixel's city-block distance into its region: 1 at the boundary, at most 1 + `_DEPTHS`."""
    across, down = regions[:, :, 1:] == regions[:, :, :-1], regions[:, 1:] == regions[:, :-1]
    inside = F.pad(
        across[:, 1:-1, 1:] & across[:, 1:-1, :-1] & down[:, 1:, 1:-1] & down[:, :-1, 1:-1], (1, 1, 1, 1)
    )
    depth = inside.to(torch.uint8) + 1
    for _ in range(_DEPTHS - 1):
        # Erosion: a pixel stays inside if its four neighbours were inside.
        sides = inside[:, 2:, 1:-1] & inside[:, :-2, 1:-1] & inside[:, 1:-1, 2:] & inside[:, 1:-1, :-2]
        inside = F.pad(sides & inside[:, 1:-1, 1:-1], (1, 1, 1, 1))
        depth += inside
    return depth


def decode_batch(
    model: Segmenter,
    image_embeddings: Float[Tensor, "batch dim height width"],
    point_coords: Float[Tensor, "batch clicks 2"],
) -> tuple[Float[Tensor, "batch clicks mask mask"], Float[Tensor, "batch clicks"]]:
    """Decodes the same number of single clicks on each image, as separate prompts of `Segmenter.decode`."""
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
    """Computes cross-entropy, Dice, and squared error of the predicted IoU, as means over the clicks.

    Args:
        mask_logits: mask logits of `decode_batch`.
        iou_predictions: predicted IoU of `decode_batch`.
        masks: target masks, 0..1.
        balance: interpolates the cross-entropy: 1 weighs object and background equally whatever their size,
            which learns quickly at first but makes masks too large; 0 is the mean over pixels.
    """
    entropy = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none")
    plain = entropy.mean((2, 3))
    # A small region can cover less than one pixel of the logits, hence `clamp_min`.
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
    """Computes the loss of predicting from cosine similarity whether two patches show the same region.

    It is the cross-entropy over all pairs of patches in each image; pairs of the same region and pairs of
    different ones have equal weight. A patch belongs to the region of its centre pixel.
    """
    # Under bf16 the embeddings are not float32.
    embeddings = F.normalize(image_embeddings.float().flatten(2), dim=1)
    logits = _PAIR_SCALE * (embeddings.transpose(1, 2) @ embeddings - _PAIR_MIDDLE)
    step = regions.shape[-1] // image_embeddings.shape[-1]
    patches = regions[:, step // 2 :: step, step // 2 :: step].flatten(1)
    same = (patches[:, :, None] == patches[:, None]).to(torch.float32)
    entropy = F.binary_cross_entropy_with_logits(logits, same, reduction="none")
    apart = 1 - same
    return 0.5 * ((entropy * same).sum() / same.sum() + (entropy * apart).sum() / apart.sum().clamp_min(1))


def parameter_groups(model: Segmenter, weight_decay: float) -> list[dict[str, Any]]:
    """Groups parameters: linear and convolutional weights with weight decay, all others without."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    decaying = [module.weight for module in model.modules() if isinstance(module, kinds)]
    known = set(map(id, decaying))
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
