"""How surfaces throw light back: the part that all cameras for light have in common, before any colour.

Lambert's cosine for the matt part. For the shiny part the half-way vector of Blinn (SIGGRAPH 1977), a lobe
of the norm (p + 8) / 8 (Akenine-Möller et al., Real-Time Rendering), p = 2 / roughness^4 - 2 (Walter et
al., EGSR 2007; Burley, SIGGRAPH 2012), and Fresnel's reflectance in Schlick's form (Computer Graphics Forum
1994), which ours takes at the angle of view for the main light too. Nothing is traced: the surroundings shine
1 + 0.6 times the upward part of the direction, which a mirror shows and a matt surface gathers.

Sums over x, y and z are written out: a reduction or a matrix product may round otherwise in another batch.
Steps are done in place, as fresh memory costs more than arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aims.synth.exact import power, root_
from aims.synth.world.geometry import Geometry, family_of, kept_with_geometry

Planes = tuple[Tensor, ...]

# roughness^2 below which a highlight would be smaller than a pixel.
_MIN_ALPHA = 0.05
# How much more than their mean the surroundings shine from straight above, and less from below. A matt
# surface gathers them over half the sphere, weighted by the cosine, which leaves two thirds of it.
_ABOVE = 0.6
_GATHERED = 2 / 3 * _ABOVE


@dataclass(frozen=True)
class Shading:
    """What every pixel does with the light, each (batch, height, width); where nothing is seen, no light.

    Light that a camera sees of albedo a (`reflect`): scattered a (main direct + around ambient), and mirrored
    (skin + a metal) (main glint + around mirror).

    Attributes:
        direct: share of the main light that white scatters: the cosine, in shadow less; 0 for metals.
        ambient: the same of the light from all around: 1 upright, more facing up, less facing down.
        glint: share of the main light that a perfect reflector of this roughness and shine throws to the
            camera; beyond 1 in a highlight's middle.
        mirror: the same of the light from all around.
        skin: Fresnel's reflectance whatever the albedo: all of a dielectric's, of metals what grazing adds.
        metal: what metals reflect per albedo.
        up: how far upwards the mirrored direction points, 1 to -1; where nothing is seen, the ray's own.
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
    """What every pixel does with the main light and with the light from all around."""
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
    # From the reflectance at a right angle, which of metals is the albedo, up to 1.
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
    """The light of one colour that goes to the camera.

    Args:
        geometry: the scenes.
        albedo: (batch, height, width): of the matt part; of metals, the reflectance at a right angle.
        main: (batch,) what a white matt surface that faces the main light radiates.
        around: (batch,) the same of the light from all around.
        sky: what shines where nothing is seen, in shares of the light around: at the horizon and straight
            above. None is black.

    Returns:
        What is scattered, or comes from the sky, and what is mirrored, (batch, height, width) each.
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
    """How far upwards the direction points that a mirror at each pixel would show.

    Returns:
        (batch, height, width): 1 straight up, 0 level, -1 straight down; of the ray where nothing is seen.
    """
    view, down = planes(geometry.view_directions()[:1]), planes(geometry.down[:, None, None])
    normal = planes(geometry.normals)
    return _mirrored_up(dot(normal, view), dot(normal, down), dot(view, down))


def by_material(geometry: Geometry, column: Tensor | str) -> Tensor:
    """The value of each pixel's material, (batch, height, width).

    Args:
        geometry: the scenes.
        column: (materials,), or the name of a property of materials.
    """
    if isinstance(column, str):
        column = family_of(geometry)[column]
    return column.index_select(0, geometry.materials.flatten()).view(geometry.materials.shape)


def planes(vectors: Tensor) -> Planes:
    """x, y and z of (..., 3), each contiguous: interleaved, arithmetic takes ten times as long."""
    return vectors.movedim(-1, 0).contiguous().unbind(0)


def dot(a: Planes, b: Planes) -> Tensor:
    """The dot product of vectors given as planes."""
    return (a[0] * b[0]).add_(a[1] * b[1]).add_(a[2] * b[2])


def _mirrored_up(facing: Tensor, fall: Tensor, view_fall: Tensor) -> Tensor:
    # Mirrored at the normal n, the view v is 2 (n v) n - v; these are n v, n down and v down.
    return (facing * fall).mul_(-2).add_(view_fall)
