"""How many training images a method needs to reach a score, from its scores with a few numbers of them.

Scores are made non-decreasing by isotonic regression (R. E. Barlow et al., Statistical inference under order
restrictions, 1972): more images cannot make a method worse, but noise can. Between two numbers of images the
score is linear in the logarithm of the number. A score that was measured is reached, also where fewer images
or more had a lower one. Outside of what was measured nothing is claimed: a score that
is reached with the fewest images is reached with "at most" so many, and one above the last is not reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aims.reports.statistics.intervals import ALPHA, RESAMPLES, SEED, FloatArray, resampled_means

# Part of the seed, so that seeds of runs are drawn independently of images.
_SEEDS = 1


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The scores of one method with one number of training images.

    Attributes:
        images: number of training images.
        sums: (groups, seeds) sum of the IoU of each group's test instances.
        counts: (groups,) number of these instances.
    """

    images: float
    sums: FloatArray
    counts: FloatArray

    @property
    def miou(self) -> float:
        """Mean IoU over seeds and instances, 0..1."""
        return float(self.sums.mean(axis=1).sum() / self.counts.sum())

    def resampled(self, draws: FloatArray) -> FloatArray:
        """(resamples,) mean IoU, resampling groups and, by `draws` of 0..1, seeds."""
        seeds = self.sums.shape[1]
        means = resampled_means(self.sums, np.repeat(self.counts[:, None], seeds, axis=1))
        picked = np.floor(draws[:, :seeds] * seeds).astype(np.int64)
        resampled: FloatArray = np.take_along_axis(means, picked, axis=1).mean(axis=1)
        return resampled


@dataclass(frozen=True, kw_only=True)
class Needed:
    """A number of training images; infinite where the score is not reached with all of them.

    Attributes:
        images: the number; the fewest measured one where these reach the score already.
        interval: its 95 % percentile interval; None for a single group of test images.
    """

    images: float
    interval: tuple[float, float] | None


def isotonic(scores: FloatArray) -> FloatArray:
    """Returns the non-decreasing rows that are nearest to the rows of (rows, sizes), by least squares.

    `scipy.optimize.isotonic_regression` of every row at once, by the max-min formula over means.
    """
    sizes = scores.shape[1]
    before = np.concatenate([np.zeros((len(scores), 1)), np.cumsum(scores, axis=1)], axis=1)

    def least_mean(start: int, place: int) -> FloatArray:
        means = [(before[:, end] - before[:, start]) / (end - start) for end in range(place + 1, sizes + 1)]
        least: FloatArray = np.min(means, axis=0)
        return least

    fitted = [np.max([least_mean(k, place) for k in range(place + 1)], axis=0) for place in range(sizes)]
    return np.stack(fitted, axis=1)


def images_to_reach(images: FloatArray, scores: FloatArray, targets: FloatArray) -> FloatArray:
    """Returns how many training images reach a score.

    Args:
        images: (sizes,) numbers of training images, ascending.
        scores: (rows, sizes) scores with them.
        targets: (rows,) scores to be reached.

    Returns:
        (rows,) numbers of images: the first where that reaches the target already, infinite where none does.
    """
    fitted, rows = isotonic(scores), np.arange(len(scores))
    reached = fitted >= targets[:, None]
    after = reached.argmax(axis=1)
    before = np.maximum(after - 1, 0)
    low, high = fitted[rows, before], fitted[rows, after]
    # Where two sizes are interpolated between, the target lies above the lower score: the rise is not 0.
    between = reached.any(axis=1) & (after > 0)
    share = (targets - low) / np.where(between, high - low, 1)
    logs = np.log(images)
    found = np.full(len(scores), math.inf)
    found[reached[:, 0]] = images[0]
    found[between] = np.exp(logs[before] + share * (logs[after] - logs[before]))[between]
    measured = np.where(scores >= targets[:, None], images, math.inf).min(axis=1)
    reached_with: FloatArray = np.minimum(found, measured)
    return reached_with


def images_needed(baseline: Sequence[Measured], target: Measured) -> Needed:
    """Returns how many training images the baseline needs to reach a score, with a bootstrap interval.

    The bootstrap resamples the groups of test images and the seeds, both jointly for all scores: runs of one
    seed share their training images.

    Args:
        baseline: its scores by ascending number of training images.
        target: the score to be reached, of the same test instances.
    """
    images = np.array([each.images for each in baseline])
    scores = np.array([[each.miou for each in baseline]])
    (found,) = images_to_reach(images, scores, np.array([target.miou]))
    if len(target.counts) < 2:
        return Needed(images=float(found), interval=None)
    most = max(each.sums.shape[1] for each in (*baseline, target))
    draws = np.random.default_rng((SEED, _SEEDS)).random((RESAMPLES, most))
    resampled = np.stack([each.resampled(draws) for each in baseline], axis=1)
    # By order and not by interpolation, as some may be infinite.
    ordered = np.sort(images_to_reach(images, resampled, target.resampled(draws)))
    tail = ALPHA / 2 * (len(ordered) - 1)
    low, high = ordered[math.floor(tail)], ordered[math.ceil(len(ordered) - 1 - tail)]
    return Needed(images=float(found), interval=(float(low), float(high)))
