"""Patterns of grown and weathered things; each is wrapped or broken by noise."""

from __future__ import annotations

import torch
from torch import Tensor

from aims.synth.world.random import noise_at
from aims.synth.world.scene import Texture


def _wave(value: Tensor) -> Tensor:
    """A triangle wave of period 1 between 0 and 1."""
    return (2 * (value - torch.floor(value)) - 1).abs()


def fields(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Patches and ripples of the ground; the same all the way up."""
    patch = noise_at(keys, x * 0.5, z * 0.5)
    return (1.4 * patch - 0.4 + 0.4 * _wave(0.6 * x + 0.9 * z + 2 * patch)).clamp(0, 1)


def blotches(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Islands with sharp shores."""
    return ((noise_at(keys, x, y, z) - 0.5) * 12 + 0.5).clamp(0, 1)


def strata(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Layers that bend."""
    return _wave(y * 0.7 + 1.1 * noise_at(keys, x * 0.6, y * 0.6, z * 0.6))


def veins(keys: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Thin lines along which a noise is halfway."""
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


#: By name, in the order of a surface's index.
TEXTURES: dict[str, Texture | None] = {
    "fields": fields,
    "blotches": blotches,
    "strata": strata,
    "veins": veins,
    "freckles": freckles,
    "zigzag": zigzag,
    "fade": fade,
    "bark": bark,
}
