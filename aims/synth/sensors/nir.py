"""A near infrared camera (about 850 nm) with one channel."""

from __future__ import annotations

from torch import Tensor

from aims.synth.sensors._camera import add_noise, develop, exposure
from aims.synth.sensors._shading import reflect
from aims.synth.world.geometry import Geometry

_NOISE = 200  # purpose of the noise, out of 200 to 299
# Radiance of the sky relative to the ambient light, at the horizon and at the zenith: Rayleigh scattering
# grows with the fourth power of frequency, so a clear sky is a seventh as bright at 850 nm as at 520 nm.
_SKY = {"wilds": (0.9, 0.2)}


def sense(geometry: Geometry, *, noise: bool = True) -> Tensor:
    """Simulates a silicon camera behind a filter that passes near infrared light only.

    The model is that of `rgb.sense` with `albedo_nir`, `light_nir` and `ambient_nir`; that leaves are bright
    and paints look alike comes from the material table. The Fresnel reflectance is that of visible light.

    Args:
        geometry: the scenes.
        noise: False leaves shot and read noise out.

    Returns:
        (batch, height, width) uint8, encoded with the sRGB curve like the images of converted colour cameras
        (Brown and Süsstrunk, CVPR 2011).
    """
    gain = exposure(geometry.light_nir, geometry.ambient_nir)
    main, around = geometry.light_nir * gain, geometry.ambient_nir * gain
    diffuse, specular = reflect(geometry, geometry.albedo_nir, main, around, _SKY.get(geometry.family))
    light = diffuse.add_(specular)
    return develop(add_noise(light.clamp_(0, 1), geometry.seeds, _NOISE) if noise else light)
