"""A colour camera: matt and shiny reflection of a main light and of ambient light, exposure, noise, sRGB."""

from __future__ import annotations

import torch
from torch import Tensor

from aims.synth.sensors._camera import add_noise, develop, exposure
from aims.synth.sensors._shading import reflect
from aims.synth.world.geometry import Geometry, kept_with_geometry

_NOISE = 100  # purpose, of 100 to 199; one for each channel
# Where nothing is seen, in shares of the ambient light: at the horizon and straight above, of R, G and B.
# Rooms are closed; a gap would be black.
_SKY = {"wilds": ((2.3, 0.8), (2.25, 1.2), (2.15, 1.9))}


def sense(geometry: Geometry, *, noise: bool = True) -> Tensor:
    """The picture of a colour camera.

    Sources are named in `_shading` (reflection) and `_camera` (noise, curve). The exposure is that of a
    meter which looks at the light and not at the picture: upright white that faces the light comes to 0.85 of
    full scale, so a scene in shadow is dark. No colour filter mosaic, no blur.

    Args:
        geometry: the scenes.
        noise: False leaves shot and read noise out.

    Returns:
        (batch, height, width, 3) uint8 R, G, B, encoded with sRGB's curve.
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
    """Diffuse and specular light of R, G and B, exposed but not cut at full scale; not to be changed.

    The light of matt surfaces and of the sky is diffuse; what the shiny skin throws back is specular, and
    metals colour it. Channel by channel: interleaved, arithmetic takes twice as long.

    Returns:
        For each channel (batch, height, width) of both, 1 = full scale; highlights go beyond.
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
