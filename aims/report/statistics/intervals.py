"""Intervals of mIoU: a bootstrap that resamples images, because instances of one image correlate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Level of the tests, and of what lies outside an interval.
ALPHA = 0.05
LEVEL = 1 - ALPHA
RESAMPLES = 9999
SEED = 0
# Resampled values held at a time (8 bytes each, in a few arrays): bounds the memory on large test sets.
_VALUES_AT_A_TIME = 2_000_000


def blocks(rows: int, columns: int, *, values: int | None = None) -> Iterator[slice]:
    """Cuts so many rows of so many values into blocks that fit the memory, or hold so many values."""
    step = max(1, (_VALUES_AT_A_TIME if values is None else values) // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def resampled_means(sums: FloatArray, counts: FloatArray) -> FloatArray:
    """Means over instances of resampled images, or of resampled groups of images.

    The resamples depend on the number of images alone. So columns are resampled jointly, and so are two
    calls about the same images: the difference of two of their means has the paired bootstrap's distribution.
    It is what `scipy.stats.bootstrap(paired=True)` computes, with the resamples drawn once for all columns.

    Args:
        sums: (images,) or (images, columns), the sum of the IoU of an image's instances.
        counts: of the same shape, the number of its instances, at least 1.

    Returns:
        (resamples,) or (resamples, columns).
    """
    images = len(sums)
    # Methods that are compared share their instances: one column of counts is then enough.
    alike = counts.ndim == 2 and bool((counts == counts[:, :1]).all())
    weights = counts[:, :1] if alike else counts
    generator = np.random.default_rng(SEED)
    means = np.empty((RESAMPLES, *sums.shape[1:]))
    for block in blocks(RESAMPLES, images):
        rows = block.stop - block.start
        picked = generator.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        # How often each image is picked: then every mean is a product of matrices.
        times = np.bincount(picked.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)
        means[block] = (times @ sums) / (times @ weights)
    return means


def percentile_interval(values: FloatArray) -> FloatArray:
    """The 95 % percentile interval of resampled values: (2,) or (2, columns), lower end first."""
    tail = (1 - LEVEL) / 2
    ends: FloatArray = np.quantile(values, (tail, 1 - tail), axis=0)
    return ends


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
    low, high = percentile_interval(resampled_means(sums, counts))
    return float(low), float(high)
