"""A long-wave infrared camera: the temperature of the black body with the same radiance as each pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aims.synth.exact import root_
from aims.synth.sensors._shading import by_material, mirrored_up
from aims.synth.world.geometry import Geometry
from aims.synth.world.random import normal

_TEMPORAL, _PIXELS, _COLUMNS = 300, 301, 302  # purposes of the noise, out of 300 to 399
_ZERO_CELSIUS = 273.15
# Standard deviations in kelvin: temporal noise (NETD), and the residual after shutter-based correction.
_NETD = 0.05
_PIXEL_PATTERN = 0.03
_COLUMN_PATTERN = 0.03
# Sigma of the optics' blur in pixels, for an image whose shorter side has 128 pixels.
_BLUR = 1.0
# Temperature of the surroundings straight above and straight below, in kelvin relative to the air: in rooms
# warm air rises; a clear sky radiates like a body twenty to sixty kelvin colder than the air.
_ABOVE = {"rooms": 1.5, "wilds": -35.0}
_BELOW = {"rooms": -1.5, "wilds": 0.0}


def sense(geometry: Geometry, *, noise: bool = True) -> Tensor:
    """Simulates apparent temperature in degrees Celsius, for a camera set to emissivity 1.

    A surface is a grey body (Stefan-Boltzmann): e T^4 + (1 - e) T_m^4 is the fourth power of the apparent
    temperature (in the band of 8 to 14 micrometres the exponent would be nearer 4.5). The reflected
    temperature T_m is not traced; it is the air's with a vertical gradient: in rooms +1.5 K straight above
    and -1.5 K straight below, in the open -35 K at the zenith of a clear sky. Glass is opaque. The optics
    blur radiance, not temperature, by a Gaussian of 1/128 of the shorter side.

    The noise follows D'Agostino and Webb (SPIE 1488, 1991): temporal noise (NETD 50 mK) and a fixed pattern
    of pixels and columns that belongs to the camera and is the same in all scenes.

    Args:
        geometry: the scenes.
        noise: False leaves out noise and fixed pattern, not the blur.

    Returns:
        (batch, height, width) float32.
    """
    emissivity = by_material(geometry, "emissivity")
    mirrored = _fourth(_surroundings(geometry, mirrored_up(geometry)))
    emitted = (_fourth(geometry.temperature_k) - mirrored).mul_(emissivity).add_(mirrored)
    exitance = torch.where(geometry.materials == 0, mirrored, emitted)
    height, width = exitance.shape[1:]
    sigma = _BLUR * min(height, width) / 128
    celsius = root_(root_(_blur(_blur(exitance, sigma, 1), sigma, 2))).sub_(_ZERO_CELSIUS)
    if not noise:
        return celsius
    camera = geometry.seeds.new_zeros(1)
    pattern = _PIXEL_PATTERN * normal(camera, _PIXELS, (height, width))
    pattern = pattern + _COLUMN_PATTERN * normal(camera, _COLUMNS, (1, width))
    return celsius.add_(pattern).add_(normal(geometry.seeds, _TEMPORAL, (height, width)).mul_(_NETD))


def _surroundings(geometry: Geometry, up: Tensor) -> Tensor:
    """Returns the temperature in kelvin of the surroundings by upward component (1 up, -1 down)."""
    above, below = _ABOVE[geometry.family], _BELOW[geometry.family]
    warmer = up.clamp_min(0).mul_(above).sub_(up.clamp_max(0).mul_(below))
    return warmer.add_(geometry.air_k[:, None, None])


def _fourth(kelvin: Tensor) -> Tensor:
    # Two squares, as a power is not bit-identical on every processor.
    return kelvin.square().square_()


def _blur(picture: Tensor, sigma: float, axis: int) -> Tensor:
    """Blurs along one axis with a Gaussian; the image is mirrored at its edges, which keeps the mean.

    It adds shifted copies, as the rounding of a convolution depends on the size of the batch.
    """
    length = picture.shape[axis]
    radius = math.ceil(3 * sigma)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    start = picture.narrow(axis, 0, radius).flip(axis)
    end = picture.narrow(axis, length - radius, radius).flip(axis)
    wide = torch.cat([start, picture, end], axis)
    blurred = wide.narrow(axis, radius, length) * (weights[0] / total)
    for step, weight in enumerate(weights[1:], 1):
        pair = wide.narrow(axis, radius - step, length) + wide.narrow(axis, radius + step, length)
        blurred.add_(pair.mul_(weight / total))
    return blurred
