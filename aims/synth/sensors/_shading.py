"""The reflection model that all cameras for visible and near infrared light share, independent of wavelength.

The diffuse part follows Lambert's cosine law. The specular part uses the half-way vector of Blinn (SIGGRAPH
1977), a lobe normalised by (p + 8) / 8 (Akenine-Möller et al., Real-Time Rendering) with the exponent
p = 2 / roughness^4 - 2 (Walter et al., EGSR 2007; Burley, SIGGRAPH 2012), and Schlick's approximation of the
Fresnel reflectance (Computer Graphics Forum 1994), evaluated at the viewing angle for the main light too. No
rays are traced: the radiance of the surroundings is 1 + 0.6 times the upward component of the direction.

Sums over x, y and z are written out, as a reduction or a matrix product may round differently in another
batch. Operations work in place, as allocating memory costs more than the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aims.synth.exact import power, root_
from aims.synth.world.geometry import Geometry, family_of, kept_with_geometry

Planes = tuple[Tensor, ...]

# Smallest roughness^2; below it a highlight would be smaller than a pixel.
_MIN_ALPHA = 0.05
# Relative increase of the surroundings' radiance straight above, and decrease straight below. The irradiance
# of a matt surface, an integral over the hemisphere weighted by the cosine, keeps two thirds of it.
_ABOVE = 0.6
_GATHERED = 2 / 3 * _ABOVE


@dataclass(frozen=True)
class Shading:
    """Reflection factors of every pixel, each (batch, height, width); diffuse factors are 0 for the sky.

    A camera sees of albedo a (`reflect`): diffuse light a * (main * direct + around * ambient) and specular
    light (skin + a * metal) * (main * glint + around * mirror).

    Attributes:
        direct: diffuse factor of the main light: the cosine times the lit share; 0 for metals.
        ambient: diffuse factor of the ambient light: 1 for upright surfaces, more facing up, less facing
            down; 0 for metals.
        glint: fraction of the main light that a perfect reflector of this roughness and shine sends to the
            camera; above 1 in the middle of a highlight.
        mirror: fraction of the ambient light that it sends to the camera.
        skin: Fresnel reflectance that does not depend on the albedo: all of a dielectric's, and of a metal's
            the increase towards grazing angles.
        metal: reflectance of metals per unit of albedo; 0 for dielectrics.
        up: upward component of the mirrored direction, 1 to -1; of the ray itself for the sky.
    """

    direct: Tensor
    ambient: Tensor
    glint: Tensor
    mirror: Tensor
    skin: Tensor
    metal: Tensor
    up: Tensor


@kept_with_geometry
def shade(geometry: Geometry) -> Shading:
    """Computes the reflection factors of every pixel for the main and the ambient light."""
    normal, view = planes(geometry.normals), planes(geometry.view_directions()[:1])
    light, down = planes(geometry.light_direction[:, None, None]), planes(geometry.down[:, None, None])
    facing, direct = dot(normal, view).clamp_(0, 1), dot(normal, light).clamp_min_(0)
    # The half-way vector is (view + light) / |view + light|; of unit vectors the length is sqrt(2 + 2 cos).
    length = root_(dot(view, light).mul_(2).add_(2).clamp_min_(1e-6))
    half = (direct + facing).div_(length).clamp_(0, 1)

    table = family_of(geometry)
    metals = (table["extinction"] > 0).float()
    sharpness = 2 / table["roughness"].square().clamp_min(_MIN_ALPHA).square() - 2
    upright = ((table["refractive_index"] - 1) / (table["refractive_index"] + 1)).square() * (1 - metals)
    metal, base = by_material(geometry, metals), by_material(geometry, upright)

    direct.mul_(geometry.lit)
    glint = power(half, by_material(geometry, sharpness)).mul_(direct)
    fall = dot(normal, down)
    up = _mirrored_up(facing, fall, dot(view, down))
    scatters = (1 - metal).mul_(geometry.materials > 0)
    rest = facing.neg_().add_(1)
    grazing = rest.square().square_().mul_(rest)
    # Schlick: from the reflectance at normal incidence, which for metals is the albedo, up to 1 at grazing.
    skin = base.add_((1 - base).mul_(grazing))
    return Shading(
        direct=direct.mul_(scatters),
        ambient=fall.mul_(-_GATHERED).add_(1).mul_(scatters),
        glint=glint.mul_(by_material(geometry, (sharpness + 8) / 8 * table["shine"])),
        mirror=(up * _ABOVE).add_(1).mul_(by_material(geometry, table["shine"])),
        skin=skin,
        metal=metal.mul_(grazing.neg_().add_(1)),
        up=up,
    )


def reflect(
    geometry: Geometry, albedo: Tensor, main: Tensor, around: Tensor, sky: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """Computes the light of one channel that reaches the camera.

    Args:
        geometry: the scenes.
        albedo: (batch, height, width) diffuse albedo; for metals, the reflectance at normal incidence.
        main: (batch,) radiance of a white matt surface that faces the main light.
        around: (batch,) radiance of a white, matt, upright surface in the ambient light.
        sky: radiance of the sky relative to `around`, at the horizon and at the zenith; None is black.

    Returns:
        Diffuse light (or that of the sky) and specular light, (batch, height, width) each.
    """
    shading, main, around = shade(geometry), main[:, None, None], around[:, None, None]
    scattered = (shading.direct * main).add_(shading.ambient * around).mul_(albedo)
    if sky is not None:
        horizon, zenith = sky
        light = root_(shading.up.clamp(0, 1)).mul_(zenith - horizon).add_(horizon).mul_(around)
        scattered = torch.where(geometry.materials == 0, light, scattered)
    mirrored = (shading.glint * main).add_(shading.mirror * around)
    return scattered, mirrored.mul_((shading.metal * albedo).add_(shading.skin))


def mirrored_up(geometry: Geometry) -> Tensor:
    """Computes the upward component of the view direction mirrored at each pixel's normal.

    Returns:
        (batch, height, width): 1 straight up, 0 level, -1 straight down; of the ray itself for the sky.
    """
    view, down = planes(geometry.view_directions()[:1]), planes(geometry.down[:, None, None])
    normal = planes(geometry.normals)
    return _mirrored_up(dot(normal, view), dot(normal, down), dot(view, down))


def by_material(geometry: Geometry, column: Tensor | str) -> Tensor:
    """Looks up a property of each pixel's material, (batch, height, width).

    Args:
        geometry: the scenes.
        column: (materials,), or the name of a property of materials.
    """
    if isinstance(column, str):
        column = family_of(geometry)[column]
    return column.index_select(0, geometry.materials.flatten()).view(geometry.materials.shape)


def planes(vectors: Tensor) -> Planes:
    """Splits (..., 3) into contiguous x, y, z; arithmetic on interleaved values takes ten times as long."""
    return vectors.movedim(-1, 0).contiguous().unbind(0)


def dot(a: Planes, b: Planes) -> Tensor:
    """Computes the dot product of vectors given as planes."""
    return (a[0] * b[0]).add_(a[1] * b[1]).add_(a[2] * b[2])


def _mirrored_up(facing: Tensor, fall: Tensor, view_fall: Tensor) -> Tensor:
    # The view v mirrored at the normal n is 2 (n.v) n - v; the arguments are n.v, n.down and v.down.
    return (facing * fall).mul_(-2).add_(view_fall)
