"""What grows, lies and floats in the wilds, out of domes, cones, wedges, crystals and capsules; metres.

Each maker adds one thing of one class at a place; it is about as wide and high as twice the place's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from aims.synth.world._builder import Builder, Triple
from aims.synth.world.materials import Colour
from aims.synth.world.solids import Kind


class Place(NamedTuple):
    """Where a thing is: place on the ground, direction, half its width."""

    x: float
    z: float
    yaw: float
    size: float


Maker = Callable[[Builder, Place], None]

_STONES = ("granite", "basalt", "limestone", "clay", "obsidian", "chalk")
_LIVING = ("moss", "fungus", "petal", "bark", "chitin")
_BRIGHT = ("lacquer", "chitin", "bronze", "ice", "petal")


def tint(land: Builder) -> Colour:
    """Any colour, from dull to vivid: each channel on its own."""
    light, vivid = land.dice.within(0.08, 0.8), land.dice.within(0.1, 0.9)
    red, green, blue = (
        min(max(light * (1 + vivid * land.dice.within(-1.0, 1.0)), 0.02), 0.93) for _ in range(3)
    )
    return red, green, blue


def _skin(land: Builder, materials: tuple[str, ...], size: float) -> int:
    """A surface of one of the materials with a pattern that suits the thing's size."""
    dice = land.dice
    texture = dice.pick(("blotches", "strata", "veins", "freckles", "zigzag", "fade", "bark"))
    return land.surface(
        dice.pick(materials),
        texture,
        scale=size * dice.evenly(0.12, 0.7),
        colour=tint(land) if dice.happens(0.7) else None,
        second=tint(land) if dice.happens(0.6) else None,
    )


def _tilt(land: Builder, most: float) -> Triple:
    return land.dice.within(-math.pi, math.pi), land.dice.within(-most, most), land.dice.within(-most, most)


def boulder(land: Builder, place: Place) -> None:
    """A rock, cut off somewhere and sunk into the ground."""
    dice, size = land.dice, place.size
    with land.thing("boulder", place.x, place.z, yaw=place.yaw):
        half = (size, size * dice.within(0.4, 1.0), size * dice.within(0.6, 1.0))
        at = (0.0, half[1] * dice.within(0.1, 0.5), 0.0)
        stone = _skin(land, _STONES, size)
        land.solid(Kind.DOME, stone, at, half, angles=_tilt(land, 0.9), form=dice.within(0.0, 0.6))


def spire(land: Builder, place: Place) -> None:
    """One to three cones on top of one another, leaning a little."""
    dice, size = land.dice, place.size
    with land.thing("spire", place.x, place.z, yaw=place.yaw):
        base = 0.0
        lean = (0.0, dice.within(-0.12, 0.12), dice.within(-0.12, 0.12))
        rock = _skin(land, _STONES + _LIVING, size)
        for level in range(dice.count(1, 3)):
            width, height = size * 0.75 * 0.8**level, size * dice.within(0.5, 1.1) * 0.8**level
            form = dice.pick((0.0, 0.1, 0.45))
            land.solid(Kind.CONE, rock, (0, base + height, 0), (width, height, width), angles=lean, form=form)
            base += 1.3 * height
            if dice.happens(0.3):
                rock = _skin(land, _LIVING, size)


def slab(land: Builder, place: Place) -> None:
    """A wedge: a ramp or a ridge."""
    dice, size = land.dice, place.size
    with land.thing("slab", place.x, place.z, yaw=place.yaw):
        half = (size, size * dice.within(0.3, 1.1), size * dice.within(0.3, 1.2))
        angles = (0.0, dice.within(-0.15, 0.15), dice.within(-0.15, 0.15))
        stone = _skin(land, _STONES + _BRIGHT, size)
        land.solid(
            Kind.WEDGE, stone, (0, 0.95 * half[1], 0), half, angles=angles, form=dice.within(-1.0, 1.0)
        )


def log(land: Builder, place: Place) -> None:
    """A lying trunk, sometimes with a second one across it."""
    dice, size = land.dice, place.size
    with land.thing("log", place.x, place.z, yaw=place.yaw):
        wood = _skin(land, ("bark", "moss", "chitin"), size)
        base = 0.0
        for turn in (0.0, 1.1)[: dice.count(1, 2)]:
            radius, length = size * dice.within(0.15, 0.35), size * dice.within(0.7, 1.1)
            angles = (turn, math.pi / 2, 0.0)
            half, form = (radius, length, radius), min(radius / length, 0.9)
            land.solid(Kind.CAPSULE, wood, (0, base + radius, 0), half, angles=angles, form=form)
            base += 1.8 * radius


def crystal(land: Builder, place: Place) -> None:
    """A bunch of crystals out of the ground."""
    dice, size = land.dice, place.size
    with land.thing("crystal", place.x, place.z, yaw=place.yaw):
        glassy = _skin(land, ("ice", "obsidian", "chitin", "lacquer", "bronze"), size)
        for index in range(dice.count(1, 4)):
            width, height = size * dice.within(0.2, 0.45), size * dice.within(0.7, 1.4)
            lean = _tilt(land, 0.5 if index else 0.15)
            at = (size * dice.within(-0.4, 0.4), 0.5 * height, size * dice.within(-0.4, 0.4))
            land.solid(Kind.CRYSTAL, glassy, at, (width, height, width), angles=lean)


def mushroom(land: Builder, place: Place) -> None:
    """A stem and a cap of another colour."""
    dice, size = land.dice, place.size
    with land.thing("mushroom", place.x, place.z, yaw=place.yaw):
        stem, height = size * dice.within(0.12, 0.28), size * dice.within(0.5, 1.1)
        flesh = _skin(land, ("fungus", "bark"), size)
        land.solid(Kind.CONE, flesh, (0, height, 0), (1.4 * stem, height, 1.4 * stem), form=0.6)
        cap = _skin(land, ("fungus", "petal", "lacquer"), size)
        half = (0.95 * size, size * dice.within(0.35, 0.9), 0.95 * size)
        angles = (0.0, dice.within(-0.2, 0.2), dice.within(-0.2, 0.2))
        land.solid(Kind.DOME, cap, (0, 1.9 * height, 0), half, angles=angles, form=dice.within(0.0, 0.3))


def cactus(land: Builder, place: Place) -> None:
    """A rounded column with arms."""
    dice, size = land.dice, place.size
    with land.thing("cactus", place.x, place.z, yaw=place.yaw):
        green = _skin(land, ("moss", "chitin"), size)
        radius, height = size * dice.within(0.18, 0.32), size * dice.within(0.9, 1.5)
        land.solid(
            Kind.CAPSULE, green, (0, height, 0), (radius, height, radius), form=min(radius / height, 0.9)
        )
        for side in (-1, 1)[: dice.count(0, 2)]:
            arm, reach, level = 0.6 * radius, 0.35 * size, height * dice.within(0.7, 1.2)
            across = (side * (0.6 * radius + 0.5 * reach), level, 0.0)
            land.solid(
                Kind.CAPSULE,
                green,
                across,
                (arm, reach, arm),
                angles=(0, 0, math.pi / 2),
                form=min(arm / reach, 0.9),
            )
            upright = (side * (0.6 * radius + 1.2 * reach), level + 0.4 * reach, 0.0)
            land.solid(Kind.CAPSULE, green, upright, (arm, reach, arm), form=min(arm / reach, 0.9))


def pile(land: Builder, place: Place) -> None:
    """A heap of pebbles and shards: one thing."""
    dice, size = land.dice, place.size
    with land.thing("pile", place.x, place.z, yaw=place.yaw):
        stone = _skin(land, _STONES, size)
        for _ in range(dice.count(4, 7)):
            turn, out = dice.within(0, 2 * math.pi), dice.share()
            half = tuple(size * dice.within(0.25, 0.5) for _ in range(3))
            at = (
                0.6 * size * out * math.cos(turn),
                size * (0.15 + 0.5 * (1 - out) * dice.share()),
                0.6 * size * out * math.sin(turn),
            )
            kind, form = dice.pick(((Kind.DOME, 0.3), (Kind.CRYSTAL, 0.0), (Kind.WEDGE, 0.2)))
            land.solid(kind, stone, at, (half[0], half[1], half[2]), angles=_tilt(land, 0.8), form=form)


def kite(land: Builder, place: Place) -> None:
    """Something that floats: a crystal or a shell of two domes above the ground."""
    dice, size = land.dice, place.size
    with land.thing("kite", place.x, place.z, yaw=place.yaw, base=size * dice.within(1.0, 3.0)):
        skin = _skin(land, _BRIGHT, size)
        if dice.happens(0.5):
            half = (0.9 * size, size * dice.within(0.3, 0.7), size * dice.within(0.15, 0.5))
            land.solid(Kind.CRYSTAL, skin, (0, 0, 0), half, angles=_tilt(land, 0.6))
            return
        lean = _tilt(land, 0.4)
        half = (0.8 * size, size * dice.within(0.2, 0.4), 0.8 * size)
        land.solid(Kind.DOME, skin, (0, 0, 0), half, angles=lean, form=0.1)
        land.solid(Kind.CONE, _skin(land, _BRIGHT, size), (0, 0, 0), (0.3 * size, 0.5 * size, 0.3 * size))


def shelter(land: Builder, place: Place) -> None:
    """A tent, or a roof on posts."""
    dice, size = land.dice, place.size
    with land.thing("shelter", place.x, place.z, yaw=place.yaw):
        roof = _skin(land, ("lacquer", "clay", "bark", "chalk"), size)
        rise, length = size * dice.within(0.3, 0.7), size * dice.within(0.6, 1.1)
        form, base = dice.within(-0.3, 0.3), 0.0
        if dice.happens(0.5):
            base = size * dice.within(0.5, 1.0)
            post, radius = _skin(land, ("bark", "bronze"), size), 0.06 * size
            for x, z in ((-0.8, -0.8), (0.8, -0.8), (-0.8, 0.8), (0.8, 0.8)):
                at = (x * size, base / 2, z * length)
                land.solid(Kind.CAPSULE, post, at, (radius, base / 2 + radius, radius), form=0.1)
        land.solid(Kind.WEDGE, roof, (0, base + rise, 0), (size, rise, length), form=form)


def flower(land: Builder, place: Place) -> None:
    """A thin stem with a cup of petals, and leaves at the ground."""
    dice, size = land.dice, place.size
    with land.thing("flower", place.x, place.z, yaw=place.yaw):
        green, height = _skin(land, ("moss",), size), size * dice.within(0.7, 1.3)
        land.solid(Kind.CONE, green, (0, height, 0), (0.14 * size, height, 0.14 * size), form=0.6)
        petals = _skin(land, ("petal",), size)
        for index in range(dice.count(3, 5)):
            half = (0.22 * size, 0.6 * size, 0.12 * size)
            angles = (1.4 * index, dice.within(0.5, 1.0), 0.0)
            at = (
                0.4 * size * math.sin(1.4 * index),
                2 * height + 0.2 * size,
                0.4 * size * math.cos(1.4 * index),
            )
            land.solid(Kind.CAPSULE, petals, at, half, angles=angles, form=0.35)
        land.solid(Kind.DOME, green, (0, 0, 0), (0.6 * size, 0.25 * size, 0.6 * size))


def urn(land: Builder, place: Place) -> None:
    """A vessel of two cones, foot to foot or mouth to mouth."""
    dice, size = land.dice, place.size
    with land.thing("urn", place.x, place.z, yaw=place.yaw):
        clay = _skin(land, ("clay", "bronze", "lacquer", "chalk"), size)
        width, low, high = (
            size * dice.within(0.5, 0.9),
            size * dice.within(0.3, 0.7),
            size * dice.within(0.3, 0.6),
        )
        form = dice.within(0.3, 0.7)
        # Upside down: the narrow end stands on the ground.
        land.solid(Kind.CONE, clay, (0, low, 0), (width, low, width), angles=(0, math.pi, 0), form=form)
        land.solid(Kind.CONE, clay, (0, 2 * low + high, 0), (width, high, width), form=form)


#: Every maker.
GROWTHS: tuple[Maker, ...] = (
    boulder,
    spire,
    slab,
    log,
    crystal,
    mushroom,
    cactus,
    pile,
    kite,
    shelter,
    flower,
    urn,
)
