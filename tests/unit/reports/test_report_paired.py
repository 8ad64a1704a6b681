"""Paired tests: against SciPy, by hand, and on simulated data with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from aims.reports.statistics import paired
from aims.reports.statistics.intervals import resampled_means
from aims.reports.statistics.paired import (
    Sample,
    Verdict,
    compare,
    fewest_images,
    holm,
    least_p,
    mean_of_samples,
    sample_scores,
    sign_flip_p,
    with_holm,
)


def scored(sums, counts, name="a", groups=None):
    groups = groups or tuple(f"image-{k}" for k in range(len(sums)))
    return name, groups, np.asarray(sums, np.float64), np.asarray(counts, np.float64)


def samples(*given) -> list[Sample]:
    """Of pairs (sums, counts), or of what `scored` gives."""
    return sample_scores([each if len(each) == 4 else scored(*each) for each in given])


def test_two_images_by_hand():
    # Flips: ++, +-, -+, --; the sums are 3, -1, 1, -3: two of four reach 3.
    assert sign_flip_p(np.array([1.0, 2.0])) == pytest.approx(0.5)
    assert sign_flip_p(np.zeros(2)) == 1
    assert sign_flip_p(np.array([[1.0, 0.0], [2.0, 0.0]])).tolist() == [0.5, 1]


@pytest.mark.parametrize("images", [4, 9, 15])
def test_few_images_are_tested_exactly_as_scipy_does(images):
    differences = np.random.default_rng(images).normal(0.4, 1, images)
    result = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    assert sign_flip_p(differences) == pytest.approx(result.pvalue)
    assert sign_flip_p(np.full(images, 0.25)) == pytest.approx(least_p(images))


def test_many_images_agree_with_scipys_random_flips():
    differences = np.random.default_rng(3).normal(0.15, 1, 200)
    result = stats.permutation_test(
        (differences,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        batch=500,
        rng=np.random.default_rng(8),
    )
    # Standard error of both shares together: about 0.002 at p = 0.05.
    assert sign_flip_p(differences) == pytest.approx(result.pvalue, abs=0.008)
    assert sign_flip_p(np.full(200, 0.25)) == least_p(200) == 1 / 50_000


def test_equal_methods_are_told_apart_as_rarely_as_promised(monkeypatch):
    """Under the hypothesis p is uniform: 5 % of 2,000 simulated comparisons, give or take 3 deviations."""
    monkeypatch.setattr(paired, "FLIPS", 1_999)
    generator = np.random.default_rng(1)
    p = sign_flip_p(generator.standard_t(3, size=(40, 2_000)))
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 2_000))
    assert p.mean() == pytest.approx(0.5, abs=3 * np.sqrt(1 / 12 / 2_000))


def test_a_real_difference_is_found_as_often_as_the_t_test_finds_it(monkeypatch):
    monkeypatch.setattr(paired, "FLIPS", 1_999)
    differences = np.random.default_rng(2).normal(0.5, 1, size=(40, 500))
    found = (sign_flip_p(differences) < 0.05).mean()
    by_t = (stats.ttest_1samp(differences, 0).pvalue < 0.05).mean()
    assert found == pytest.approx(by_t, abs=0.02)
    assert found > 0.8


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03 times 3, 2, 1, never falling: 0.03, 0.04, 0.04.
    assert holm(np.array([0.02, 0.01, 0.03])) == pytest.approx([0.04, 0.03, 0.04])
    assert holm(np.array([0.9, 0.6])) == pytest.approx([1, 1])
    assert holm(np.empty(0)).tolist() == []


def test_so_many_images_does_a_test_take():
    # 2 / 2^5 = 0.0625 and 2 / 2^6 = 0.03125; three times 0.03125 is 0.094, three times 2 / 2^7 is 0.047.
    assert [least_p(n) for n in (1, 5, 6)] == [1, 0.0625, 0.03125]
    assert [fewest_images(tests) for tests in (1, 2, 3, 4)] == [6, 7, 7, 8]
    # Beyond 15 images one of 50,000 flips is the least: 2,500 comparisons can never fall below 0.05.
    assert [fewest_images(tests) for tests in (819, 820, 2_499, 2_500)] == [15, 16, 16, None]


@pytest.mark.parametrize("images", [1, 5, 6, 7])
def test_a_verdict_says_where_there_are_too_few_images(images):
    ones = np.ones(images)
    (test,) = compare([tuple(samples((0.1 * ones, ones), (0.9 * ones, ones)))])
    assert test.p == pytest.approx(2 / 2**images)
    assert test.verdict == (Verdict.TOO_FEW if images < 6 else Verdict.SEPARABLE)
    assert (test.interval is None) == (images == 1)


def test_the_memory_bound_changes_no_p(monkeypatch):
    differences = np.random.default_rng(4).normal(0.2, 1, (30, 3))
    whole = sign_flip_p(differences)
    monkeypatch.setattr("aims.reports.statistics.intervals._VALUES_AT_A_TIME", 30 * 77)
    assert sign_flip_p(differences).tolist() == whole.tolist()


def test_intervals_of_differences_agree_with_scipys_paired_bootstrap():
    generator = np.random.default_rng(5)
    counts = generator.integers(1, 9, 80).astype(np.float64)
    a, b = (counts * generator.uniform(low, low + 0.5, 80) for low in (0.3, 0.2))

    def difference(a, b, counts, axis=-1):
        return (a.sum(axis=axis) - b.sum(axis=axis)) / counts.sum(axis=axis)

    result = stats.bootstrap(
        (a, b, counts), difference, paired=True, vectorized=True, method="percentile", rng=generator
    )
    expected = np.array(result.confidence_interval)
    (found,) = compare([tuple(samples((a, counts), (b, counts)))])
    assert found.value == pytest.approx((a.sum() - b.sum()) / counts.sum())
    # The Monte Carlo error of a 2.5 % quantile is about 2 % of the interval's width at 10,000 resamples.
    assert np.allclose(found.interval, expected, atol=0.08 * np.ptp(expected))
    assert found.groups == 80


def test_columns_are_resampled_jointly():
    counts = np.array([1.0, 3.0, 2.0])
    first = np.array([0.5, 0.9, 1.1])
    together = resampled_means(np.stack([first, 2 * first], axis=1), np.stack([counts, counts], axis=1))
    assert np.allclose(together[:, 1], 2 * together[:, 0])
    assert resampled_means(first, counts).tolist() == together[:, 0].tolist()


def test_what_cannot_be_compared():
    one, other, alone, same = samples(
        ([0.5, 0.7], [1, 1]), scored([0.5, 0.7], [1, 1], "b"), ([0.5], [1]), ([0.4, 0.6], [1, 1])
    )
    assert alone.interval is None
    other_instances, single, tested = compare([(one, other), (alone, alone), (one, same)])
    assert other_instances is None
    assert (single.p, single.interval, single.verdict) == (1, None, Verdict.TOO_FEW)
    assert (tested.p, tested.p_holm, tested.verdict) == (0.5, None, Verdict.TOO_FEW)


def test_holm_is_over_all_comparisons_with_a_reference_and_changes_no_verdict():
    generator = np.random.default_rng(6)
    base = generator.uniform(0.3, 0.6, 12)
    ones = np.ones(12)
    reference, better, noisy = samples((base, ones), (base + 0.1, ones), (base[::-1].copy(), ones))
    (elsewhere,) = samples(scored(base, ones, "b"))
    alone = compare([(better, reference), (elsewhere, reference), (noisy, reference)])
    found = with_holm(alone)
    assert found.pop(1) is alone.pop(1) is None
    assert [(test.p, test.verdict) for test in found] == [(test.p, test.verdict) for test in alone]
    assert [test.p_holm for test in found] == pytest.approx(holm(np.array([test.p for test in found])))
    assert found[0].p == pytest.approx(2 / 2**12)
    assert [test.verdict for test in found] == [Verdict.SEPARABLE, Verdict.NOT_SEPARABLE]
    assert [test.stands_in_family for test in found] == [True, False]


def test_a_mean_over_sensors_is_one_score():
    ones = np.ones(3)
    first, second, elsewhere = samples(
        ([0.2, 0.4, 0.6], ones), ([0.6, 0.8, 1.0], ones), scored([0.1, 0.2, 0.3], ones, "a", ("x", "y", "z"))
    )
    mean = mean_of_samples([first, second])
    assert mean.shares.sum() == pytest.approx(0.6)
    assert np.allclose(mean.means, (first.means + second.means) / 2)
    assert mean_of_samples([first, elsewhere]) is None
