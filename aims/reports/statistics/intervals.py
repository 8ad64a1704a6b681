"""Intervals of mIoU: a bootstrap that resamples images, because instances of one image correlate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Significance level of the tests; intervals have the level 1 - ALPHA.
ALPHA = 0.05
LEVEL = 1 - ALPHA
RESAMPLES = 9999
SEED = 0
# Values per block of resamples (8 bytes each, in a few arrays): bounds the memory on large test sets.
_VALUES_AT_A_TIME = 2_000_000


def blocks(rows: int, columns: int, *, values: int | None = None) -> Iterator[slice]:
    """Splits `rows` rows of `columns` values into slices of at most `values` values, or one row."""
    step = max(1, (_VALUES_AT_A_TIME if values is None else values) // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def resampled_means(sums: FloatArray, counts: FloatArray) -> FloatArray:
    """Bootstrap means over instances, resampling images or groups of images.

    The resamples depend on the number of images alone: all columns are resampled jointly, and so are two
    calls on the same images. Differences of their means then follow the paired bootstrap distribution, as in
    `scipy.stats.bootstrap(paired=True)`, with the resamples drawn once for all columns.

    Args:
        sums: (images,) or (images, columns), the sum of the IoU of each image's instances.
        counts: same shape as `sums`, the number of instances of each image, at least 1.

    Returns:
        Means of shape (resamples,) or (resamples, columns).
    """
    images = len(sums)
    # Methods on the same instances have equal columns of counts: one product with a single column is enough.
    alike = counts.ndim == 2 and bool((counts == counts[:, :1]).all())
    weights = counts[:, :1] if alike else counts
    # A new generator in each call: two calls on equally many images draw the same resamples.
    generator = np.random.default_rng(SEED)
    means = np.empty((RESAMPLES, *sums.shape[1:]))
    for block in blocks(RESAMPLES, images):
        rows = block.stop - block.start
        picked = generator.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        # With the number of times that each image is drawn, the means are two matrix products.
        times = np.bincount(picked.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)
        means[block] = (times @ sums) / (times @ weights)
    return means


def percentile_interval(values: FloatArray) -> FloatArray:
    """95 % percentile interval of resampled values, shape (2,) or (2, columns), lower end first."""
    tail = (1 - LEVEL) / 2
    places = np.array((tail, 1 - tail)) * (len(values) - 1)
    below = np.floor(places).astype(np.intp)
    # As `np.quantile`, which finds minimum and maximum as well and takes three times as long: a report has
    # thousands of intervals.
    ordered = np.partition(values, (*below, *below + 1), axis=0)
    share = (places - below).reshape(-1, *[1] * (values.ndim - 1))
    ends: FloatArray = ordered[below] + share * (ordered[below + 1] - ordered[below])
    return ends


def clustered_interval(sums: FloatArray, counts: FloatArray) -> tuple[float, float] | None:
    """95 % percentile interval of the mean over instances, by a bootstrap over images.

    Args:
        sums: (images,) sum of the IoU of each image's instances.
        counts: (images,) number of instances of each image, at least 1.

    Returns:
        Lower and upper end, or None for fewer than two images. Deterministic: the seed is fixed.
    """
    if len(sums) < 2:
        return None
    low, high = percentile_interval(resampled_means(sums, counts))
    return float(low), float(high)
