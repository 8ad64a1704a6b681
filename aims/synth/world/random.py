"""Counter-based random numbers: a hash of (scene seed, purpose, element), independent of order and batch.

The hash is the 32-bit finaliser "lowbias32" that Chris Wellons searched for (nullprogram.com/blog/2018/07/31,
public domain), applied to the element, then to the sum with a key of seed and purpose. Only exact operations
are used (integers, IEEE addition and multiplication), so numbers are bit-identical on every device and in
every batch. Purposes are small integers: sensors use 100-599 (a hundred each), rooms 600-, wilds 700-.
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
# Odd and far apart, so that neighbouring lattice points get different hashes along every axis.
_LATTICE = (0x2545F491, 0x5851F42D, 0x14057B7F)
_QUANTILES = 1 << 16


def uniform(
    seeds: Int[Tensor, " batch"], purpose: int, shape: tuple[int, ...]
) -> Float[Tensor, " batch *shape"]:
    """Draws uniform numbers in [0, 1), multiples of 2^-24.

    Args:
        seeds: the scenes' seeds, int64.
        purpose: number of the stream; different purposes give independent numbers.
        shape: shape of one scene's numbers.

    Returns:
        float32 of shape (batch, *shape).
    """
    return (_bits(seeds, purpose, shape) >> 8).bitwise_and_(0xFFFFFF).to(torch.float32).mul_(2.0**-24)


def normal(
    seeds: Int[Tensor, " batch"], purpose: int, shape: tuple[int, ...]
) -> Float[Tensor, " batch *shape"]:
    """Draws standard normal numbers: the quantile function at the midpoints of 65,536 equal intervals.

    The quantiles are a table, as the logarithm and cosine of the Box-Muller transform differ in the last bit
    between devices and even within one vector. The largest magnitude is 4.32.

    Args:
        seeds: the scenes' seeds, int64.
        purpose: number of the stream; different purposes give independent numbers.
        shape: shape of one scene's numbers.

    Returns:
        float32 of shape (batch, *shape).
    """
    # Only the upper 16 bits are used, which the hash's last step does not change, so it is skipped.
    bits = _bits(seeds, purpose, shape, upper=True)
    shares = (bits >> 16).bitwise_and_(_QUANTILES - 1)
    return _quantiles(bits.device).index_select(0, shares.flatten()).view(shares.shape)


def scene_keys(seeds: Int[Tensor, " batch"], purpose: int) -> Int[Tensor, " batch"]:
    """Returns the 32-bit key of each scene for a purpose, also for `noise_at`."""
    low = _signed(seeds & 0xFFFFFFFF)
    high = _signed((seeds >> 32) & 0xFFFFFFFF)
    purposes = _signed(torch.full_like(seeds, purpose * _GOLDEN & 0xFFFFFFFF))
    return _mix_(_mix_(_mix_(high) + low) + purposes)


def noise_at(keys: Int[Tensor, " n"], *axes: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Computes value noise in 0..1 of mean 0.5: lattice values interpolated with weights 3 t^2 - 2 t^3.

    Args:
        keys: key of each point's scene, from `scene_keys`; adding a number gives another noise.
        axes: 1 to 3 coordinates, less than 2^20 in size; one lattice cell is 1 long.
    """
    floors = [torch.floor(axis) for axis in axes]
    shares = [axis - floor for axis, floor in zip(axes, floors, strict=True)]
    cells = [floor.to(torch.int32) * prime for floor, prime in zip(floors, _LATTICE, strict=False)]
    return _blend(keys, cells, [share * share * (3 - 2 * share) for share in shares]) + 0.5


def _blend(corner: Tensor, cells: list[Tensor], shares: list[Tensor]) -> Tensor:
    """Interpolates lattice values recursively, linearly along the last axis first."""
    if not cells:
        # Uniform in -0.5..0.5. One round of mixing suffices for textures, as the primes spread the bits.
        return ((corner ^ (corner >> 15)) * _MULTIPLIERS[0]).to(torch.float32).mul_(2.0**-32)
    axis = len(cells) - 1
    low = _blend(corner + cells[axis], cells[:axis], shares[:axis])
    high = _blend(corner + (cells[axis] + _LATTICE[axis]), cells[:axis], shares[:axis])
    return low + shares[axis] * (high - low)


def _bits(
    seeds: Tensor, purpose: int, shape: tuple[int, ...], *, upper: bool = False
) -> Int[Tensor, " batch *shape"]:
    """Hashes each element; with `upper` only the upper 16 bits are final."""
    elements = _mix_(torch.arange(math.prod(shape), dtype=torch.int32, device=seeds.device))
    words = elements + scene_keys(seeds, purpose)[:, None]
    return (_mix_upper_ if upper else _mix_)(words).view(len(seeds), *shape)


def _signed(words: Tensor) -> Tensor:
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def _mix_(words: Tensor) -> Tensor:
    """Applies the finaliser in place; torch's shift extends the sign, so those bits are masked off."""
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
