"""Random numbers by counter: a hash of (scene seed, purpose, element); neither order nor batch matters.

The hash is the 32-bit finaliser "lowbias32" that Chris Wellons searched for (nullprogram.com/blog/2018/07/31,
public domain), applied to the element, then to the sum with a key of seed and purpose. Only exact operations
are used (integers, IEEE addition and multiplication): a number is the same bits on every device and in every
batch. Purposes are small integers: sensors use 100-599 (a hundred each), rooms 600-, wilds 700-.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import ndtri
from torch import Tensor

_GOLDEN = 0x9E3779B9
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B - 2**32)
# Odd, far apart: neighbouring lattice points get unlike hashes along every axis.
_LATTICE = (0x2545F491, 0x5851F42D, 0x14057B7F)
_QUANTILES = 1 << 16


def uniform(
    seeds: Int[Tensor, " batch"], purpose: int, shape: tuple[int, ...]
) -> Float[Tensor, " batch *shape"]:
    """Uniform numbers in [0, 1), multiples of 2^-24.

    Args:
        seeds: the scenes' seeds, int64.
        purpose: what the numbers are for; another purpose gives independent ones.
        shape: shape of one scene's numbers.

    Returns:
        float32 of shape (batch, *shape).
    """
    return (_bits(seeds, purpose, shape) >> 8).bitwise_and_(0xFFFFFF).to(torch.float32).mul_(2.0**-24)


def normal(
    seeds: Int[Tensor, " batch"], purpose: int, shape: tuple[int, ...]
) -> Float[Tensor, " batch *shape"]:
    """Standard normal numbers: the quantile function at the midpoints of 65,536 equal shares.

    A table rather than Box and Muller's formula, as logarithm and cosine differ in the last bit between
    devices and even within one vector. The largest is 4.32 in size.

    Args:
        seeds: the scenes' seeds, int64.
        purpose: what the numbers are for.
        shape: shape of one scene's numbers.

    Returns:
        float32 of shape (batch, *shape).
    """
    # The upper half of the bits, which the hash's last step leaves alone.
    bits = _bits(seeds, purpose, shape, upper=True)
    shares = (bits >> 16).bitwise_and_(_QUANTILES - 1)
    return _quantiles(bits.device).index_select(0, shares.flatten()).view(shares.shape)


def scene_keys(seeds: Int[Tensor, " batch"], purpose: int) -> Int[Tensor, " batch"]:
    """The 32-bit key of each scene's numbers for a purpose; `noise_at` takes it as well."""
    low = _signed(seeds & 0xFFFFFFFF)
    high = _signed((seeds >> 32) & 0xFFFFFFFF)
    purposes = _signed(torch.full_like(seeds, purpose * _GOLDEN & 0xFFFFFFFF))
    return _mix_(_mix_(_mix_(high) + low) + purposes)


def noise_at(keys: Int[Tensor, " n"], *axes: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Smooth noise in 0..1, of mean 0.5: random values on the integer lattice, blended by 3 t^2 - 2 t^3.

    Args:
        keys: of each point's scene, from `scene_keys`; add a number to get another noise.
        axes: 1 to 3 coordinates, less than 2^20 in size; one lattice cell is 1 long.
    """
    floors = [torch.floor(axis) for axis in axes]
    shares = [axis - floor for axis, floor in zip(axes, floors, strict=True)]
    cells = [floor.to(torch.int32) * prime for floor, prime in zip(floors, _LATTICE, strict=False)]
    return _blend(keys, cells, [share * share * (3 - 2 * share) for share in shares]) + 0.5


def _blend(corner: Tensor, cells: list[Tensor], shares: list[Tensor]) -> Tensor:
    """Interpolates linearly along the last axis between the blends of the others on both sides."""
    if not cells:
        # One round of mixing, uniform in -0.5..0.5: the primes have spread the bits, and texture forgives.
        return ((corner ^ (corner >> 15)) * _MULTIPLIERS[0]).to(torch.float32).mul_(2.0**-32)
    axis = len(cells) - 1
    low = _blend(corner + cells[axis], cells[:axis], shares[:axis])
    high = _blend(corner + (cells[axis] + _LATTICE[axis]), cells[:axis], shares[:axis])
    return low + shares[axis] * (high - low)


def _bits(
    seeds: Tensor, purpose: int, shape: tuple[int, ...], *, upper: bool = False
) -> Int[Tensor, " batch *shape"]:
    """The hash of each element; `upper` leaves the lower 16 bits unfinished."""
    elements = _mix_(torch.arange(math.prod(shape), dtype=torch.int32, device=seeds.device))
    words = elements + scene_keys(seeds, purpose)[:, None]
    return (_mix_upper_ if upper else _mix_)(words).view(len(seeds), *shape)


def _signed(words: Tensor) -> Tensor:
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def _mix_(words: Tensor) -> Tensor:
    """The finaliser, in place; torch shifts with the sign, so the bits that it brings in are masked off."""
    _mix_upper_(words)
    words ^= (words >> 16).bitwise_and_(0xFFFF)
    return words


def _mix_upper_(words: Tensor) -> Tensor:
    words ^= (words >> 16).bitwise_and_(0xFFFF)
    words *= _MULTIPLIERS[0]
    words ^= (words >> 15).bitwise_and_(0x1FFFF)
    words *= _MULTIPLIERS[1]
    return words


@lru_cache(maxsize=4)
def _quantiles(device: torch.device) -> Tensor:
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return torch.from_numpy(ndtri(shares).astype(np.float32)).to(device)
