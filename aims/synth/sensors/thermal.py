"""A long-wave infrared camera: the temperature a black body would have to look as bright as each pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aims.synth.exact import root_
from aims.synth.sensors._shading import by_material, mirrored_up
from aims.synth.world.geometry import Geometry
from aims.synth.world.random import normal

_TEMPORAL, _PIXELS, _COLUMNS = 300, 301, 302  # purposes, of 300 to 399
_ZERO_CELSIUS = 273.15
# Standard deviations in kelvin: from frame to frame (NETD), and what the shutter's correction leaves behind.
_NETD = 0.05
_PIXEL_PATTERN = 0.03
_COLUMN_PATTERN = 0.03
# Sigma of the optics' blur in pixels, in a picture of 128 pixels.
_BLUR = 1.0
# The surroundings' temperature straight above and straight below, in kelvin more than level with the camera:
# in rooms warm air rises; a clear sky radiates like a body twenty to sixty kelvin colder than the air.
_ABOVE = {"rooms": 1.5, "wilds": -35.0}
_BELOW = {"rooms": -1.5, "wilds": 0.0}


def sense(geometry: Geometry, *, noise: bool = True) -> Tensor:
    """Apparent temperature in degrees Celsius, as a camera gives it that is set to emissivity 1.

    A grey body by Stefan and Boltzmann: e T^4 + (1 - e) T_m^4 is the fourth power of the black body's
    temperature (a camera sees 8 to 14 micrometres only, where the power is nearer 4.5). T_m, what the
    surface mirrors, is not traced but the air's temperature with a vertical gradient: in rooms 1.5 K more
    straight above and less straight below, in the open down to a clear sky's 35 K less at the zenith. Glass
    is opaque. The optics blur radiance, not temperature, by a Gaussian of 1/128 of the shorter side.

    Noise after D'Agostino and Webb (SPIE 1488, 1991): a random part (NETD 50 mK), and a fixed pattern of
    pixels and columns that belongs to the camera and is the same in all scenes.

    Args:
        geometry: the scenes.
        noise: False leaves noise and pattern out, not the blur.

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
    """Kelvin of the surroundings in directions that point `up` (1 straight up, -1 straight down)."""
    above, below = _ABOVE[geometry.family], _BELOW[geometry.family]
    warmer = up.clamp_min(0).mul_(above).sub_(up.clamp_max(0).mul_(below))
    return warmer.add_(geometry.air_k[:, None, None])


def _fourth(kelvin: Tensor) -> Tensor:
    # Squares have the same bits everywhere, powers have not.
    return kelvin.square().square_()


def _blur(picture: Tensor, sigma: float, axis: int) -> Tensor:
    """A Gaussian along one axis, the picture mirrored at its edges, so that the mean stays.

    Shifted copies and no convolution, whose rounding depends on the size of the batch.
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
