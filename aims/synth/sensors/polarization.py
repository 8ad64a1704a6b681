"""A colour camera behind linear polarizers at 0, 45, 90 and 135 degrees.

Specular reflection follows Fresnel's equations, with a complex index for metals (Born and Wolf, "Principles
of optics", 7th edition, sections 1.5 and 14.2). Diffuse light comes from inside the surface and is polarized
on its way out: Atkinson and Hancock, "Recovery of surface orientation from diffuse polarization" (IEEE TIP
2006).

Simplifications: incident light is unpolarized, skylight too; roughness does not depolarize; the angle of
incidence is taken at the surface and not at the microfacets of a rough one.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from aims.sensors.polarization import ANGLES
from aims.synth.exact import root_
from aims.synth.sensors._camera import add_noise
from aims.synth.sensors._shading import by_material, dot, planes
from aims.synth.sensors.rgb import channels
from aims.synth.world.geometry import Geometry

_NOISE = 500  # purposes 500 to 511 of the noise: one for each polarizer and colour
# Full-well capacity and read noise in electrons, about those of cameras with Sony's IMX250MZR (EMVA 1288).
_FULL_WELL, _READ_NOISE = 10_500.0, 2.3
# Squared sine of the angle of incidence below which the direction of polarization is undefined.
_UPRIGHT = 1e-12


def sense(geometry: Geometry, *, noise: bool = True) -> Float[Tensor, "batch height width 4 3"]:
    """Simulates the images behind polarizers at 0, 45, 90 and 135 degrees.

    Each is s0 / 2 (1 + DoLP cos(2 a - 2 AoLP)) with the angle a of the polarizer: on average half as bright
    as `rgb`. `aims.sensors.polarization` turns them back into Stokes parameters.

    Args:
        geometry: the scenes.
        noise: False leaves shot and read noise out.

    Returns:
        float32 in 0..1 of the full scale of `rgb.channels`, linear; axis 3 is the polarizer, axis 4 R, G, B.
        Each polarizer and colour is a contiguous (batch, height, width) block in memory.
    """
    pictures = geometry.depth_m.new_empty(len(ANGLES), 3, *geometry.depth_m.shape)
    for colour, parameters in enumerate(stokes(geometry)):
        s0, s1, s2 = (parameter.mul_(0.5) for parameter in parameters)
        for polarizer, angle in enumerate(ANGLES):
            light = pictures[polarizer, colour]
            # cos(2a) and sin(2a) are 0 or +-1 for these angles, which the functions would not give exactly.
            (torch.add if angle < 90 else torch.sub)(s0, s2 if angle % 90 else s1, out=light)
            if noise:
                purpose = _NOISE + 3 * polarizer + colour
                add_noise(light, geometry.seeds, purpose, full_well=_FULL_WELL, read_noise=_READ_NOISE)
            light.clamp_(0, 1)
    return pictures.permute(2, 3, 4, 0, 1)


def stokes(geometry: Geometry) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Computes the Stokes parameters of the light that reaches the camera, before any polarizer.

    Diffuse light is polarized in the plane of normal and ray, specular light perpendicular to it. s0 is the
    sum of the diffuse and specular light of `rgb.channels`.

    Yields:
        (s0, s1, s2) of R, G and B in turn, (batch, height, width) each: total intensity, 0 minus 90 degrees,
        45 minus 135 degrees. Angles count anticlockwise from the right of the image. 1 = full scale; s0
        exceeds it in highlights.
    """
    cosine, along, slanted = _plane_of_incidence(geometry)
    index, extinction = by_material(geometry, "refractive_index"), by_material(geometry, "extinction")
    scattered, mirrored = diffuse_degree(cosine, index), specular_degree(cosine, index, extinction)
    for diffuse, specular in channels(geometry):
        polarized = (diffuse * scattered).sub_(specular * mirrored)
        yield diffuse + specular, polarized * along, polarized.mul_(slanted)


def fresnel(cosine: Tensor, index: Tensor, extinction: Tensor) -> tuple[Tensor, Tensor]:
    """Computes Fresnel's power reflectances for light from air.

    Args:
        cosine: cosine of the angle of incidence, 0..1.
        index: n of the complex index n + ik.
        extinction: k; 0 for dielectrics.

    Returns:
        Rs and Rp, 0..1: the electric field perpendicular to (s) and in (p) the plane of incidence.
    """
    real, square = _refracted(cosine, index, extinction)
    c2, s2 = cosine * cosine, 1 - cosine * cosine
    across = (square - 2 * real * cosine + c2) / (square + 2 * real * cosine + c2)
    # Rp / Rs is |(w c - s^2) / (w c + s^2)|^2 with the root w of `_refracted`; it needs no tangent, so it
    # has no poles.
    mixed = 2 * real * s2 * cosine
    inside = across * (square * c2 - mixed + s2 * s2) / (square * c2 + mixed + s2 * s2)
    return across, inside


def specular_degree(cosine: Tensor, index: Tensor, extinction: Tensor) -> Tensor:
    """Computes the degree of polarization of specular light, (Rs - Rp) / (Rs + Rp).

    It is 1 at Brewster's angle of a dielectric, 0 at normal and grazing incidence. Arguments as in `fresnel`.
    """
    across, inside = fresnel(cosine, index, extinction)
    return (across - inside) / (across + inside)


def diffuse_degree(cosine: Tensor, index: Tensor) -> Tensor:
    """Computes the degree of polarization of diffuse light by the angle at which it leaves the surface.

    Atkinson and Hancock (2006): 0 along the normal, growing to (n^2 - 1) / (n^2 + 1) at grazing angles.

    Args:
        cosine: cosine of the angle between normal and ray, 0..1.
        index: refractive index n.
    """
    n2, s2 = index * index, 1 - cosine * cosine
    difference = (index - 1 / index) ** 2 * s2
    return difference / (2 + 2 * n2 - (index + 1 / index) ** 2 * s2 + 4 * cosine * root_(n2 - s2))


def _refracted(cosine: Tensor, index: Tensor, extinction: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the real part and the squared magnitude of the root of (n + ik)^2 - sin^2."""
    real = index * index - extinction * extinction - (1 - cosine * cosine)
    imaginary = 2 * index * extinction
    square = root_(real * real + imaginary * imaginary)
    return root_(((square + real) / 2).clamp_min_(0)), square


def _plane_of_incidence(geometry: Geometry) -> tuple[Tensor, Tensor, Tensor]:
    """Computes the orientation of the surface relative to the ray.

    Returns:
        The cosine of the angle between normal and ray, and cos 2a and sin 2a of the angle a of their plane in
        the image (0 where normal and ray are parallel).
    """
    normal, view = planes(geometry.normals), planes(geometry.view_directions()[:1])
    cosine = dot(normal, view).clamp_(0, 1)
    # The ray is rotated onto the optical axis by the shortest rotation, as the lens does before the
    # polarizer: off the optical axis x and y of the normal do not give its direction in the image.
    share = (cosine - normal[2]).div_(1 - view[2])
    x, y = (part - share * seen for part, seen in zip(normal[:2], view[:2], strict=True))
    x2, y2 = x * x, y * y
    size = (x2 + y2).clamp_min_(_UPRIGHT)
    return cosine, x2.sub_(y2).div_(size), x.mul_(y).mul_(-2).div_(size)
