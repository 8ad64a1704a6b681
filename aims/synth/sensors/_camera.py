"""The camera model that the silicon sensors for visible and near infrared light share: light to digits.

Shot and read noise follow EMVA standard 1288 (release 3.1, linear model), the encoding IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from aims.synth.exact import root_
from aims.synth.world.random import normal

#: Value of a white, matt, upright surface that faces the light, as a fraction of full scale.
WHITE = 0.85
# Full-well capacity of a small camera and its read noise (standard deviation), both in electrons.
FULL_WELL = 8000.0
READ_NOISE = 10.0
_LEVELS = 4096


def exposure(light: Tensor, ambient: Tensor) -> Tensor:
    """Returns the gain of an incident-light meter, (batch,): upright white facing the light gets `WHITE`."""
    return WHITE / (light + ambient).clamp_min(1e-6)


def add_noise(
    light: Tensor,
    seeds: Tensor,
    purpose: int,
    *,
    full_well: float = FULL_WELL,
    read_noise: float = READ_NOISE,
) -> Tensor:
    """Adds shot noise, whose variance grows with the light, and read noise that does not depend on it.

    Args:
        light: (batch, ...), 1 = full scale; changed in place.
        seeds: (batch,) scene seeds.
        purpose: number of this noise in `aims.synth.world.random`.
        full_well: full-well capacity in electrons.
        read_noise: standard deviation in electrons.

    Returns:
        `light`.
    """
    sigma = root_((light * (1 / full_well)).add_((read_noise / full_well) ** 2))
    return light.add_(sigma.mul_(normal(seeds, purpose, tuple(light.shape[1:]))))


def develop(picture: Tensor) -> Tensor:
    """Digitises light (1 = full scale, any shape) to 12 bits and encodes it with the sRGB curve as uint8."""
    digits = picture.clamp(0, 1).mul_(_LEVELS - 1).round_().int()
    return _curve(picture.device).index_select(0, digits.flatten()).view(picture.shape)


@lru_cache(maxsize=4)
def _curve(device: torch.device) -> Tensor:
    # A lookup table is faster than powers. No entry lies so close to a half that the last bit of a power,
    # which differs between processors, could change its rounding.
    linear = torch.arange(_LEVELS, dtype=torch.float64) / (_LEVELS - 1)
    encoded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)
    return (255 * encoded).round().byte().to(device)
