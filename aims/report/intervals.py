"""Intervals of mIoU: a bootstrap that resamples images, because instances of one image correlate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 9999
SEED = 0
# Resampled values held at a time (8 bytes each, in a few arrays): bounds the memory on large test sets.
_VALUES_AT_A_TIME = 2_000_000


def _mean_iou(sums: FloatArray, counts: FloatArray, axis: int = -1) -> FloatArray:
    mean: FloatArray = sums.sum(axis=axis) / counts.sum(axis=axis)
    return mean


def clustered_interval(sums: FloatArray, counts: FloatArray) -> tuple[float, float] | None:
    """95 % percentile interval of the mean over instances, by resampling whole images.

    Args:
        sums: per image, the sum of its instances' IoU.
        counts: per image, the number of its instances, at least 1.

    Returns:
        Lower and upper end, or None for fewer than two images. The same input gives the same interval.
    """
    if len(sums) < 2:
        return None
    result = stats.bootstrap(
        (sums, counts.astype(np.float64)),
        _mean_iou,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _VALUES_AT_A_TIME // len(sums)),
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(SEED),  # the name that every SciPy since 1.12 takes
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
