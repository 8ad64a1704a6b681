"""Paired tests of two methods on the same test images.

Two methods that are equally good could have their results of an image exchanged. The sign-flip permutation
test (R. A. Fisher, The Design of Experiments, 1935, section 21) does that with every image at random, or with
every group of images where a dataset has groups, and asks how often the difference is then as large as the
one that was found. Instances of one image keep together, as in the bootstrap of the intervals.

What is said of a pair (`Difference.verdict`) follows from the two alone, at the level 0.05: no third method
changes it. A correction for many comparisons (`with_holm`) is of those that are made with one reference, and
stands beside, since it depends on what else is there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from aims.report.statistics.intervals import (
    ALPHA,
    SEED,
    FloatArray,
    blocks,
    percentile_interval,
    resampled_means,
)

#: Random flips where there are too many images to try all 2^images.
FLIPS = 49_999
_ALL_UP_TO = 15
# Sums of the same numbers in another order may differ in the last bits.
_ROUNDING = 1e-12
# Values that a processor's own cache holds, where they are looked at three times.
_IN_CACHE = 100_000


def sign_flip_p(differences: FloatArray) -> FloatArray:
    """Two-sided p-values of the hypothesis that two methods are exchangeable in every image.

    With up to 15 images all flips are tried; else p is (b + 1) / (m + 1) for b of m random flips that
    reach the difference (B. Phipson and G. Smyth, Permutation p-values should never be zero, 2010). As
    `scipy.stats.permutation_test` with `permutation_type="samples"`, for many comparisons at once.

    Args:
        differences: (images,) or (images, comparisons), what each image contributes to the difference.

    Returns:
        () or (comparisons,).
    """
    images = len(differences)
    found = np.abs(differences.sum(axis=0)) - _ROUNDING * np.abs(differences).sum(axis=0)
    exact = images <= _ALL_UP_TO
    flips = 2**images if exact else FLIPS
    generator = np.random.default_rng(SEED)
    reached = np.zeros(differences.shape[1:])
    for block in blocks(flips, images):
        if exact:
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

    Rejecting where the adjusted value is below a level keeps the chance of any wrong rejection below it,
    however the tests depend on each other.

    Args:
        p: (comparisons,).

    Returns:
        (comparisons,), in the same order.
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def least_p(images: int) -> float:
    """The smallest two-sided p-value that so many images can give.

    Of all 2^images flips, the one that changes no sign and the one that changes all of them reach the
    difference in any case: 2 / 2^images. Of random flips none has to: 1 / (flips + 1).
    """
    return 2 / 2**images if images <= _ALL_UP_TO else 1 / (FLIPS + 1)


def fewest_images(tests: int = 1) -> int | None:
    """The fewest images, or groups of images, with which a p-value can fall below the level.

    Args:
        tests: over how many comparisons it is adjusted (`holm`): the smallest is multiplied by their number.

    Returns:
        The number; None where the random flips are too few, however many images there are.
    """
    return next((n for n in range(1, _ALL_UP_TO + 2) if tests * least_p(n) < ALPHA), None)


class Verdict(StrEnum):
    """What a test says of two scores."""

    SEPARABLE = "separable"
    NOT_SEPARABLE = "not separable"
    #: No difference, however large, could be told from chance.
    TOO_FEW = "too few images to test"
    #: The two are not of the same instances, or a mean is over other images.
    NOT_TESTED = "not tested"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One score, taken apart so that it can be tested against another of the same instances.

    Attributes:
        instances: which instances were scored; only equal ones are compared.
        groups: names of the groups of images, or of the images, that are kept together.
        shares: (groups,) what each of them contributes; their sum is the score.
        means: (resamples,) the score in every resample; empty for a single group.
    """

    instances: tuple[str, ...]
    groups: tuple[str, ...]
    shares: FloatArray
    means: FloatArray

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the score, or None for a single group."""
        if not len(self.means):
            return None
        low, high = percentile_interval(self.means)
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What separates two scores.

    Attributes:
        value: first less second, -1..1.
        interval: its 95 % interval: paired percentile bootstrap; None for a single group.
        p: two-sided, `sign_flip_p`.
        groups: how many groups of images, or images, were flipped.
        p_holm: p, adjusted for all comparisons with the same reference; None where it is not one of several.
    """

    value: float
    interval: tuple[float, float] | None
    p: float
    groups: int
    p_holm: float | None = None

    @property
    def verdict(self) -> Verdict:
        """What is said of the two, from their own p-value; never `Verdict.NOT_TESTED`."""
        if least_p(self.groups) >= ALPHA:
            return Verdict.TOO_FEW
        return Verdict.SEPARABLE if self.p < ALPHA else Verdict.NOT_SEPARABLE

    @property
    def stands_in_family(self) -> bool:
        """Whether the two are told apart when all comparisons with the same reference count together."""
        return self.p_holm is not None and self.p_holm < ALPHA

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**dataclasses.asdict(self), "verdict": str(self.verdict)}


def sample_scores(scored: Sequence[tuple[str, tuple[str, ...], FloatArray, FloatArray]]) -> list[Sample]:
    """Resamples scores; those of the same images are resampled jointly.

    Args:
        scored: of each, which instances, the names of the groups, and per group the sum of its instances' IoU
            and their number.
    """
    means: dict[int, FloatArray] = {}
    for places in _alike(len(groups) for _, groups, _, _ in scored):
        sums, counts = (np.stack([scored[place][k] for place in places], axis=1) for k in (2, 3))
        drawn = resampled_means(sums, counts) if len(sums) > 1 else np.empty((0, len(places)))
        means |= zip(places, np.ascontiguousarray(drawn.T), strict=True)
    return [
        Sample(instances=(instances,), groups=groups, shares=sums / counts.sum(), means=means[place])
        for place, (instances, groups, sums, counts) in enumerate(scored)
    ]


def mean_of_samples(samples: Sequence[Sample]) -> Sample | None:
    """The mean of several scores of the same images, resampled jointly; None where the images differ."""
    if len({sample.groups for sample in samples}) != 1:
        return None
    return Sample(
        instances=tuple(name for sample in samples for name in sample.instances),
        groups=samples[0].groups,
        shares=np.mean([sample.shares for sample in samples], axis=0),
        means=np.mean([sample.means for sample in samples], axis=0),
    )


def compare(pairs: Sequence[tuple[Sample, Sample]]) -> list[Difference | None]:
    """Tests pairs of scores, each by itself, and says by how much they differ.

    Returns:
        In order of the pairs; None where the two are not of the same instances.
    """
    tested = [k for k, (a, b) in enumerate(pairs) if a.instances == b.instances]
    p = np.empty(len(tested))
    for places in _alike(len(pairs[k][0].groups) for k in tested):
        shares = [pairs[tested[place]][0].shares - pairs[tested[place]][1].shares for place in places]
        p[places] = sign_flip_p(np.stack(shares, axis=1))
    found: list[Difference | None] = [None] * len(pairs)
    for k, own in zip(tested, p.tolist(), strict=True):
        found[k] = _difference(*pairs[k], own)
    return found


def with_holm(tests: Sequence[Difference | None]) -> list[Difference | None]:
    """Adjusts the p-values of comparisons with one reference for their number (`holm`)."""
    adjusted = iter(holm(np.array([test.p for test in tests if test is not None])).tolist())
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
    """Places of equal size together."""
    places: dict[int, list[int]] = {}
    for place, size in enumerate(sizes):
        places.setdefault(size, []).append(place)
    return list(places.values())
