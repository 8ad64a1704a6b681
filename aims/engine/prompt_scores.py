"""Scores of masks under several prompts: next click, boundary IoU, clicks until an IoU, and their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
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


def summarize(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """Means over instances of the scores under every prompt, from 0 to 1.

    Args:
        rows: of `PROMPT_SCHEMA`.
        classes: names of the classes 1, 2, ...

    Returns:
        `miou_clicks` after 1, 2, ... clicks; for each goal the mean number of clicks, an instance that never
        reaches it counting with all of them (as published NoC do), and the share of such instances; mIoU of
        boxes and of clicks anywhere, with the standard deviation over the clicks of an instance; boundary
        IoU; and mIoU of the first click by class, by size, and as the mean over images.
    """
    iou = np.array([row["iou_clicks"] for row in rows])
    jitter = np.array([row["iou_jitter"] for row in rows])
    found: dict[str, Any] = {
        "instances": len(rows),
        "images": count_images(rows),
        "miou_clicks": iou.mean(axis=0).tolist(),
    }
    for goal in GOALS:
        name = f"noc_{goal * 100:.0f}"
        clicks = [row[name] for row in rows]
        found[name] = float(np.mean([iou.shape[1] if count is None else count for count in clicks]))
        found[f"{name}_failed"] = sum(count is None for count in clicks) / len(rows)
    found |= {
        name: float(np.mean([row[key] for row in rows]))
        for name, key in (
            ("miou_box", "iou_box"),
            ("boundary_iou", "boundary_iou"),
            ("boundary_iou_box", "boundary_iou_box"),
        )
    }
    found["miou_jitter"] = float(jitter.mean()) if jitter.size else None
    found["jitter_sd"] = float(jitter.std(axis=1, ddof=1).mean()) if jitter.shape[1] > 1 else None
    return found | _by_kind(rows, iou[:, 0], classes)


def _by_kind(
    rows: Sequence[dict[str, Any]], iou: NDArray[np.float64], classes: Sequence[str]
) -> dict[str, Any]:
    class_ids = np.array([row["class_id"] for row in rows])
    images = np.array([row["image_id"] for row in rows])
    sums, counts = sums_by_size(
        iou, np.array([row["area"] for row in rows]), np.array([row["pixels"] for row in rows])
    )
    return {
        "by_class": {
            name: {"instances": int(there.sum()), "miou": float(iou[there].mean())}
            for number, name in enumerate(classes, start=1)
            if (there := class_ids == number).any()
        },
        "by_size": {
            name: {"instances": int(count), "miou": float(total / count)}
            for name, total, count in zip(SIZES, sums, counts, strict=True)
            if count
        },
        "mean_over_images": float(np.mean([iou[images == name].mean() for name in np.unique(images)])),
    }
