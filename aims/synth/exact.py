"""Functions that have the same bits on every processor, where those of torch and NumPy have not.

IEEE 754 gives sums, differences, products, quotients and roots one right result each; all else is up to the
library, and libraries choose their code by the processor. Torch's root on a CPU is no exception: MKL's rounds
wrongly, and otherwise on the processors of another maker. Here a root is NumPy's, which is the processor's
own instruction, and on a GPU torch's, which CUDA compiles to round correctly; everything else is made of
those operations, step by step. A product and a sum are two steps: `addcmul` rounds once or twice, as the
processor can. Tensors are multiplied by the inverse of a number and not divided by it, which on a GPU alone
torch does with a division too; so the bits are the same there, as far as it keeps to IEEE 754.

A test keeps all other functions out of `aims.synth`. Powers and angles are right to a few units in the last
place, as those of torch are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aims.sensors.exact import polynomial

# Bits of sqrt(1/2): what lies between it and its double is taken as the mantissa.
_ROOT_OF_HALF = 0x3F3504F3
_MANTISSA_BITS = 23
# log2((1 + s) / (1 - s)) = 2 / ln 2 (s + s^3 / 3 + ...), to 2e-9 of itself for a mantissa.
_LOG2 = [2 / math.log(2) / power for power in (1, 3, 5, 7, 9)]
# 2^f for f in -1/2..1/2, to 5e-9.
_EXP2 = [math.log(2) ** power / math.factorial(power) for power in range(8)]
# arccos x = sqrt(1 - x) P(x) for x in 0..1 to 2e-8: Abramowitz and Stegun, Handbook of Mathematical
# Functions (1964), 4.4.46.
_ARCCOS = [
    1.5707963050,
    -0.2145988016,
    0.0889789874,
    -0.0501743046,
    0.0308918810,
    -0.0170881256,
    0.0066700901,
    -0.0012624911,
]


def root(values: Tensor) -> Tensor:
    """The square root, correctly rounded; NaN of what is negative.

    Args:
        values: float32 or float64, any shape.
    """
    return _root(values, torch.empty_like(values))


def root_(values: Tensor) -> Tensor:
    """`root` in place."""
    return _root(values, values)


def _root(values: Tensor, out: Tensor) -> Tensor:
    if values.device.type != "cpu":
        return torch.sqrt(values, out=out)
    with np.errstate(invalid="ignore"):
        np.sqrt(values.numpy(), out=out.numpy())
    return out


def power(base: Tensor, exponent: Tensor) -> Tensor:
    """base^exponent for a base from 0 to 1 and an exponent of at least 0.

    Results above 1e-6 are right to 3e-6 of themselves, smaller ones to 1e-10. None is below 2^-126, and a
    base of 0 counts as 2^-127.

    Args:
        base: float32, contiguous.
        exponent: float32 of the same shape.
    """
    bits = base.view(torch.int32)
    whole = (bits - _ROOT_OF_HALF).bitwise_right_shift_(_MANTISSA_BITS)
    mantissa = (bits - (whole << _MANTISSA_BITS)).view(torch.float32)
    share = (mantissa - 1).div_(mantissa.add_(1))
    # The share is tiny where the base is next to 1, so that a high power of it keeps its digits.
    logarithm = _polynomial(share * share, _LOG2).mul_(share).add_(whole)
    logarithm.mul_(exponent).clamp_(min=-126)
    whole = logarithm.round()
    values = _polynomial(logarithm.sub_(whole), _EXP2)
    values.view(torch.int32).add_(whole.to(torch.int32).bitwise_left_shift_(_MANTISSA_BITS))
    return values


def arccos(cosine: Tensor) -> Tensor:
    """The angle in radians, of cosines from 0 to 1 alone; to 2e-7.

    Args:
        cosine: float32, any shape.
    """
    return root_(1 - cosine).mul_(_polynomial(cosine, _ARCCOS))


def matmul(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix products, (..., n, k) times (..., k, m), summed in the order of k; BLAS has other orders."""
    total: NDArray[np.float64] = left[..., :1] * right[..., :1, :]
    for index in range(1, left.shape[-1]):
        total = total + left[..., index : index + 1] * right[..., index : index + 1, :]
    return total


def sine_and_cosine(angles: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and cosine of angles of less than a thousand radians, to 1e-13 (1e-16 within half a turn)."""
    quarters = np.rint(angles * (2 / math.pi))
    # The half turn in two parts: the first has bits to spare for the product with a small whole number.
    rest = angles - quarters * _QUARTER - quarters * _REST_OF_QUARTER
    square = rest * rest
    sine = rest * polynomial(square, _SINE)
    cosine = polynomial(square, _COSINE)
    odd = quarters % 2 != 0
    sine, cosine = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    turn = quarters % 4
    return np.where(turn >= 2, -sine, sine), np.where((turn == 1) | (turn == 2), -cosine, cosine)


_QUARTER = float(np.float32(math.pi / 2))
_REST_OF_QUARTER = math.pi / 2 - _QUARTER
# To the term of the 17th power: 3e-17 of the sine at a quarter of a half turn.
_SINE = [(-1) ** half / math.factorial(2 * half + 1) for half in range(9)]
_COSINE = [(-1) ** half / math.factorial(2 * half) for half in range(9)]


def _polynomial(values: Tensor, coefficients: Sequence[float]) -> Tensor:
    """The polynomial with those coefficients, the lowest first, in one new tensor."""
    total = values * coefficients[-1]
    for coefficient in reversed(coefficients[1:-1]):
        total.add_(coefficient).mul_(values)
    return total.add_(coefficients[0])
