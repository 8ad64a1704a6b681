"""Size classes of instances, by the share of the image that they cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Smallest share of the image that a large instance covers; large instances have a separate score.
LARGE = 0.01
#: Boundaries between the classes: squares with 1/20, 1/10 and 1/5 of the image's width and height.
EDGES = (0.0025, LARGE, 0.04)
#: Names of the classes, smallest first.
SIZES = ("below 0.25 %", "0.25 to 1 %", "1 to 4 %", "4 % and more")
#: `LARGE` as text, and as the heading of a column.
LARGE_SHARE = f"{100 * LARGE:g} %"
LARGE_NAME = f"≥ {LARGE_SHARE}"
#: Slice of the large classes in `SIZES`.
LARGE_CLASSES = slice(EDGES.index(LARGE) + 1, None)


def sums_by_size(
    iou: FloatArray, areas: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Sums the IoU of instances by size class.

    Args:
        iou: (instances,) IoU of each instance, 0..1.
        areas: (instances,) number of pixels of each instance.
        pixels: (instances,) number of pixels of its image.

    Returns:
        Sum of the IoU and number of instances, for each class in `SIZES`.
    """
    classes = np.digitize(areas / pixels, EDGES)
    sums = np.bincount(classes, weights=iou, minlength=len(SIZES)).astype(np.float64)
    return sums, np.bincount(classes, minlength=len(SIZES)).astype(np.float64)


def large_scores(
    iou: FloatArray, areas: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[float | None, int]:
    """Averages the IoU of the large instances.

    Args:
        iou: (instances,) IoU of each instance, large or not, 0..1.
        areas: (instances,) number of pixels of each instance.
        pixels: (instances,) number of pixels of its image.

    Returns:
        Mean IoU of the large instances, 0..1, or None if there are none; and their number.
    """
    sums, counts = (each[LARGE_CLASSES].sum() for each in sums_by_size(iou, areas, pixels))
    return (float(sums / counts) if counts else None), int(counts)
