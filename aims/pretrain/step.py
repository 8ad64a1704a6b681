"""One step of pretraining: augmentation, random clicks, and losses."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.core.vocabulary import CLICK_GRID
from aims.engine.training_prompts import (
    JITTER_SHARE,
    LARGEST_JITTER,
    Prompts,
    StepDraws,
    draw_pixels,
)
from aims.pretrain.augment import augment
from aims.pretrain.pictures import Pictures, normalize_rgb
from aims.synth.world.random import uniform

#: Smallest share of the image that a clicked region covers (40 pixels at 128 x 128).
SMALLEST = 0.0025
#: Losses by name, in the order in which they are logged.
LOSS_NAMES = ("entropy", "dice", "iou", "pairs")

# Streams of `aims.synth.world.random`, distinct from those of sensors, families and `aims.pretrain.augment`.
_FLIP, _REGION, _PIXEL, _DROP, _CORRECTION, _JITTER = 900, 903, 904, 910, 920, 990
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
    return draw_pixels(weights, uniform(seeds, _PIXEL, (clicks,)), regions.shape[2]), chosen


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


def prompts_of(targets: ClickTargets, draws: StepDraws) -> Prompts:
    """Returns the prompts of a batch: clicks or boxes, then in every further round one more click."""
    clicks = targets.point_coords.shape[1]
    further = range(len(draws.with_mask))
    lots = [uniform(targets.seeds, _CORRECTION + number, (clicks,)).flatten() for number in further]
    coords = targets.point_coords.flatten(0, 1)
    return Prompts(
        point_coords=coords[:, None][:, : 0 if draws.boxes_first else 1],
        masks=targets.masks.flatten(0, 1),
        boxes=draw_boxes(targets).flatten(0, 1) if draws.boxes_first else None,
        lots=torch.stack(lots, 1) if lots else coords[:, :0],
        with_mask=draws.with_mask,
    )


def draw_boxes(targets: ClickTargets) -> Float[Tensor, "batch clicks 4"]:
    """Returns the bounding boxes of the clicked regions, with their sides moved at random.

    The distances are as in `aims.engine.training_prompts.jittered_box`, but uniform, as uniform numbers are
    the same on every device.

    Returns:
        (left, top, right, bottom), the outermost pixels, inside the image.
    """
    x, y = targets.point_coords.to(torch.int64).unbind(-1)
    size = targets.regions.shape[-1]
    labels = targets.regions.flatten(1).gather(1, y * size + x)
    inside = targets.regions[:, None] == labels[:, :, None, None]
    ends = []
    for dim in (2, 3):  # over the rows: left and right; over the columns: top and bottom
        there = inside.any(dim).to(torch.uint8)
        ends.append((there.argmax(-1), size - 1 - there.flip(-1).argmax(-1)))
    corners = torch.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], -1).to(torch.float32)
    extent = (corners[..., 2:] - corners[..., :2] + 1).repeat(1, 1, 2)
    # A uniform number from -a to a has the standard deviation a / sqrt(3).
    most = (math.sqrt(3) * JITTER_SHARE * extent).clamp_max(LARGEST_JITTER / CLICK_GRID * size)
    moved = corners + most * (2 * uniform(targets.seeds, _JITTER, (labels.shape[1], 4)) - 1)
    moved = moved.clamp(0, size - 1)
    # The sides of a box of a few pixels may change places.
    return torch.cat([moved[..., :2].minimum(moved[..., 2:]), moved[..., :2].maximum(moved[..., 2:])], -1)


def mask_losses(
    mask_logits: Float[Tensor, "*prompts mask mask"],
    iou_predictions: Float[Tensor, "*prompts"],
    masks: Float[Tensor, "*prompts mask mask"],
    balance: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Computes cross-entropy, Dice, and squared error of the predicted IoU, as means over the prompts.

    Args:
        mask_logits: mask logits of `decode_rounds`.
        iou_predictions: predicted IoU of `decode_rounds`.
        masks: target masks, 0..1.
        balance: interpolates the cross-entropy: 1 weighs object and background equally whatever their size,
            which learns quickly at first but makes masks too large; 0 is the mean over pixels.
    """
    entropy = F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none")
    plain = entropy.mean((-2, -1))
    # A small region can cover less than one pixel of the logits, hence `clamp_min`.
    inside = (entropy * masks).sum((-2, -1)) / masks.sum((-2, -1)).clamp_min(1)
    outside = (entropy * (1 - masks)).sum((-2, -1)) / (1 - masks).sum((-2, -1)).clamp_min(1)
    balanced = 0.5 * (inside + outside)
    probability = mask_logits.sigmoid()
    overlap, sizes = (probability * masks).sum((-2, -1)), (probability + masks).sum((-2, -1))
    dice = 1 - (2 * overlap + _SMOOTH) / (sizes + _SMOOTH)
    with torch.no_grad():
        found, true = mask_logits > 0, masks > 0.5
        union = (found | true).sum((-2, -1)).clamp_min(1)
        iou = (found & true).sum((-2, -1)) / union
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
