"""One step of pretraining: augmentation, random clicks, decoding of all clicks at once, and losses."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.segmenter import Segmenter
from aims.pretrain.augment import augment
from aims.pretrain.pictures import Pictures, normalize_rgb
from aims.synth.world.random import uniform

#: Smallest share of the image that a clicked region covers (40 pixels at 128 x 128).
SMALLEST = 0.0025
#: Losses by name, in the order in which they are logged.
LOSS_NAMES = ("entropy", "dice", "iou", "pairs")

# Streams of `aims.synth.world.random`, distinct from those of sensors, families and `aims.pretrain.augment`.
_FLIP, _REGION, _PIXEL, _DROP, _CORRECTION = 900, 903, 904, 910, 920
# Distances from the boundary are clipped here: farther inside, pixels are equally likely to be clicked.
_DEPTHS = 8
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
        seeds: one seed per image.
    """

    images: Float[Tensor, "batch 3 size size"]
    regions: Int[Tensor, "batch size size"]
    point_coords: Float[Tensor, "batch clicks 2"]
    masks: Float[Tensor, "batch clicks mask mask"]
    seeds: Int[Tensor, " batch"]


def draw_targets(pictures: Pictures, clicks: int, mask_size: int, augmentation: str = "none") -> ClickTargets:
    """Flips and recolours images and draws clicks; all randomness comes from the seeds of the images."""
    flip = uniform(pictures.seeds, _FLIP, (1, 1)) < 0.5
    images = torch.where(flip[..., None], pictures.images.flip(2), pictures.images)
    regions = torch.where(flip, pictures.regions.flip(2), pictures.regions)
    coords, chosen = draw_clicks(regions, pictures.seeds, clicks)
    masks = (regions[:, None] == chosen[:, :, None, None]).to(torch.float32)
    scale = regions.shape[-1] // mask_size
    images = augment(normalize_rgb(images), pictures.seeds, augmentation)
    return ClickTargets(images, regions, coords, F.avg_pool2d(masks, scale), pictures.seeds)


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
    return _draw_pixels(weights, uniform(seeds, _PIXEL, (clicks,)), regions.shape[2]), chosen


def _draw_pixels(
    weights: Int[Tensor, "batch clicks pixels"], share: Float[Tensor, "batch clicks"], width: int
) -> Float[Tensor, "batch clicks 2"]:
    """Draws pixels with chances proportional to their weights; returns their (x, y)."""
    # Integer sums are exact, so that every device draws the same pixel.
    heights = weights.cumsum(2, dtype=torch.int32)
    mark = (share * heights[..., -1]).to(torch.int32).minimum(heights[..., -1] - 1)
    pixel = torch.searchsorted(heights, mark[..., None], right=True)[..., 0]
    return torch.stack([pixel % width, pixel // width], dim=-1).to(torch.float32)


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
    point_coords: Float[Tensor, "batch clicks points 2"],
    point_labels: Int[Tensor, "batch clicks points"],
    masks: Float[Tensor, "batch clicks mask mask"] | None = None,
) -> tuple[Float[Tensor, "batch clicks mask mask"], Float[Tensor, "batch clicks"]]:
    """Decodes the same number of prompts on each image, as separate prompts of `Segmenter.decode`."""
    previous = None if masks is None else masks.flatten(0, 1)[:, None]
    logits, iou = model.decode(
        image_embeddings, point_coords.flatten(0, 1), point_labels.flatten(0, 1), masks=previous
    )
    per_image = point_coords.shape[:2]
    return logits[:, 0].float().view(*per_image, *logits.shape[2:]), iou[:, 0].float().view(per_image)


def decode_rounds(
    model: Segmenter,
    image_embeddings: Float[Tensor, "batch dim height width"],
    targets: ClickTargets,
    rounds: int,
) -> Iterator[tuple[Float[Tensor, "batch clicks mask mask"], Float[Tensor, "batch clicks"]]]:
    """Yields logits and predicted IoU of every round of clicks, on one embedding.

    As in SAM's training, every further round has one more click, drawn from the region in which the last mask
    is wrong, and the logits of the last round as mask prompt, without their gradient.
    """
    coords = targets.point_coords[:, :, None]
    labels = torch.ones(coords.shape[:3], dtype=torch.int64, device=coords.device)
    previous = None
    for number in range(rounds):
        if previous is not None:
            click, label = correcting_clicks(previous, targets, number)
            coords = torch.cat([coords, click[:, :, None]], 2)
            labels = torch.cat([labels, label[:, :, None]], 2)
        logits, iou = decode_batch(model, image_embeddings, coords, labels, previous)
        previous = logits.detach()
        yield logits, iou


def correcting_clicks(
    mask_logits: Float[Tensor, "batch clicks mask mask"], targets: ClickTargets, number: int
) -> tuple[Float[Tensor, "batch clicks 2"], Int[Tensor, "batch clicks"]]:
    """Draws a pixel of the mask logits where they are wrong; where they are right, one of the target.

    Args:
        mask_logits: logits of the round before.
        targets: the batch.
        number: number of the round, from 1.

    Returns:
        Centres (x, y) of these pixels in pixels of the image, and their labels: 1 on the target, else 0.
    """
    size, image = mask_logits.shape[-1], targets.images.shape[-1]
    # A small region may fill no pixel by half: then its fullest ones are the target.
    fullest = targets.masks.amax((2, 3), keepdim=True).clamp_max(0.5)
    true = (targets.masks >= fullest).flatten(2)
    wrong = (mask_logits > 0).flatten(2) != true
    weights = torch.where(wrong.any(2, keepdim=True), wrong, true).to(torch.int32)
    share = uniform(targets.seeds, _CORRECTION + number, (mask_logits.shape[1],))
    pixels = _draw_pixels(weights, share, size)
    x, y = pixels.to(torch.int64).unbind(-1)
    labels = true.gather(2, (y * size + x)[..., None])[..., 0].to(torch.int64)
    return (pixels + 0.5) * (image / size) - 0.5, labels


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


class DropPath:
    """Stochastic depth (Huang et al., ECCV 2016): in training, blocks are skipped by single images.

    The chance grows linearly over the blocks, from 0 at the first. What a block adds is divided by the chance
    that it is kept, so that nothing changes on average. Names and weights of the layers are unchanged.

    Args:
        blocks: blocks of the image encoder, (batch, height, width, dim) -> the same shape.
        chance: chance that the last block is skipped, 0..1.
    """

    def __init__(self, blocks: Sequence[nn.Module], chance: float) -> None:
        self.factors: Float[Tensor, "batch blocks"] | None = None
        self.kept = [1 - chance * k / max(1, len(blocks) - 1) for k in range(len(blocks) if chance else 0)]
        for k in range(len(self.kept)):
            blocks[k].register_forward_hook(functools.partial(self._thin, k))

    def draw(self, seeds: Int[Tensor, " batch"]) -> None:
        """Draws which blocks the images of the next step skip."""
        if not self.kept:
            return
        drawn = uniform(seeds, _DROP, (len(self.kept),))
        # By columns: a tensor of the chances would be copied to the GPU, which synchronises.
        self.factors = torch.stack([(drawn[:, k] < kept) / kept for k, kept in enumerate(self.kept)], 1)

    def _thin(self, k: int, block: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor | None:
        if not block.training or self.factors is None:
            return None
        return inputs[0] + self.factors[:, k, None, None, None].to(output.dtype) * (output - inputs[0])
