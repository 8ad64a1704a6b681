"""From light to numbers: what the silicon sensors for visible and near infrared light have in common.

Shot and read noise as in the EMVA standard 1288 (release 3.1, linear model); the curve of IEC 61966-2-1
(sRGB).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from aims.synth.exact import root_
from aims.synth.world.random import normal

#: Value of a white matt upright surface that faces the light, as a share of full scale.
WHITE = 0.85
# Electrons in a full pixel of a small camera, and the read noise in electrons.
FULL_WELL = 8000.0
READ_NOISE = 10.0
_LEVELS = 4096


def exposure(light: Tensor, ambient: Tensor) -> Tensor:
    """What an incident-light meter sets: upright white facing the light comes to `WHITE`; (batch,)."""
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
        purpose: number of this noise.
        full_well: electrons in a full pixel.
        read_noise: standard deviation in electrons.
    """
    sigma = root_((light * (1 / full_well)).add_((read_noise / full_well) ** 2))
    return light.add_(sigma.mul_(normal(seeds, purpose, tuple(light.shape[1:]))))


def develop(picture: Tensor) -> Tensor:
    """Digitises to 12 bits and encodes with sRGB's curve: uint8, of light with 1 = full scale."""
    digits = picture.clamp(0, 1).mul_(_LEVELS - 1).round_().int()
    return _curve(picture.device).index_select(0, digits.flatten()).view(picture.shape)


@lru_cache(maxsize=4)
def _curve(device: torch.device) -> Tensor:
    # A table, as cameras have it, and faster than powers. No value lies so near to a half that the last digit
    # of a power could change its rounding.
    linear = torch.arange(_LEVELS, dtype=torch.float64) / (_LEVELS - 1)
    encoded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)
    return (255 * encoded).round().byte().to(device)
