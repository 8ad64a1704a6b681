"""Scores of masks under several prompts: next click, boundary IoU, number of clicks (NoC), means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from aims.core.sizes import SIZES, sums_by_size
from aims.engine.evaluate import count_images

Mask = NDArray[np.bool_]

#: IoU thresholds of the number of clicks (NoC).
GOALS = (0.85, 0.90)
#: Width of a boundary, as a fraction of the image's diagonal (Cheng et al., Boundary IoU, CVPR 2021).
BOUNDARY = 0.02


def next_click(mask: Mask, truth: Mask, taken: Mask) -> tuple[tuple[int, int], int]:
    """Simulates the next click of a user: at the centre of the largest error.

    Follows interactive segmentation (Sofiiuk et al., Reviving iterative training with mask guidance, ICIP
    2022): the click is the pixel, among false negatives and false positives, that is farthest from the edge
    of its region, not counting pixels clicked before. The image border counts as an edge.

    Args:
        mask: predicted mask, (height, width).
        truth: ground-truth mask, (height, width).
        taken: True at pixels clicked before, (height, width).

    Returns:
        (x, y), and the label 1 (object) or 0 (background); (0, 0) and -1, SAM's padding, without an error.
    """
    missing, extra = (np.where(taken, 0, _depth(error)) for error in (truth & ~mask, mask & ~truth))
    if missing.max() == 0 and extra.max() == 0:
        return (0, 0), -1
    sign = int(missing.max() > extra.max())
    depth = missing if sign else extra
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    return (int(x), int(y)), sign


def _depth(region: Mask) -> NDArray[Any]:
    # OpenCV measures the distance to pixels of 0 only: the padding makes the image border an edge.
    padded = np.pad(region.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def clicks_until(ious: Sequence[float], goal: float) -> int | None:
    """Returns the number of clicks after which the IoU reaches `goal`; None if it never does."""
    return next((k for k, iou in enumerate(ious, start=1) if iou >= goal), None)


def boundary_iou(mask: Mask, truth: Mask) -> float:
    """Computes the IoU of two masks' inner boundaries, 2 % of the diagonal wide (Cheng et al., CVPR 2021).

    Two empty masks have a boundary IoU of 1.
    """
    width = max(1, round(BOUNDARY * math.hypot(*mask.shape)))
    inner, outer = (_boundary(each, width) for each in (mask, truth))
    union = int(np.count_nonzero(inner | outer))
    return int(np.count_nonzero(inner & outer)) / union if union else 1.0


def _boundary(mask: Mask, width: int) -> Mask:
    # Outside the image is background, so a mask that touches the border has a boundary there.
    padded = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    boundary: Mask = mask & (eroded == 0)
    return boundary


class PromptRow(TypedDict):
    """The scores of a test instance under every kind of prompt.

    Attributes:
        image_id: id of the image.
        group: group of the image.
        instance_id: id of the instance in the image.
        class_id: class of the instance.
        area: number of pixels of the instance at the resolution of the image.
        pixels: number of pixels of the image.
        iou_clicks: IoU after 1, 2, ... clicks, the first of them the protocol's own.
        noc_85: number of clicks until an IoU of 0.85; None where it is not reached.
        noc_90: number of clicks until an IoU of 0.90; None where it is not reached.
        iou_box: IoU for the bounding box as prompt.
        iou_jitter: IoU of each single click drawn at random in the instance.
        boundary_iou: boundary IoU after the first click.
        boundary_iou_box: boundary IoU for the bounding box.
    """

    image_id: str
    group: str
    instance_id: int
    class_id: int
    area: int
    pixels: int
    iou_clicks: list[float]
    noc_85: int | None
    noc_90: int | None
    iou_box: float
    iou_jitter: list[float]
    boundary_iou: float
    boundary_iou_box: float


class KindScore(msgspec.Struct, frozen=True, kw_only=True):
    """Number and mean IoU (0..1) of the instances of one class or one size."""

    instances: int
    miou: float


class PromptScores(msgspec.Struct, frozen=True, kw_only=True):
    """Means over instances of the scores under every kind of prompt; IoU and shares are in 0..1.

    Attributes:
        instances: number of instances.
        images: number of images.
        miou_clicks: mIoU after 1, 2, ... clicks.
        noc_85: mean number of clicks until an IoU of 0.85; an instance that never reaches it counts with all
            of them, as published NoC do.
        noc_85_failed: share of instances that never reach 0.85.
        noc_90: mean number of clicks until an IoU of 0.90, counted as for `noc_85`.
        noc_90_failed: share of instances that never reach 0.90.
        miou_box: mIoU of boxes.
        boundary_iou: mean boundary IoU of the first click.
        boundary_iou_box: mean boundary IoU of boxes.
        miou_jitter: mIoU of clicks drawn at random; None where none was drawn.
        jitter_sd: mean over instances of the standard deviation of the IoU over their random clicks; None
            where fewer than two were drawn.
        by_class: mIoU of the first click by class name.
        by_size: mIoU of the first click by size (`aims.core.sizes.SIZES`).
        mean_over_images: mean over images of the mIoU of the first click within an image.
    """

    instances: int
    images: int
    miou_clicks: list[float]
    noc_85: float
    noc_85_failed: float
    noc_90: float
    noc_90_failed: float
    miou_box: float
    boundary_iou: float
    boundary_iou_box: float
    miou_jitter: float | None
    jitter_sd: float | None
    by_class: dict[str, KindScore]
    by_size: dict[str, KindScore]
    mean_over_images: float


def summarize(rows: Sequence[PromptRow], classes: Sequence[str]) -> PromptScores:
    """Averages the scores of instances.

    Args:
        rows: scores of the instances.
        classes: names of the classes with ids 1, 2, ...
    """
    iou = np.array([row["iou_clicks"] for row in rows])
    jitter = np.array([row["iou_jitter"] for row in rows])
    first = iou[:, 0]
    class_ids, images, areas, pixels = (
        np.array([row.get(name) for row in rows]) for name in ("class_id", "image_id", "area", "pixels")
    )
    sums, counts = sums_by_size(first, areas, pixels)
    clicks, failed = zip(*(_clicks_until(iou, goal) for goal in GOALS), strict=True)
    return PromptScores(
        instances=len(rows),
        images=count_images(rows),
        miou_clicks=iou.mean(axis=0).tolist(),
        noc_85=clicks[0],
        noc_85_failed=failed[0],
        noc_90=clicks[1],
        noc_90_failed=failed[1],
        miou_box=float(np.mean([row["iou_box"] for row in rows])),
        boundary_iou=float(np.mean([row["boundary_iou"] for row in rows])),
        boundary_iou_box=float(np.mean([row["boundary_iou_box"] for row in rows])),
        miou_jitter=float(jitter.mean()) if jitter.size else None,
        jitter_sd=float(jitter.std(axis=1, ddof=1).mean()) if jitter.shape[1] > 1 else None,
        by_class={
            name: KindScore(instances=int(there.sum()), miou=float(first[there].mean()))
            for number, name in enumerate(classes, start=1)
            if (there := class_ids == number).any()
        },
        by_size={
            name: KindScore(instances=int(count), miou=float(total / count))
            for name, total, count in zip(SIZES, sums, counts, strict=True)
            if count
        },
        mean_over_images=float(np.mean([first[images == name].mean() for name in np.unique(images)])),
    )


def _clicks_until(iou: NDArray[np.float64], goal: float) -> tuple[float, float]:
    """Mean number of clicks until an IoU, and the share of instances that never reach it."""
    counts = [clicks_until(row, goal) for row in iou.tolist()]
    most = iou.shape[1]
    mean = float(np.mean([most if count is None else count for count in counts]))
    return mean, sum(count is None for count in counts) / len(counts)
