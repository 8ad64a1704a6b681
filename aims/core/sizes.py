"""Size classes of instances, by the share of the picture that they cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: The share of its picture from which on an instance is large: these have a score of their own.
LARGE = 0.01
#: Where a class ends and the next begins: as wide and high as 1/20, 1/10 and 1/5 of the picture.
EDGES = (0.0025, LARGE, 0.04)
#: In words, smallest first.
SIZES = ("below 0.25 %", "0.25 to 1 %", "1 to 4 %", "4 % and more")
#: The same in words, and as the heading of a column.
LARGE_SHARE = f"{100 * LARGE:g} %"
LARGE_NAME = f"≥ {LARGE_SHARE}"
#: The classes of `SIZES` that are large.
LARGE_CLASSES = slice(EDGES.index(LARGE) + 1, None)


def sums_by_size(
    iou: FloatArray, areas: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Sorts instances by size.

    Args:
        iou: of each instance.
        areas: its pixels.
        pixels: of its picture.

    Returns:
        Sum of the IoU and number of the instances of each class in `SIZES`.
    """
    classes = np.digitize(areas / pixels, EDGES)
    sums = np.bincount(classes, weights=iou, minlength=len(SIZES)).astype(np.float64)
    return sums, np.bincount(classes, minlength=len(SIZES)).astype(np.float64)


def large_scores(
    iou: FloatArray, areas: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[float | None, int]:
    """The scores of a run's large instances alone.

    Args:
        iou: of each instance, large or not.
        areas: its pixels.
        pixels: of its picture.

    Returns:
        Their mean IoU, 0..1 or None where there is none, and their number.
    """
    sums, counts = (each[LARGE_CLASSES].sum() for each in sums_by_size(iou, areas, pixels))
    return (float(sums / counts) if counts else None), int(counts)
