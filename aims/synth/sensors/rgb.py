"""A colour camera: diffuse and specular reflection of main and ambient light, exposure, noise, sRGB."""

from __future__ import annotations

import torch
from torch import Tensor

from aims.synth.sensors._camera import add_noise, develop, exposure
from aims.synth.sensors._shading import reflect
from aims.synth.world.geometry import Geometry, kept_with_geometry

_NOISE = 100  # first purpose of the noise, out of 100 to 199; one for each channel
# Radiance of the sky relative to the ambient light, at the horizon and at the zenith, for R, G and B. Rooms
# have none: they are closed, and a gap would be black.
_SKY = {"wilds": ((2.3, 0.8), (2.25, 1.2), (2.15, 1.9))}


def sense(geometry: Geometry, *, noise: bool = True) -> Tensor:
    """Simulates a colour camera.

    `_shading` names the sources of the reflection model, `_camera` those of noise and encoding. Exposure is
    set by an incident-light meter, not by the image: upright white that faces the light gets 0.85 of full
    scale, so a scene in shadow is dark. There is no colour filter mosaic and no blur.

    Args:
        geometry: the scenes.
        noise: False leaves shot and read noise out.

    Returns:
        (batch, height, width, 3) uint8 R, G, B, encoded with the sRGB curve.
    """
    planes = []
    for channel, (diffuse, specular) in enumerate(channels(geometry)):
        light = diffuse + specular
        planes.append(
            develop(add_noise(light.clamp_(0, 1), geometry.seeds, _NOISE + channel) if noise else light)
        )
    return torch.stack(planes, dim=-1)


@kept_with_geometry
def channels(geometry: Geometry) -> tuple[tuple[Tensor, Tensor], ...]:
    """Computes diffuse and specular light of R, G and B with exposure, before clipping and noise.

    The light of matt surfaces and of the sky is diffuse. Channels are kept apart, as arithmetic on
    interleaved channels takes twice as long. The result is shared with other sensors and must not be changed.

    Returns:
        (diffuse, specular) per channel, (batch, height, width) each; 1 = full scale, highlights exceed it.
    """
    light, ambient = geometry.light_rgb, geometry.ambient_rgb
    gain = exposure(_mean(light), _mean(ambient))
    sky = _SKY.get(geometry.family, (None,) * 3)
    albedo = geometry.albedo_rgb
    return tuple(
        reflect(geometry, albedo[..., k], light[:, k] * gain, ambient[:, k] * gain, sky[k]) for k in range(3)
    )


def _mean(colour: Tensor) -> Tensor:
    red, green, blue = colour.unbind(-1)
    return (red + green + blue) * (1 / 3)
