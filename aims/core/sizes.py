"""Size classes of instances, by the share of the picture that they cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Where a class ends and the next begins: as wide and high as 1/20, 1/10 and 1/5 of the picture.
EDGES = (0.0025, 0.01, 0.04)
#: In words, smallest first.
SIZES = ("below 0.25 %", "0.25 to 1 %", "1 to 4 %", "4 % and more")


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
