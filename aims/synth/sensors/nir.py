"""A near infrared camera (about 850 nm): one channel, the surfaces' own albedo, a dark sky."""

from __future__ import annotations

from torch import Tensor

from aims.synth.sensors._camera import add_noise, develop, exposure
from aims.synth.sensors._shading import reflect
from aims.synth.world.geometry import Geometry

_NOISE = 200  # purpose, of 200 to 299
# Where nothing is seen, in shares of the ambient light, at the horizon and straight above: air scatters with
# the fourth power of frequency (Rayleigh), so a clear sky at 850 nm has a seventh of its light at 520 nm.
_SKY = {"wilds": (0.9, 0.2)}


def sense(geometry: Geometry, *, noise: bool = True) -> Tensor:
    """The picture of a silicon camera behind a filter that passes near infrared light only.

    The model is the colour camera's (`rgb.sense`) with `albedo_nir`, `light_nir` and `ambient_nir`: leaves
    are bright there and paints alike because their materials say so. Fresnel's reflectance is that of
    visible light.

    Args:
        geometry: the scenes.
        noise: False leaves shot and read noise out.

    Returns:
        (batch, height, width) uint8, encoded with sRGB's curve and not linear, as pictures of converted
        colour cameras are (Brown and Süsstrunk, CVPR 2011).
    """
    gain = exposure(geometry.light_nir, geometry.ambient_nir)
    main, around = geometry.light_nir * gain, geometry.ambient_nir * gain
    diffuse, specular = reflect(geometry, geometry.albedo_nir, main, around, _SKY.get(geometry.family))
    light = diffuse.add_(specular)
    return develop(add_noise(light.clamp_(0, 1), geometry.seeds, _NOISE) if noise else light)
