"""`arctan2` and `hypot` with the same bits on every processor, which those of NumPy do not have.

NumPy and the C library select their implementation by the vector unit, and the last digits differ. The
functions here use only operations that IEEE 754 rounds exactly: sums, products, quotients and square roots,
in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array

Floats = NDArray[np.floating[Any]]

# Values per block, so that intermediate results stay in the cache.
_BLOCK = 1 << 13
# arctan x = x + x^3 P(x^2) / Q(x^2) for x up to 0.66: Moshier, Methods and Programs for Mathematical
# Functions (1989), and his library Cephes.
_REDUCED = 0.66
_P = (
    -6.485021904942025371773e1,
    -1.228866684490136173410e2,
    -7.500855792314704667340e1,
    -1.615753718733365076637e1,
    -8.750608600031904122785e-1,
)
_Q = (
    1.945506571482613964425e2,
    4.853903996359136964868e2,
    4.328810604912902668951e2,
    1.650270098316988542046e2,
    2.485846490142306297962e1,
    1.0,
)


def arctan2(y: Array, x: Array) -> Floats:
    """Computes the angle of the point (x, y), as `np.arctan2` does; its sign is that of y, also for -0.0.

    Args:
        y: any shape; NaN and infinities give NaN.
        x: of the same shape.

    Returns:
        Radians in [-pi, pi] with an error below 4e-16, rounded to float32 unless an input needs float64.
    """
    y, x = np.asarray(y), np.asarray(x)
    angles = np.empty(x.shape, np.result_type(y, x, np.float32))
    flat, ys, xs = angles.reshape(-1), y.reshape(-1), x.reshape(-1)
    with np.errstate(invalid="ignore"):
        for first in range(0, flat.size, _BLOCK):
            part = slice(first, first + _BLOCK)
            flat[part] = _arctan2(ys[part].astype(np.float64), xs[part].astype(np.float64))
    return angles


def hypot(x: Array, y: Array) -> Floats:
    """Computes the length of the vector (x, y): float32 unless an input needs float64."""
    x, y = np.asarray(x), np.asarray(y)
    square = np.square(x, dtype=np.float64) + np.square(y, dtype=np.float64)
    return np.asarray(np.sqrt(square), np.result_type(x, y, np.float32))


def _arctan2(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    # Masks are factors of 0 and 1: arithmetic on whole arrays is several times faster than on selections.
    steep, flat = np.abs(y), np.abs(x)
    longer, shorter = np.maximum(steep, flat), np.minimum(steep, flat)
    # At the origin the quotient is 0 / 1 instead of 0 / 0.
    longer += longer == 0
    reduced = (shorter > _REDUCED * longer).astype(np.float64)
    # arctan(a / b) = pi / 4 + arctan((a - b) / (a + b)).
    ratio = shorter - reduced * longer
    ratio /= longer + reduced * shorter
    square = ratio * ratio
    correction = polynomial(square, _P)
    correction *= square
    correction /= polynomial(square, _Q)
    correction *= ratio
    ratio += correction
    ratio += np.multiply(reduced, math.pi / 4, out=reduced)
    # From the first octant back to the octant of (x, y): pi / 2 - angle if |y| > |x|, pi - angle if x < 0.
    for mirrored, sum_of_both in ((steep > flat, math.pi / 2), (np.signbit(x), math.pi)):
        ratio *= 1 - 2.0 * mirrored
        ratio += sum_of_both * mirrored
    return np.copysign(ratio, y, out=ratio)


def polynomial(values: NDArray[np.float64], coefficients: Sequence[float]) -> NDArray[np.float64]:
    """Evaluates the polynomial with these coefficients, the lowest first, by Horner's scheme."""
    total = values * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= values
    total += coefficients[0]
    return total
