"""Patterns of made things: flat colours, ruled and woven ones, boards."""

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
    """Level bands, a third as wide as the ground between them."""
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
    """Courses with mortar, each moved by half a brick, each brick with its own shade."""
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


#: By name, in the order of a surface's index.
TEXTURES: dict[str, Texture | None] = {
    "plain": None,
    "checks": checks,
    "stripes": stripes,
    "hoops": hoops,
    "planks": planks,
    "tiles": tiles,
    "bricks": bricks,
    "dots": dots,
    "mottle": mottle,
}
