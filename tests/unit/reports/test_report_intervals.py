import numpy as np
import pytest

from aims.reports.statistics import intervals
from aims.reports.statistics.intervals import clustered_interval, percentile_interval


def test_constant_iou_gives_a_point() -> None:
    counts = np.array([1.0, 2.0, 5.0])

    low, high = clustered_interval(0.25 * counts, counts) or (0, 1)

    assert (low, high) == (0.25, 0.25)


def test_one_image_has_no_interval() -> None:
    assert clustered_interval(np.array([1.5]), np.array([3.0])) is None


def test_two_images_by_hand() -> None:
    # Resamples are (1, 1), (1, 2), (2, 1), (2, 2) with probability 1/4 each: 0.1, 0.5, 0.5, 0.9.
    # The 2.5 % and 97.5 % quantiles are the two ends.
    assert clustered_interval(np.array([0.1, 0.9]), np.array([1.0, 1.0])) == pytest.approx((0.1, 0.9))


def _plain_bootstrap(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(99)
    means = []
    for _ in range(20_000):
        picked = generator.integers(len(sums), size=len(sums))
        means.append(sums[picked].sum() / counts[picked].sum())
    return np.quantile(means, [0.025, 0.975])


def test_agrees_with_a_plain_bootstrap_over_images() -> None:
    generator = np.random.default_rng(5)
    counts = generator.integers(1, 30, size=60).astype(np.float64)
    # Instances of one image share its difficulty: the per-image mean varies, not the instance.
    sums = counts * generator.uniform(0.1, 0.9, size=60)

    low, high = clustered_interval(sums, counts) or (0, 1)

    # The Monte Carlo error of a 2.5 % quantile is about 2 % of the interval's width at 10,000 resamples.
    expected = _plain_bootstrap(sums, counts)
    assert np.allclose((low, high), expected, atol=0.05 * (expected[1] - expected[0]))
    assert low < sums.sum() / counts.sum() < high


def test_memory_bound_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(6)
    counts = np.ones(40)
    sums = generator.uniform(size=40)
    whole = clustered_interval(sums, counts)

    monkeypatch.setattr(intervals, "_VALUES_AT_A_TIME", 40 * 77)

    assert clustered_interval(sums, counts) == whole


@pytest.mark.parametrize("size", [2, 40, 9998, 9999])
def test_percentiles_are_those_of_numpy(size: int) -> None:
    values = np.random.default_rng(size).normal(size=(size, 3))

    found = percentile_interval(values)

    assert found == pytest.approx(np.quantile(values, (0.025, 0.975), axis=0), rel=1e-13)
    assert percentile_interval(values[:, 1].copy()).tolist() == found[:, 1].tolist()
