"""Functions whose results are bit-identical on every processor, where those of torch and NumPy are not.

IEEE 754 defines one correctly rounded result for sums, differences, products, quotients and square roots;
other functions depend on the library, which selects its code by the processor. `torch.sqrt` on a CPU does
too: MKL's is not correctly rounded and differs between processor vendors. `root` therefore uses NumPy's,
which is the processor's instruction, and on a GPU torch's, which CUDA compiles to round correctly; all other
functions are built from these operations. A product and a sum stay two steps, as `addcmul` rounds once or
twice depending on the processor. Tensors are multiplied by the inverse of a number rather than divided by
it: torch replaces such a division by that multiplication on a GPU, and only there.

A test keeps all other functions out of `aims.synth`. Powers and angles are accurate to a few units in the
last place, like those of torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aims.sensors.exact import polynomial

# Bits of sqrt(1/2) in float32: the mantissa is taken between sqrt(1/2) and sqrt(2).
_ROOT_OF_HALF = 0x3F3504F3
_MANTISSA_BITS = 23
# log2((1 + s) / (1 - s)) = 2 / ln 2 (s + s^3 / 3 + ...), with a relative error of 2e-9 over those mantissas.
_LOG2 = [2 / math.log(2) / power for power in (1, 3, 5, 7, 9)]
# 2^f for f in [-1/2, 1/2], to 5e-9.
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
    """Computes the correctly rounded square root; NaN for negative values.

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
    """Computes base^exponent for a base from 0 to 1 and an exponent of at least 0.

    The relative error is 3e-6 for results above 1e-6, the absolute error 1e-10 for smaller ones. No result is
    below 2^-126, and a base of 0 counts as 2^-127.

    Args:
        base: float32, contiguous.
        exponent: float32 of the same shape.
    """
    bits = base.view(torch.int32)
    whole = (bits - _ROOT_OF_HALF).bitwise_right_shift_(_MANTISSA_BITS)
    mantissa = (bits - (whole << _MANTISSA_BITS)).view(torch.float32)
    share = (mantissa - 1).div_(mantissa.add_(1))
    # `share` goes to 0 as the base goes to 1, so the logarithm keeps its digits and so do high powers.
    logarithm = _polynomial(share * share, _LOG2).mul_(share).add_(whole)
    logarithm.mul_(exponent).clamp_(min=-126)
    whole = logarithm.round()
    values = _polynomial(logarithm.sub_(whole), _EXP2)
    values.view(torch.int32).add_(whole.to(torch.int32).bitwise_left_shift_(_MANTISSA_BITS))
    return values


def arccos(cosine: Tensor) -> Tensor:
    """Computes the arc cosine in radians, for cosines from 0 to 1 only, to 2e-7.

    Args:
        cosine: float32, any shape.
    """
    return root_(1 - cosine).mul_(_polynomial(cosine, _ARCCOS))


def matmul(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiplies (..., n, k) by (..., k, m), summing in the order of k; BLAS does not fix the order."""
    total: NDArray[np.float64] = left[..., :1] * right[..., :1, :]
    for index in range(1, left.shape[-1]):
        total = total + left[..., index : index + 1] * right[..., index : index + 1, :]
    return total


def sine_and_cosine(angles: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns sine and cosine of angles of less than 1000 radians, to 1e-13 (1e-16 within half a turn)."""
    quarters = np.rint(angles * (2 / math.pi))
    # pi/2 is subtracted in two parts: the first has 24 bits, so its product with a small integer is exact.
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
# Up to the 17th power, which makes 3e-17 of the sine at pi/4, the end of the range.
_SINE = [(-1) ** half / math.factorial(2 * half + 1) for half in range(9)]
_COSINE = [(-1) ** half / math.factorial(2 * half) for half in range(9)]


def _polynomial(values: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Evaluates a polynomial by Horner's scheme, coefficients from the lowest power; allocates one tensor."""
    total = values * coefficients[-1]
    for coefficient in reversed(coefficients[1:-1]):
        total.add_(coefficient).mul_(values)
    return total.add_(coefficients[0])
