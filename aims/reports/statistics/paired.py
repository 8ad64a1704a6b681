"""Paired tests of two methods on the same test images.

If two methods are equally good, their results on an image are exchangeable. The sign-flip permutation test
(R. A. Fisher, The Design of Experiments, 1935, section 21) exchanges them at random in every image, or in
every group of images where a dataset has groups; the p-value is the share of exchanges whose difference is at
least as large as the observed one. Instances of one image are exchanged together, since they correlate.

`Difference.verdict` depends on the p-value of the pair alone, at the level 0.05: adding a third method does
not change it. The p-value corrected for several comparisons with one reference (`with_holm`) is reported
separately, since it depends on their number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from aims.reports.statistics.intervals import (
    ALPHA,
    SEED,
    FloatArray,
    blocks,
    percentile_interval,
    resampled_means,
)

#: Number of random flips, for more images than `_ALL_UP_TO`.
FLIPS = 49_999
_ALL_UP_TO = 15
# Relative tolerance of "at least as large": sums in another order may differ in the last bits.
_ROUNDING = 1e-12
# Scores that are resampled at once, to bound the memory: twice 80 kB for each.
_TOGETHER = 512
# Values per block: few enough to stay in the processor's cache, as each is read three times.
_IN_CACHE = 100_000


def sign_flip_p(differences: FloatArray) -> FloatArray:
    """Two-sided p-values of the hypothesis that two methods are exchangeable in every image.

    With up to 15 images all 2^images flips are tried; with more, p is (b + 1) / (m + 1), where b of m random
    flips reach the difference (B. Phipson and G. Smyth, Permutation p-values should never be zero, 2010).
    Equivalent to `scipy.stats.permutation_test` with `permutation_type="samples"`, for many comparisons.

    Args:
        differences: (images,) or (images, comparisons), each image's contribution to the difference.

    Returns:
        p-values of shape () or (comparisons,).
    """
    images = len(differences)
    found = np.abs(differences.sum(axis=0)) - _ROUNDING * np.abs(differences).sum(axis=0)
    exact = images <= _ALL_UP_TO
    flips = 2**images if exact else FLIPS
    generator = np.random.default_rng(SEED)
    reached = np.zeros(differences.shape[1:])
    for block in blocks(flips, images):
        if exact:
            # The bits of the numbers from 0 to 2^images - 1 are all flips, each once.
            up = (np.arange(block.start, block.stop)[:, None] >> np.arange(images) & 1).astype(bool)
        else:
            up = generator.random((block.stop - block.start, images)) < 0.5
        signs = np.where(up, 1.0, -1.0)
        for rows in blocks(len(signs), 1 + differences[0].size, values=_IN_CACHE):
            reached += (np.abs(signs[rows] @ differences) >= found).sum(axis=0)
    p: FloatArray = reached / flips if exact else (reached + 1) / (flips + 1)
    return p


def holm(p: FloatArray) -> FloatArray:
    """Holm's adjusted p-values (S. Holm, A simple sequentially rejective multiple test procedure, 1979).

    Rejecting where the adjusted p-value is below a level controls the family-wise error rate at that level,
    for any dependence between the tests.

    Args:
        p: (comparisons,) p-values.

    Returns:
        (comparisons,) adjusted p-values in the same order, at most 1.
    """
    order = np.argsort(p, kind="stable")
    # The running maximum keeps adjusted p-values in the order of p: a larger p is never rejected first.
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def least_p(images: int) -> float:
    """The smallest two-sided p-value that `sign_flip_p` can give for a number of images.

    Where all 2^images flips are tried, two always reach the difference, the one that changes no sign and the
    one that changes all: 2 / 2^images. Of random flips none has to: 1 / (FLIPS + 1).
    """
    return 2 / 2**images if images <= _ALL_UP_TO else 1 / (FLIPS + 1)


def fewest_images(tests: int = 1) -> int | None:
    """The fewest images, or groups of images, with which a p-value can fall below the level `ALPHA`.

    Args:
        tests: number of comparisons that p is adjusted for (`holm` multiplies the smallest p by it).

    Returns:
        The number of images; None if `FLIPS` is too small for any number of them.
    """
    return next((n for n in range(1, _ALL_UP_TO + 2) if tests * least_p(n) < ALPHA), None)


class Verdict(StrEnum):
    """Outcome of a paired test of two scores."""

    SEPARABLE = "separable"
    NOT_SEPARABLE = "not separable"
    #: With so few images, p cannot fall below the level (`least_p`), however large the difference.
    TOO_FEW = "too few images to test"
    #: The scores are over different instances, or a mean is over modalities with different images.
    NOT_TESTED = "not tested"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One score with what a paired test needs.

    Attributes:
        instances: digests of the scored instances; only samples with equal digests are compared.
        groups: names of the groups of images, or of the images, that are resampled and flipped as units.
        shares: (groups,) contribution of each group; their sum is the score.
        means: (resamples,) the score in every bootstrap resample; empty for a single group.
    """

    instances: tuple[str, ...]
    groups: tuple[str, ...]
    shares: FloatArray
    means: FloatArray

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % percentile interval of the score, or None for a single group."""
        if not len(self.means):
            return None
        low, high = percentile_interval(self.means)
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The tested difference of two scores.

    Attributes:
        value: first score minus second, -1..1.
        interval: its 95 % paired percentile bootstrap interval; None for a single group.
        p: two-sided p-value of `sign_flip_p`.
        groups: number of groups of images, or of images, that were flipped.
        p_holm: `p` adjusted by `with_holm` for all comparisons of a family; None if not adjusted.
    """

    value: float
    interval: tuple[float, float] | None
    p: float
    groups: int
    p_holm: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict from `p` alone, at the level `ALPHA`; never `Verdict.NOT_TESTED`."""
        if least_p(self.groups) >= ALPHA:
            return Verdict.TOO_FEW
        return Verdict.SEPARABLE if self.p < ALPHA else Verdict.NOT_SEPARABLE

    @property
    def stands_in_family(self) -> bool:
        """Whether the two are separable after the correction for all comparisons of the family."""
        return self.p_holm is not None and self.p_holm < ALPHA

    def reversed(self) -> Difference:
        """The same test of the second score minus the first."""
        ends = self.interval and (-self.interval[1], -self.interval[0])
        return dataclasses.replace(self, value=-self.value, interval=ends)

    def as_json(self) -> dict[str, Any]:
        """All fields and the verdict as plain types, ready for `json.dumps`."""
        return {**dataclasses.asdict(self), "verdict": str(self.verdict)}


def sample_scores(scored: Sequence[tuple[str, tuple[str, ...], FloatArray, FloatArray]]) -> list[Sample]:
    """Draws the bootstrap resamples of scores; scores with equally many groups share the resamples.

    Args:
        scored: for each score: the digest of its instances, the names of the groups, the (groups,) sums of
            their instances' IoU, and the (groups,) numbers of these instances.
    """
    means: dict[int, FloatArray] = {}
    for alike in _alike(len(groups) for _, groups, _, _ in scored):
        for block in blocks(len(alike), 1, values=_TOGETHER):
            places = alike[block]
            sums, counts = (np.stack([scored[place][k] for place in places], axis=1) for k in (2, 3))
            drawn = resampled_means(sums, counts) if len(sums) > 1 else np.empty((0, len(places)))
            means |= zip(places, np.ascontiguousarray(drawn.T), strict=True)
    return [
        Sample(instances=(instances,), groups=groups, shares=sums / counts.sum(), means=means[place])
        for place, (instances, groups, sums, counts) in enumerate(scored)
    ]


def mean_of_samples(samples: Sequence[Sample]) -> Sample | None:
    """The mean of several scores over the same groups, which share resamples; None if the groups differ."""
    if len({sample.groups for sample in samples}) != 1:
        return None
    return Sample(
        instances=tuple(name for sample in samples for name in sample.instances),
        groups=samples[0].groups,
        shares=np.mean([sample.shares for sample in samples], axis=0),
        means=np.mean([sample.means for sample in samples], axis=0),
    )


def compare(pairs: Sequence[tuple[Sample, Sample]]) -> list[Difference | None]:
    """Tests the difference of each pair of scores, first minus second.

    Returns:
        One difference per pair, in order; None where the two scores are over different instances.
    """
    tested = [k for k, (a, b) in enumerate(pairs) if a.instances == b.instances]
    p = np.empty(len(tested))
    # Pairs with equally many groups are columns of one matrix and share the flips.
    for places in _alike(len(pairs[k][0].groups) for k in tested):
        shares = [pairs[tested[place]][0].shares - pairs[tested[place]][1].shares for place in places]
        p[places] = sign_flip_p(np.stack(shares, axis=1))
    found: list[Difference | None] = [None] * len(pairs)
    for k, own in zip(tested, p.tolist(), strict=True):
        found[k] = _difference(*pairs[k], own)
    return found


def with_holm(tests: Sequence[Difference | None], *, untested: int = 0) -> list[Difference | None]:
    """Sets `p_holm` of all comparisons of one family; entries that are None stay None.

    Args:
        tests: the comparisons.
        untested: number of further comparisons of the family, which count as if their p were 1.
    """
    known = [test.p for test in tests if test is not None]
    adjusted = iter(holm(np.array([*known, *[1.0] * untested])).tolist())
    return [None if test is None else dataclasses.replace(test, p_holm=next(adjusted)) for test in tests]


def _difference(first: Sample, second: Sample, p: float) -> Difference:
    low, high = percentile_interval(first.means - second.means) if len(first.means) else (None, None)
    return Difference(
        value=float(first.shares.sum() - second.shares.sum()),
        interval=None if low is None or high is None else (float(low), float(high)),
        p=p,
        groups=len(first.groups),
    )


def _alike(sizes: Iterable[int]) -> list[list[int]]:
    """Groups the indices of equal sizes."""
    places: dict[int, list[int]] = {}
    for place, size in enumerate(sizes):
        places.setdefault(size, []).append(place)
    return list(places.values())
