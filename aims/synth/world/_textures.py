"""Solid textures: regular patterns for rooms, noise for wilds.

A texture takes the noise keys and the coordinates of points in units of the surface's scale, and returns the
share of the second colour, 0..1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aims.synth.world.random import noise_at
from aims.synth.world.scene import Texture


def _part(value: Tensor) -> Tensor:
    return value - torch.floor(value)


def checks(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Cubes of both colours in turn."""
    return 2 * _part((torch.floor(x) + torch.floor(y) + torch.floor(z)) / 2)


def stripes(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Upright bands, as wide as the scale."""
    return (_part((x + z) / 2) < 0.5).to(x.dtype)


def hoops(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Horizontal bands, a third as wide as the gaps between them."""
    return (_part(y / 2) < 0.25).to(x.dtype)


def planks(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Boards along z, each with its own shade and grain, and dark gaps between them."""
    board = torch.floor(x)
    shade = noise_at(keys, board * 3.7 + 0.5, torch.floor(z * (1 / 9) + 0.37 * board) + 0.5)
    grain = noise_at(keys + 1, x * 7, y * 7, z * 0.6 + board * 5.3)
    return torch.where(_part(x) < 0.06, 1.0, 0.5 * shade + 0.5 * grain)


def tiles(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Squares with joints."""
    joint = torch.minimum(torch.minimum(_part(x), _part(z)), _part(y + 0.31))
    return (joint < 0.08).to(x.dtype)


def bricks(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Courses with mortar, each shifted by half a brick, each brick with its own shade."""
    course = torch.floor(y)
    along = (x + z) * (1 / 2.6) + 0.5 * course
    shade = 0.35 * noise_at(keys, torch.floor(along) * 3.3 + 0.5, course * 2.7 + 0.5)
    return torch.where((_part(y) < 0.13) | (_part(along) < 0.05), 1.0, shade)


def dots(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Balls in a cubic lattice, cut by the surface."""
    a, b, c = _part(x) - 0.5, _part(y) - 0.5, _part(z) - 0.5
    return (a * a + b * b + c * c < 0.14).to(x.dtype)


def mottle(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Soft irregular shades, as of plaster, cloth or leaves."""
    return noise_at(keys, x, y, z)


def _wave(value: Tensor) -> Tensor:
    """A triangle wave of period 1 between 0 and 1."""
    return (2 * _part(value) - 1).abs()


def fields(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Patches and ripples of the ground, independent of height."""
    patch = noise_at(keys, x * 0.5, z * 0.5)
    return (1.4 * patch - 0.4 + 0.4 * _wave(0.6 * x + 0.9 * z + 2 * patch)).clamp(0, 1)


def blotches(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Islands with sharp shores."""
    return ((noise_at(keys, x, y, z) - 0.5) * 12 + 0.5).clamp(0, 1)


def strata(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Layers that bend."""
    return _wave(y * 0.7 + 1.1 * noise_at(keys, x * 0.6, y * 0.6, z * 0.6))


def veins(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Thin lines along which the noise is near its mean of 0.5."""
    return (1 - (noise_at(keys, x, y, z) - 0.5).abs() * 9).clamp(0, 1)


def freckles(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Specks of many sizes."""
    return ((noise_at(keys, 2.3 * x, 2.3 * y, 2.3 * z) - 0.66) * 20).clamp(0, 1)


def zigzag(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Chevrons of changing thickness."""
    edge = _wave(0.8 * y + 0.5 * _wave(x + 0.7 * z))
    return ((edge - 0.3 - 0.4 * noise_at(keys, x, y, z)) * 8).clamp(0, 1)


def fade(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """A slow change from top to bottom with a grain."""
    return (_wave(y * 0.2) + 0.3 * noise_at(keys, 4 * x, 4 * y, 4 * z) - 0.15).clamp(0, 1)


def bark(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Long furrows along y."""
    return noise_at(keys, 2.2 * x, 0.35 * y, 2.2 * z)


#: Textures of rooms by name, in the order of a surface's index; None is the first colour alone.
ROOM_TEXTURES: dict[str, Texture | None] = {
    "plain": None,
    **{made.__name__: made for made in (checks, stripes, hoops, planks, tiles, bricks, dots, mottle)},
}
#: Textures of the wilds; the families share none.
WILD_TEXTURES: dict[str, Texture | None] = {
    made.__name__: made for made in (fields, blotches, strata, veins, freckles, zigzag, fade, bark)
}
