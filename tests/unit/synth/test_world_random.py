from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from aims.synth.world.random import _quantiles, noise_at, normal, scene_keys, uniform

SEEDS = torch.tensor([0, 1, 2**61 + 5, -7])
_WORD = 2**32


def mixed(word: int) -> int:
    """lowbias32 in Python's integers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        word = (word ^ word >> shift) * factor % _WORD
    return word ^ word >> 16


def test_numbers_are_the_hash_of_seed_purpose_and_element():
    def number(seed: int, purpose: int, element: int) -> float:
        key = mixed((seed >> 32) % _WORD)
        key = mixed((key + seed) % _WORD)
        key = mixed((key + purpose * 0x9E3779B9) % _WORD)
        return (mixed((mixed(element) + key) % _WORD) >> 8) / 2**24

    made = uniform(SEEDS, 123, (2, 3))
    assert made.dtype == torch.float32
    expected = [[number(int(seed), 123, element) for element in range(6)] for seed in SEEDS]
    assert made.flatten(1).tolist() == expected


def test_uniform_numbers_fill_the_interval_evenly():
    numbers = uniform(SEEDS, 5, (100_000,))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for scene in numbers:
        counts = torch.histc(scene, bins=50, min=0, max=1)
        # Chi-squared with 49 degrees of freedom exceeds 85.4 in one of a thousand cases.
        assert ((counts - 2000) ** 2 / 2000).sum() < 85.4


def test_normal_numbers_have_the_moments_of_a_normal_distribution():
    numbers = normal(SEEDS, 6, (200_000,)).to(torch.float64)
    # Three standard errors of 800,000 numbers.
    assert numbers.mean().item() == pytest.approx(0, abs=3 / 800_000**0.5)
    assert numbers.var().item() == pytest.approx(1, abs=3 * (2 / 800_000) ** 0.5)
    assert (numbers**4).mean().item() == pytest.approx(3, abs=3 * (96 / 800_000) ** 0.5)
    # (2 Phi(2) - 1) = 0.9545 of them lie within two sigma.
    assert (numbers.abs() < 2).double().mean().item() == pytest.approx(0.9545, abs=0.001)


def test_no_normal_number_is_near_to_a_tie():
    """So that rounding to float32 hides the last digits of logarithms, which depend on the processor."""
    exact = ndtri((np.arange(65536) + 0.5) / 65536)
    rounded = exact.astype(np.float32)
    for side in (-np.inf, np.inf):
        tie = (rounded.astype(np.float64) + np.nextafter(rounded, np.float32(side)).astype(np.float64)) / 2
        assert (np.abs(tie - exact) / np.abs(exact)).min() > 1e-13
    assert _quantiles(torch.device("cpu")).equal(torch.from_numpy(rounded))


def test_scenes_purposes_and_neighbours_are_unlike():
    numbers = torch.cat([uniform(SEEDS, purpose, (50_000,)) for purpose in (100, 101)])
    shifted = torch.cat([numbers[:, :-1], numbers[:, 1:]])
    correlation = torch.corrcoef(shifted) - torch.eye(len(shifted))
    # The standard error is 1 / sqrt(50,000) = 0.0045; there are 120 pairs.
    assert correlation.abs().max() < 4 * 0.0045


@pytest.mark.parametrize("make", [uniform, normal])
def test_a_scene_does_not_depend_on_its_batch(make):
    together = make(SEEDS, 7, (31, 17))
    for index in range(len(SEEDS)):
        assert torch.equal(make(SEEDS[index : index + 1], 7, (31, 17))[0], together[index])


def test_noise_is_smooth_and_fills_its_range():
    line = torch.linspace(-40, 40, 80_001)
    noise = torch.stack([noise_at(key, line, 0.37 * line) for key in scene_keys(SEEDS, 8)])
    # The slope of 3 t^2 - 2 t^3 is at most 1.5, along two axes.
    assert noise.diff(dim=1).abs().max() < 1.5 * (1 + 0.37) * 0.001 + 1e-5
    assert 0 <= noise.min() < 0.1
    assert 0.9 < noise.max() <= 1
    assert noise.mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_noise_between_lattice_points_is_their_blend(axes):
    corner = torch.tensor([3.0, -2.0, 5.0][:axes])
    middle = torch.zeros(axes)
    middle[axes - 1] = 0.25
    points = torch.stack([corner, corner + middle, corner + 4 * middle])
    low, between, high = noise_at(scene_keys(SEEDS[:1], 9), *points.T)
    share = 3 * 0.25**2 - 2 * 0.25**3
    assert between.item() == pytest.approx((low + share * (high - low)).item(), abs=1e-6)
    assert low != high
