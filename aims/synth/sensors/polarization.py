"""A colour camera behind linear polarizers at 0, 45, 90 and 135 degrees.

What is mirrored follows Fresnel's equations, with a complex index for metals (Born and Wolf, "Principles of
optics", 7th edition, sections 1.5 and 14.2). What is scattered comes from inside the surface and is polarized
on its way out: Atkinson and Hancock, "Recovery of surface orientation from diffuse polarization" (IEEE TIP
2006).

Ours departs from nature: the light that falls on things is unpolarized, that of the sky too; roughness does
not take polarization away; Fresnel's angle is that of the surface and not of the facets of a rough one.
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

_NOISE = 500  # purposes 500 to 511: one for each polarizer and colour
# Electrons in a full pixel, and of read noise: about what cameras with Sony's IMX250MZR have (EMVA 1288).
_FULL_WELL, _READ_NOISE = 10_500.0, 2.3
# Squared sine of an angle at which no direction of polarization can be told.
_UPRIGHT = 1e-12


def sense(geometry: Geometry, *, noise: bool = True) -> Float[Tensor, "batch height width 4 3"]:
    """The pictures behind polarizers at 0, 45, 90 and 135 degrees.

    Each is s0 / 2 (1 + DoLP cos(2 a - 2 AoLP)), a being the angle of the polarizer: half as bright as `rgb`
    on the mean. `aims.sensors.polarization` turns them back into Stokes parameters.

    Args:
        geometry: the scenes.
        noise: False leaves shot and read noise out.

    Returns:
        float32 in 0..1 of the full scale of `rgb.channels`, linear; axis 3 is the polarizer, axis 4 R, G, B.
        In memory it lies by planes.
    """
    pictures = geometry.depth_m.new_empty(len(ANGLES), 3, *geometry.depth_m.shape)
    for colour, parameters in enumerate(stokes(geometry)):
        s0, s1, s2 = (parameter.mul_(0.5) for parameter in parameters)
        for polarizer, angle in enumerate(ANGLES):
            light = pictures[polarizer, colour]
            # Exact for these four angles, where sine and cosine are not.
            (torch.add if angle < 90 else torch.sub)(s0, s2 if angle % 90 else s1, out=light)
            if noise:
                purpose = _NOISE + 3 * polarizer + colour
                add_noise(light, geometry.seeds, purpose, full_well=_FULL_WELL, read_noise=_READ_NOISE)
            light.clamp_(0, 1)
    return pictures.permute(2, 3, 4, 0, 1)


def stokes(geometry: Geometry) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The light that comes to the camera, before any polarizer.

    Scattered light is polarized along the plane of the normal and the ray, mirrored light across it. s0 is
    what the colour camera has before noise and curve: `rgb.channels`, scattered and mirrored.

    Yields:
        The linear Stokes parameters of R, G and B in turn, (batch, height, width) each: all light, 0 minus 90
        degrees, 45 minus 135 degrees. Angles count anticlockwise from the right, as one looks at the picture
        (y up). 1 = full scale; s0 is more in highlights.
    """
    cosine, along, slanted = _plane_of_incidence(geometry)
    index, extinction = by_material(geometry, "refractive_index"), by_material(geometry, "extinction")
    scattered, mirrored = diffuse_degree(cosine, index), specular_degree(cosine, index, extinction)
    for diffuse, specular in channels(geometry):
        polarized = (diffuse * scattered).sub_(specular * mirrored)
        yield diffuse + specular, polarized * along, polarized.mul_(slanted)


def fresnel(cosine: Tensor, index: Tensor, extinction: Tensor) -> tuple[Tensor, Tensor]:
    """Fresnel's reflectances, from air.

    Args:
        cosine: of the angle of incidence, 0..1.
        index: n of the complex index n + ik.
        extinction: k; 0 for dielectrics.

    Returns:
        The shares of the power that are mirrored, with the electric field across (s) and in (p) the plane of
        incidence.
    """
    real, square = _refracted(cosine, index, extinction)
    c2, s2 = cosine * cosine, 1 - cosine * cosine
    across = (square - 2 * real * cosine + c2) / (square + 2 * real * cosine + c2)
    # |Rp / Rs| is |(w c - s^2) / (w c + s^2)|^2 for the root w, real or not; no tangents, so no poles.
    mixed = 2 * real * s2 * cosine
    inside = across * (square * c2 - mixed + s2 * s2) / (square * c2 + mixed + s2 * s2)
    return across, inside


def specular_degree(cosine: Tensor, index: Tensor, extinction: Tensor) -> Tensor:
    """The degree of polarization of what is mirrored, (Rs - Rp) / (Rs + Rp).

    1 at Brewster's angle of a dielectric, 0 upright and grazing. Arguments are those of `fresnel`.
    """
    across, inside = fresnel(cosine, index, extinction)
    return (across - inside) / (across + inside)


def diffuse_degree(cosine: Tensor, index: Tensor) -> Tensor:
    """The degree of polarization of what is scattered, leaving at this angle.

    Atkinson and Hancock (2006): 0 upright, growing to (n^2 - 1) / (n^2 + 1) at a grazing angle.

    Args:
        cosine: of the angle between normal and ray, 0..1.
        index: refractive index n.
    """
    n2, s2 = index * index, 1 - cosine * cosine
    difference = (index - 1 / index) ** 2 * s2
    return difference / (2 + 2 * n2 - (index + 1 / index) ** 2 * s2 + 4 * cosine * root_(n2 - s2))


def _refracted(cosine: Tensor, index: Tensor, extinction: Tensor) -> tuple[Tensor, Tensor]:
    """The root of (n + ik)^2 - sin^2: its real part, and its squared size."""
    real = index * index - extinction * extinction - (1 - cosine * cosine)
    imaginary = 2 * index * extinction
    square = root_(real * real + imaginary * imaginary)
    return root_(((square + real) / 2).clamp_min_(0)), square


def _plane_of_incidence(geometry: Geometry) -> tuple[Tensor, Tensor, Tensor]:
    """How the surface lies to the ray.

    Returns:
        The cosine of the angle between normal and ray, and cos 2a and sin 2a of the angle a of their plane in
        the picture (0 where there is none).
    """
    normal, view = planes(geometry.normals), planes(geometry.view_directions()[:1])
    cosine = dot(normal, view).clamp_(0, 1)
    # The ray is turned onto the optical axis, the shortest way, as a lens does on its way to the polarizer:
    # away from the middle a normal does not lie in the picture as its x and y say.
    share = (cosine - normal[2]).div_(1 - view[2])
    x, y = (part - share * seen for part, seen in zip(normal[:2], view[:2], strict=True))
    x2, y2 = x * x, y * y
    size = (x2 + y2).clamp_min_(_UPRIGHT)
    return cosine, x2.sub_(y2).div_(size), x.mul_(y).mul_(-2).div_(size)
