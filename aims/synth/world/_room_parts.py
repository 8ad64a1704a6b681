"""Colours, surfaces and legs that the makers of objects in rooms share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from aims.synth.world._builder import Builder, Spot
from aims.synth.world.materials import Colour

#: Colours of paint, cloth and plastic.
PIGMENTS: tuple[Colour, ...] = (
    (0.72, 0.12, 0.10),
    (0.85, 0.42, 0.10),
    (0.86, 0.70, 0.18),
    (0.30, 0.52, 0.18),
    (0.10, 0.36, 0.26),
    (0.12, 0.40, 0.55),
    (0.12, 0.18, 0.45),
    (0.42, 0.20, 0.46),
    (0.76, 0.45, 0.52),
    (0.84, 0.82, 0.76),
    (0.60, 0.60, 0.60),
    (0.30, 0.30, 0.32),
    (0.12, 0.11, 0.12),
    (0.55, 0.38, 0.24),
    (0.62, 0.72, 0.76),
    (0.74, 0.66, 0.52),
)


class Top(NamedTuple):
    """A horizontal surface that carries objects: its centre, and its half sizes along its frame's axes."""

    spot: Spot
    half_x: float
    half_z: float


Maker = Callable[[Builder, Spot], list[Top] | None]


def pigment(room: Builder) -> Colour:
    """Draws a colour near one of the pigments."""
    gain = room.rng.within(0.8, 1.1)
    red, green, blue = (
        min(gain * value + room.rng.within(0, 0.05), 0.95) for value in room.rng.pick(PIGMENTS)
    )
    return red, green, blue


def wooden(room: Builder) -> int:
    """Adds the surface of a piece of furniture: wood, paint or plastic."""
    material = room.rng.pick(("wood", "wood", "paint", "plastic"))
    if material == "wood":
        return room.surface("wood", "planks", scale=room.rng.within(0.05, 0.12))
    return room.surface(material, "plain", colour=pigment(room))


def cloth(room: Builder) -> int:
    """Adds the surface of a cushion: fabric or leather."""
    material = room.rng.pick(("fabric", "fabric", "leather"))
    if material == "leather":
        return room.surface("leather", "mottle", scale=0.15)
    texture = room.rng.pick(("plain", "stripes", "checks", "dots", "mottle"))
    return room.surface(
        "fabric", texture, scale=room.rng.within(0.05, 0.16), colour=pigment(room), second=pigment(room)
    )


def four_legs(room: Builder, surface: int, half: tuple[float, float], height: float, radius: float) -> None:
    """Adds legs at the corners of a rectangle with these half sizes."""
    x, z = half[0] - radius, half[1] - radius
    for sign_x, sign_z in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        place = (sign_x * x, height / 2, sign_z * z)
        room.box(surface, place, (radius, height / 2, radius))
