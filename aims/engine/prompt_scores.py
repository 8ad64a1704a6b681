"""Scores of masks under several prompts: next click, boundary IoU, clicks until an IoU, and their means."""

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

#: IoU that a user is content with, for the number of clicks (NoC) it takes.
GOALS = (0.85, 0.90)
#: Width of a boundary, as a part of the picture's diagonal (Cheng et al., Boundary IoU, CVPR 2021).
BOUNDARY = 0.02


def next_click(mask: Mask, truth: Mask, taken: Mask) -> tuple[tuple[int, int], int]:
    """Where a user clicks next: the middle of the largest error.

    As in interactive segmentation (Sofiiuk et al., Reviving iterative training with mask guidance, ICIP
    2022): of what is missing and of what is too much, the pixel farthest from its region's edge, the
    picture's border counting as an edge, where no click was yet.

    Args:
        mask: what was predicted.
        truth: what is right.
        taken: pixels that were clicked.

    Returns:
        (x, y), and 1 for object or 0 for background; without any error (0, 0) and -1, SAM's padding.
    """
    missing, extra = (np.where(taken, 0, _depth(error)) for error in (truth & ~mask, mask & ~truth))
    if missing.max() == 0 and extra.max() == 0:
        return (0, 0), -1
    sign = int(missing.max() > extra.max())
    depth = missing if sign else extra
    y, x = np.unravel_index(np.argmax(depth), depth.shape)
    return (int(x), int(y)), sign


def _depth(region: Mask) -> NDArray[Any]:
    padded = np.pad(region.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def clicks_until(ious: Sequence[float], goal: float) -> int | None:
    """The number of clicks after which an IoU is reached; None if it never is."""
    return next((k for k, iou in enumerate(ious, start=1) if iou >= goal), None)


def boundary_iou(mask: Mask, truth: Mask) -> float:
    """IoU of two masks' inner boundaries, each 2 % of the diagonal wide (Cheng et al., CVPR 2021).

    Two masks without a pixel have an IoU of 1.
    """
    width = max(1, round(BOUNDARY * math.hypot(*mask.shape)))
    inner, outer = (_boundary(each, width) for each in (mask, truth))
    union = int(np.count_nonzero(inner | outer))
    return int(np.count_nonzero(inner & outer)) / union if union else 1.0


def _boundary(mask: Mask, width: int) -> Mask:
    # What lies outside of the picture is not of the object.
    padded = np.pad(mask.astype(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    boundary: Mask = mask & (eroded == 0)
    return boundary


class PromptRow(TypedDict):
    """The scores of a test instance under every kind of prompt.

    Attributes:
        image_id: its image.
        group: the image's group.
        instance_id: its id in the image.
        class_id: its class.
        area: its pixels at the picture's own size.
        pixels: those of the picture.
        iou_clicks: IoU after 1, 2, ... clicks, the first of them the protocol's own.
        noc_85: clicks until an IoU of 0.85; None where it is not reached.
        noc_90: likewise until 0.90.
        iou_box: IoU under its box.
        iou_jitter: IoU under single clicks drawn anywhere in it.
        boundary_iou: boundary IoU under the first click.
        boundary_iou_box: boundary IoU under its box.
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
    """Number and mean IoU of the instances of a class, or of a size."""

    instances: int
    miou: float


class PromptScores(msgspec.Struct, frozen=True, kw_only=True):
    """Means over instances of the scores under every kind of prompt, from 0 to 1.

    Attributes:
        instances: number of instances.
        images: number of images.
        miou_clicks: mIoU after 1, 2, ... clicks.
        noc_85: mean number of clicks until an IoU of 0.85; an instance that never reaches it counts with all
            of them, as published NoC do.
        noc_85_failed: share of such instances.
        noc_90: as `noc_85`.
        noc_90_failed: likewise.
        miou_box: mIoU of boxes.
        boundary_iou: mean boundary IoU of the first click.
        boundary_iou_box: mean boundary IoU of boxes.
        miou_jitter: mIoU of clicks anywhere; None where none was drawn.
        jitter_sd: standard deviation over the clicks of an instance; None where fewer than two were drawn.
        by_class: mIoU of the first click by class.
        by_size: likewise by size.
        mean_over_images: mIoU of the first click as the mean over images.
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
    """Means over instances.

    Args:
        rows: the instances.
        classes: names of the classes 1, 2, ...
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
