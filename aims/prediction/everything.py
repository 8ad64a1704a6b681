"""All objects of a picture, from a grid of clicks on one embedding.

The rules are those of segment-anything's `SamAutomaticMaskGenerator` (Segment Anything, appendix B): a
regular grid of clicks, masks kept by their predicted IoU and by their stability under another threshold,
duplicates removed by non-maximum suppression, and crops of the picture for small objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from aims.core.errors import InputError
from aims.core.schema import Array
from aims.engine.evaluate import PIXELS, predict_masks
from aims.engine.masks import resize
from aims.prediction.instances import Instances, merge
from aims.prediction.model import Embedding
from aims.prediction.options import Everything

#: Clicks that are decoded at once; few enough that the masks of large pictures fit into memory.
_CLICKS = 64
#: A mask that comes nearer than this to the edge of a crop goes on outside, in pixels.
_EDGE = 20.0


class _Crop(NamedTuple):
    """A rectangle of the picture in pixels, `right` and `bottom` exclusive, and its layer."""

    left: int
    top: int
    right: int
    bottom: int
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left


def segment_everything(
    embedding: Embedding, arrays: Mapping[str, Array] | None, options: Everything
) -> Instances:
    """Finds all objects of a picture.

    Args:
        embedding: the whole picture.
        arrays: its streams, from which crops are cut; None if `options.crop_layers` is 0.
        options: grid and thresholds.

    Returns:
        The objects, by falling rank.

    Raises:
        InputError: crops are asked for without the streams.
    """
    if options.crop_layers and arrays is None:
        raise InputError("crop_layers needs the recording, not its embedding")
    found: list[tuple[_Crop, Instances]] = []
    for crop in crop_boxes(embedding.size, options):
        part = embedding
        if crop.layer:
            assert arrays is not None
            cut = {
                name: array[crop.top : crop.bottom, crop.left : crop.right] for name, array in arrays.items()
            }
            part = embedding.model.embed_arrays(cut)
        found.append((crop, _in_crop(part, crop, embedding.size, options)))
    merged = merge([instances for _, instances in found], embedding.size)
    if options.crop_layers:
        # What a smaller crop shows larger is preferred, as in SAM.
        areas = np.concatenate([np.full(len(each), math.prod(crop.size)) for crop, each in found])
        merged = merged.chosen(_suppress(merged, 1 / areas, options))
    return merged.chosen(np.argsort(-options.ranks(merged), kind="stable"))


def point_grid(side: int) -> NDArray[np.float64]:
    """Returns (side * side, 2) evenly spaced points (x, y) in the unit square, row by row."""
    places = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)


def crop_boxes(size: tuple[int, int], options: Everything) -> list[_Crop]:
    """Returns the whole picture and the crops of every layer.

    Args:
        size: (height, width) of the picture.
        options: `crop_layers` and `crop_overlap`.
    """
    height, width = size
    crops = [_Crop(0, 0, width, height, 0)]
    for layer in range(1, options.crop_layers + 1):
        side = 2**layer
        overlap = int(options.crop_overlap * min(size) * (2 / side))
        tall, wide = (-(-(overlap * (side - 1) + length) // side) for length in size)
        for k in range(side):
            for row in range(side):
                left, top = k * (wide - overlap), row * (tall - overlap)
                crops.append(_Crop(left, top, min(left + wide, width), min(top + tall, height), layer))
    return crops


def _in_crop(part: Embedding, crop: _Crop, size: tuple[int, int], options: Everything) -> Instances:
    """Finds the objects of one crop, in pixels of the whole picture."""
    side = max(1, options.points_per_side // options.crop_points_divisor**crop.layer)
    points = point_grid(side) * np.array(part.size[::-1])
    found = [_click(part, crop, size, clicks, options) for clicks in _batches(points, part.size)]
    merged = merge(found, size)
    return merged.chosen(_suppress(merged, options.ranks(merged), options))


def _batches(points: NDArray[np.float64], size: tuple[int, int]) -> Iterator[NDArray[np.float64]]:
    step = max(1, min(_CLICKS, PIXELS // (size[0] * size[1])))
    for first in range(0, len(points), step):
        yield points[first : first + step]


def _click(
    part: Embedding, crop: _Crop, size: tuple[int, int], points: NDArray[np.float64], options: Everything
) -> Instances:
    """Returns the masks of some clicks that pass the thresholds."""
    model, (height, width) = part.model, part.size
    scale = np.array([model.rules.size / width, model.rules.size / height])
    # Not `to_input_coords`: as in SAM a grid is of places, not of pixels whose centres are meant.
    coords = torch.from_numpy(points * scale).float()[:, None]
    with torch.inference_mode():
        logits, scores = predict_masks(
            model.segmenter,
            part.features,
            coords,
            torch.ones(coords.shape[:2], dtype=torch.int64),
            precision=model.precision,
            multimask=options.multimask,
        )
        # Of several masks of a click, each counts by itself.
        clicks = torch.arange(len(points)).repeat_interleave(logits.shape[1])
        logits, scores = logits.flatten(0, 1), scores.flatten()
        good = (
            (scores > options.min_iou) if options.min_iou > 0 else torch.ones_like(scores, dtype=torch.bool)
        )
        logits, scores, clicks = logits[good], scores[good], clicks[good.cpu()]
        large = resize(logits, part.size)
        stability = stability_scores(large, options.stability_offset)
        masks = large > 0
        areas = masks.flatten(1).sum(1, dtype=torch.int32)
        kept = (stability >= options.min_stability) & (areas >= max(1, options.min_area))
        kept &= areas <= options.max_share * height * width
        kept &= ~_cut_off(masks, crop, size)
        masks, scores, stability = masks[kept], scores[kept], stability[kept]
    return Instances.of(
        masks.cpu().numpy(),
        scores.cpu().numpy(),
        offset=(crop.left, crop.top),
        size=size,
        stability=stability.cpu().numpy(),
        points=points[clicks[kept.cpu()].numpy()] + np.array([crop.left, crop.top]),
    )


def stability_scores(logits: Tensor, offset: float) -> Tensor:
    """Computes the IoU of each (objects, height, width) mask at the thresholds `offset` and `-offset`."""
    flat = logits.flatten(1)
    inner, outer = ((flat > threshold).sum(1, dtype=torch.int32) for threshold in (offset, -offset))
    return inner / outer.clamp_min(1)


def _cut_off(masks: Tensor, crop: _Crop, size: tuple[int, int]) -> Tensor:
    """Returns which masks end at an edge of their crop that is none of the picture: they go on outside."""
    rows, columns = masks.any(2), masks.any(1)
    sides = (
        (crop.left, 0, columns, False),
        (crop.top, 0, rows, False),
        (crop.right, size[1], columns, True),
        (crop.bottom, size[0], rows, True),
    )
    cut = torch.zeros(len(masks), dtype=torch.bool, device=masks.device)
    for place, border, there, at_end in sides:
        if abs(place - border) > _EDGE:
            near = there[:, -int(_EDGE) - 1 :] if at_end else there[:, : int(_EDGE) + 1]
            cut |= near.any(1)
    return cut


def _suppress(instances: Instances, priority: NDArray[np.floating], options: Everything) -> NDArray[np.int64]:
    """Returns the places that greedy non-maximum suppression keeps, by falling priority."""
    if not len(instances):
        return np.zeros(0, np.int64)
    if options.nms_on == "box":
        boxes = instances.boxes.astype(np.float64)
        # SAM's corners are the outermost pixels, so that its sides are one pixel shorter than COCO's.
        boxes[:, 2:] -= 1
        overlaps = coco_mask.iou(boxes, boxes, [0] * len(boxes))
    else:
        rles = [dict(rle) for rle in instances.rles]
        overlaps = coco_mask.iou(rles, rles, [0] * len(rles))
    left = np.argsort(-priority, kind="stable")
    kept = []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        left = left[overlaps[first, left] <= options.nms]
    return np.array(kept, np.int64)
