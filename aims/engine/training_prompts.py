"""Simulated prompts of training: a first click or box, then clicks where the last mask is wrong.

The scheme is that of SAM's own training (Kirillov et al., Segment Anything, 2023, appendix A), without its
two rounds that add no click.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from aims.core.vocabulary import CLICK_GRID, TrainingPrompts
from aims.models.features import Features
from aims.models.segmenter import Segmenter

#: (x, y, width, height) in pixels, as datasets store it.
BoundingBox = tuple[int, int, int, int]
#: Standard deviation of a box's jitter as a share of its side, and its largest size in pixels of 1024.
JITTER_SHARE, LARGEST_JITTER = 0.1, 20
#: Chance that the last mask is a prompt of a further round. SAM always gave it; here as in micro-sam
#: (Archit et al., Nature Methods, 2025), so that the model needs no mask from those who only click.
MASK_CHANCE = 0.5

# Parts of the seeds, so that these draws are independent of those of instances and first clicks.
_STEP, _IMAGE = 1, 2


class Prompts(NamedTuple):
    """The prompts of a step, all of one kind, and their targets.

    Attributes:
        point_coords: first clicks (x, y) in pixels of the model input; points is 0 where boxes come first.
        masks: target masks at the size of the mask logits, or the share of each pixel that they cover, 0..1.
        boxes: (left, top, right, bottom) in pixels of the model input; None where clicks come first.
        lots: a number in [0, 1) for each further click, which chooses its pixel.
        with_mask: for each further click, whether the mask before it is a prompt, too.
    """

    point_coords: Float[Tensor, "prompts points 2"]
    masks: Float[Tensor, "prompts mask mask"]
    boxes: Float[Tensor, "prompts 4"] | None
    lots: Float[Tensor, "prompts further"]
    with_mask: tuple[bool, ...]

    def part(self, chosen: slice) -> Prompts:
        """Returns some of the prompts."""
        boxes = None if self.boxes is None else self.boxes[chosen]
        return Prompts(
            self.point_coords[chosen], self.masks[chosen], boxes, self.lots[chosen], self.with_mask
        )

    def to(self, device: torch.device) -> Prompts:
        """Copies the prompts to a device, asynchronously where they are page-locked."""
        boxes = None if self.boxes is None else self.boxes.to(device, non_blocking=True)
        coords, masks, lots = (
            each.to(device, non_blocking=True) for each in (self.point_coords, self.masks, self.lots)
        )
        return Prompts(coords, masks, boxes, lots, self.with_mask)

    @classmethod
    def joined(cls, parts: Sequence[Prompts]) -> Prompts:
        """Concatenates the prompts of one step."""
        coords, masks, boxes, lots, (with_mask, *_) = zip(*parts, strict=True)
        all_boxes = None if boxes[0] is None else torch.cat(boxes)
        return cls(torch.cat(coords), torch.cat(masks), all_boxes, torch.cat(lots), with_mask)


class StepDraws:
    """The random numbers of a step's prompts, from the seed and the step alone.

    Args:
        kind: training prompts of the run.
        seed: seed of the run.
        epoch: index of the epoch.
        step: index of the step in the epoch.
    """

    def __init__(self, kind: TrainingPrompts, seed: int, epoch: int, step: int) -> None:
        self._kind, self._key = kind, (seed, epoch, step)
        rng = np.random.default_rng((*self._key, 0, _STEP))
        # One kind for a whole step, also if several processes compute it, as the decoder takes either boxes
        # or none.
        self.boxes_first = kind.first[rng.integers(len(kind.first))] == "box"
        self.with_mask: tuple[bool, ...] = tuple((rng.random(kind.further) < MASK_CHANCE).tolist())

    def of_image(
        self, place: int, instances: Sequence[BoundingBox], size: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Draws boxes and the lots of further clicks for the instances of an image.

        Args:
            place: index of the image in the whole batch.
            instances: bounding boxes of the drawn instances.
            size: (height, width) of the image.

        Returns:
            Boxes, (instances, 2, 2) as corners (x, y) in pixels of the image, and lots, (instances, further).
        """
        rng = np.random.default_rng((*self._key, place, _IMAGE))
        boxes = [jittered_box(each, size, rng) for each in instances] if self.boxes_first else []
        # As float32: a float64 below 1 could be rounded up to it.
        lots = rng.random((len(instances), self._kind.further), np.float32)
        return np.array(boxes, np.float64).reshape(-1, 2, 2), lots


def jittered_box(
    instance: BoundingBox, size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Moves every side of an instance's bounding box by a random distance.

    The distance is normal, with a standard deviation of 10 % of the box's extent in that direction, and at
    most 20 / 1024 of the image's, which SAM trains at 1024 pixels.

    Args:
        instance: (x, y, width, height) in pixels.
        size: (height, width) of the image.
        rng: generator of the distances.

    Returns:
        Corners [[left, top], [right, bottom]], indices of the outermost pixels, inside the image, as
        `aims.engine.boxes.bounding_boxes` gives them in evaluation.
    """
    left, top, *extent = instance
    corners = np.array([[left, top], [left + extent[0] - 1, top + extent[1] - 1]], np.float64)
    sides = np.array(size[::-1])
    most = LARGEST_JITTER / CLICK_GRID * sides
    noise = np.clip(rng.normal(size=(2, 2)) * JITTER_SHARE * np.array(extent), -most, most)
    # Sorted: the sides of a box of a few pixels may change places.
    moved: NDArray[np.float64] = np.sort(np.clip(corners + noise, 0, sides - 1), axis=0)
    return moved


def decode_rounds(
    model: Segmenter, features: Features, prompts: Prompts
) -> Iterator[tuple[Float[Tensor, "prompts mask mask"], Float[Tensor, " prompts"]]]:
    """Yields float32 mask logits and predicted IoU of every round of prompts, on the same features.

    Every further round has one more click, drawn from the region in which the last mask is wrong; the logits
    of the last round are a prompt without their gradient, where the model takes masks.
    """
    coords = prompts.point_coords
    labels = torch.ones(coords.shape[:2], dtype=torch.int64, device=coords.device)
    logits, iou = model.decode(features, coords, labels, prompts.boxes)
    yield logits[:, 0].float(), iou[:, 0].float()
    for with_mask, lots in zip(prompts.with_mask, prompts.lots.unbind(1), strict=True):
        last = logits.detach().float()
        click, label = correcting_clicks(last[:, 0], prompts.masks, lots, model.image_size)
        coords = torch.cat([coords, click[:, None]], 1)
        labels = torch.cat([labels, label[:, None]], 1)
        mask = last if with_mask and model.takes_masks else None
        logits, iou = model.decode(features, coords, labels, prompts.boxes, mask)
        yield logits[:, 0].float(), iou[:, 0].float()


def correcting_clicks(
    mask_logits: Float[Tensor, "prompts mask mask"],
    masks: Float[Tensor, "prompts mask mask"],
    lots: Float[Tensor, " prompts"],
    image_size: int,
) -> tuple[Float[Tensor, "prompts 2"], Int[Tensor, " prompts"]]:
    """Draws a pixel of the mask logits where they are wrong; where they are right, one of the target.

    Args:
        mask_logits: logits of the round before.
        masks: target masks, 0..1.
        lots: a number in [0, 1) for each prompt, which chooses the pixel.
        image_size: side of the model input, in pixels.

    Returns:
        Centres (x, y) of these pixels in pixels of the model input, and their labels: 1 on the target, 0 off
        it, -1 (padding) where there is neither an error nor a target.
    """
    size = mask_logits.shape[-1]
    # A small region may fill no pixel by half: then its fullest ones are the target. It has none at all where
    # a reduction to this size took no pixel of it.
    fullest = masks.amax((1, 2), keepdim=True).clamp_max(0.5)
    true = ((masks >= fullest) & (masks > 0)).flatten(1)
    wrong = (mask_logits > 0).flatten(1) != true
    chosen = torch.where(wrong.any(1, keepdim=True), wrong, true)
    pixels = draw_pixels(chosen.to(torch.int32), lots, size)
    x, y = pixels.to(torch.int64).unbind(-1)
    labels = true.gather(1, (y * size + x)[:, None])[:, 0].to(torch.int64)
    labels = torch.where(chosen.any(1), labels, -1)
    return (pixels + 0.5) * (image_size / size) - 0.5, labels


def draw_pixels(
    weights: Int[Tensor, "*prompts pixels"], lots: Float[Tensor, "*prompts"], width: int
) -> Float[Tensor, "*prompts 2"]:
    """Draws pixels with chances proportional to their weights; returns their (x, y).

    Args:
        weights: weights of the pixels of a map, row by row.
        lots: a number in [0, 1) for each drawn pixel, which chooses it.
        width: width of the map.
    """
    # Integer sums are exact, so that every device draws the same pixel.
    heights = weights.cumsum(-1, dtype=torch.int32)
    mark = (lots * heights[..., -1]).to(torch.int32).minimum(heights[..., -1] - 1)
    pixel = torch.searchsorted(heights, mark[..., None], right=True)[..., 0]
    return torch.stack([pixel % width, pixel // width], dim=-1).to(torch.float32)
