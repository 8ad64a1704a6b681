"""Angles and lengths that have the same bits on every processor, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from aims.sensors.exact import arctan2, hypot


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """All differences of two pictures of 8 bits: what most derived angles are of."""
    steps = np.arange(-255, 256).astype(dtype)
    return steps[:, None] + 0 * steps, steps + 0 * steps[:, None]


def test_arctan2_of_8_bits_is_the_nearest_float32():
    y, x = pairs("float32")
    wanted = np.arctan2(y.astype(np.float64), x.astype(np.float64)).astype(np.float32)
    got = arctan2(y, x)
    assert got.dtype == np.float32
    assert (got == wanted).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_arctan2_in_float64(scale):
    rng = np.random.default_rng(3)
    y, x = rng.normal(size=(2, 300, 200)) * scale * rng.choice([1e-5, 1.0], (2, 300, 200))
    got = arctan2(y, x)
    assert got.dtype == np.float64
    assert np.abs(got - np.arctan2(y, x)).max() <= 9e-16


def test_arctan2_on_the_axes_and_diagonals():
    numbers = np.array([0.0, -0.0, 1.0, -1.0, 3.0, -3.0])
    y, x = np.meshgrid(numbers, numbers)
    wanted, got = np.arctan2(y, x), arctan2(y, x)
    assert np.abs(got - wanted).max() <= 9e-16
    assert (np.signbit(got) == np.signbit(wanted)).all()
    exact = (x == 0) | (y == 0) | (np.abs(x) == np.abs(y))
    assert (got == wanted)[exact].all()


def test_arctan2_takes_any_memory_and_changes_nothing():
    y, x = (np.asfortranarray(each[::3, ::7]) for each in pairs("float32"))
    kept = y.copy(), x.copy()
    assert (arctan2(y, x) == arctan2(y.copy("C"), x.copy("C"))).all()
    assert (y == kept[0]).all()
    assert (x == kept[1]).all()
    assert np.isnan(arctan2(np.array([np.nan, 0]), np.array([1, np.nan]))).all()
    assert arctan2(np.float32(1), np.float32(1)).shape == ()


@pytest.mark.parametrize(("dtype", "step"), [("float32", 0.5), ("float64", 1.5)])
def test_hypot(dtype, step):
    x, y = np.random.default_rng(4).normal(size=(2, 300, 200)).astype(dtype)
    got, wanted = hypot(x, y), np.hypot(x.astype(np.longdouble), y.astype(np.longdouble))
    assert got.dtype == dtype
    assert (np.abs(got - wanted) <= np.spacing(got) * (step + 1e-6)).all()
    assert hypot(np.uint8(3), np.uint8(4)) == 5
    assert hypot(np.float32(1e-30), np.float32(0)) == np.float32(1e-30)
