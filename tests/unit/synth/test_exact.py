"""The functions that have the same bits on every processor, against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from aims.synth import exact


def spread(*shape: int) -> torch.Tensor:
    """Uniform numbers and the ends of their range, in rows that the functions must take as they lie."""
    values = torch.from_numpy(np.random.default_rng(5).random(shape, np.float32))
    values.view(-1)[:6] = torch.tensor([0.0, 1.0, 0.5, 1 - 2**-24, 2**-100, 1e-6])
    return values


def test_root_is_the_nearest_float_to_the_real_root():
    values = spread(400, 500) * 1e4
    wanted = values.double().sqrt()
    got = exact.root(values)
    step = torch.from_numpy(np.spacing(got.numpy())).double()
    # 2^-29 of a step for the root in float64 itself.
    assert (got.double() - wanted).abs().le(step * (0.5 + 2**-29)).all()
    assert exact.root(values.double()).equal(torch.from_numpy(np.sqrt(values.double().numpy())))


def test_root_in_place_of_parts_and_of_one_number():
    values = spread(6, 8)
    wanted = exact.root(values)
    part = values[1::2, ::3]
    assert exact.root_(part) is part
    assert values[1::2, ::3].equal(wanted[1::2, ::3])
    assert values[::2].equal(spread(6, 8)[::2])
    assert exact.root(torch.tensor(9.0)).equal(torch.tensor(3.0))
    assert exact.root(torch.tensor([4.0])[:, None].expand(2, 3)).equal(torch.full((2, 3), 2.0))


def test_root_of_what_is_negative_is_no_number_and_no_warning():
    assert exact.root(torch.tensor([-1.0, 4.0])).isnan().tolist() == [True, False]


@pytest.mark.parametrize("exponent", [0.0, 0.4555, 1.0, 2.0, 14.5, 798.0])
def test_power(exponent):
    base = torch.cat([spread(200, 500).flatten(), 1 - spread(100, 100).flatten() * 0.02])
    got = exact.power(base, torch.full_like(base, exponent))
    wanted = base.double().pow(torch.tensor(exponent, dtype=torch.float32).double())
    error = (got.double() - wanted).abs()
    assert (error / wanted)[wanted > 1e-6].max() <= 3e-6
    assert error[wanted <= 1e-6].le(1e-10).all()
    assert got.ge(0).all()
    assert got[base == 1].eq(1).all()


def test_power_takes_an_exponent_for_every_number_and_changes_neither():
    base, exponent = spread(4, 5), spread(4, 5) * 9
    copies = base.clone(), exponent.clone()
    got = exact.power(base, exponent)
    assert got.shape == base.shape
    assert (got.double() - base.double().pow(exponent.double())).abs().max() <= 1e-6
    assert base.equal(copies[0])
    assert exponent.equal(copies[1])


def test_arccos():
    cosine = spread(300, 300)
    kept = cosine.clone()
    assert (exact.arccos(cosine).double() - cosine.double().acos()).abs().max() <= 2.5e-7
    assert exact.arccos(torch.tensor([1.0])).item() == 0
    assert cosine.equal(kept)


def test_sine_and_cosine():
    angles = np.concatenate([np.linspace(-800, 800, 100_001), np.arange(-8, 9) * math.pi / 4, [1e-9, -1e-9]])
    for got, wanted in zip(exact.sine_and_cosine(angles), (np.sin(angles), np.cos(angles)), strict=True):
        assert np.abs(got - wanted).max() <= 1e-13
        near = np.abs(angles) <= math.pi
        assert np.abs(got - wanted)[near].max() <= 4e-16
    sine, cosine = exact.sine_and_cosine(np.array([0.0, math.pi]))
    assert sine[0] == 0
    assert cosine.tolist() == [1, -1]


def test_matmul():
    rng = np.random.default_rng(6)
    left, right = rng.normal(size=(7, 4, 3)), rng.normal(size=(7, 3, 5))
    assert np.abs(exact.matmul(left, right) - left @ right).max() <= 1e-15 * 16
    # One rounding a step, in the order of the sum.
    a, b = left[0, 0], right[0, :, 0]
    assert exact.matmul(left, right)[0, 0, 0] == a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
