"""A colour camera: matt and shiny reflection of a main light and of ambient light, exposure, noise, sRGB."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aims.synth.exact import root_
from aims.synth.sensors._camera import add_noise, develop, exposure
from aims.synth.sensors._shading import shade
from aims.synth.sensors._shared import kept_with_geometry
from aims.synth.world.geometry import Geometry

_NOISE = 100  # purpose, of 100 to 199; one for each channel
# Where nothing is seen, in shares of the ambient light: at the horizon and straight above, R, G, B. Rooms are
# closed; a gap would be black.
_SKY = {"wilds": ((2.3, 2.25, 2.15), (0.8, 1.2, 1.9))}


@dataclass(frozen=True)
class Radiance:
    """Light at the sensor before noise and curve, 1 = full scale (highlights go beyond).

    Attributes:
        diffuse: (batch, height, width, 3): scattered by matt surfaces, and the sky.
        specular: (batch, height, width, 3): thrown back by the shiny skin; metals colour it.
    """

    diffuse: Tensor
    specular: Tensor


def radiance(geometry: Geometry) -> Radiance:
    """The light of every pixel, as `sense` sees it, exposed but not yet cut at full scale."""
    diffuse, specular = zip(*channels(geometry), strict=True)
    return Radiance(torch.stack(diffuse, dim=-1), torch.stack(specular, dim=-1))


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
        planes.append(develop(add_noise(light, geometry.seeds, _NOISE + channel) if noise else light))
    return torch.stack(planes, dim=-1)


@kept_with_geometry
def channels(geometry: Geometry) -> tuple[tuple[Tensor, Tensor], ...]:
    """Diffuse and specular light of `radiance`, channel by channel; not to be changed.

    Interleaved, arithmetic takes twice as long.
    """
    pairs = []
    shading = shade(geometry)
    gain = exposure(_mean(geometry.light_rgb), _mean(geometry.ambient_rgb))[:, None]
    main, around = geometry.light_rgb * gain, geometry.ambient_rgb * gain
    sky = _SKY.get(geometry.family)
    up, nothing = root_(shading.up.clamp(0, 1)), geometry.materials == 0
    for channel in range(3):
        diffuse, specular = shading.reflect(
            geometry.albedo_rgb[..., channel], main[:, channel], around[:, channel]
        )
        if sky is not None:
            horizon, zenith = (shares[channel] for shares in sky)
            light = (up * (zenith - horizon)).add_(horizon).mul_(around[:, channel, None, None])
            diffuse = torch.where(nothing, light, diffuse)
        pairs.append((diffuse, specular))
    return tuple(pairs)


def _mean(colour: Tensor) -> Tensor:
    red, green, blue = colour.unbind(-1)
    return (red + green + blue) * (1 / 3)
