"""The objects of the family "wilds", made of domes, cones, wedges, crystals and capsules; in metres.

Each maker adds one instance at a spot, which is about as wide and as high as twice the given size.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from aims.synth.world._builder import Builder, Spot, Triple
from aims.synth.world.materials import Colour
from aims.synth.world.scene import SceneRng
from aims.synth.world.solids import Kind

Maker = Callable[[Builder, Spot, float], None]

#: Makers by class, in the order of the classes' numbers.
GROWTHS: dict[str, Maker] = {}

_STONES = ("granite", "basalt", "limestone", "clay", "obsidian", "chalk")
_LIVING = ("moss", "fungus", "petal", "bark", "chitin")
_BRIGHT = ("lacquer", "chitin", "bronze", "ice", "petal")


def tint(land: Builder) -> Colour:
    """Draws any colour, from dull to vivid, each channel independently."""
    light, vivid = land.rng.within(0.08, 0.8), land.rng.within(0.1, 0.9)
    red, green, blue = (
        min(max(light * (1 + vivid * land.rng.within(-1.0, 1.0)), 0.02), 0.93) for _ in range(3)
    )
    return red, green, blue


def _skin(land: Builder, materials: tuple[str, ...], size: float) -> int:
    """Adds a surface of one of the materials, with a pattern scaled to the object's size."""
    rng = land.rng
    texture = rng.pick(("blotches", "strata", "veins", "freckles", "zigzag", "fade", "bark"))
    return land.surface(
        rng.pick(materials),
        texture,
        scale=size * rng.evenly(0.12, 0.7),
        colour=tint(land) if rng.happens(0.7) else None,
        second=tint(land) if rng.happens(0.6) else None,
    )


def _tilt(land: Builder, most: float) -> Triple:
    return land.rng.within(-math.pi, math.pi), land.rng.within(-most, most), land.rng.within(-most, most)


def _growth(put: Callable[[Builder, SceneRng, float], None]) -> Maker:
    """Registers a function as the maker of the class that bears its name."""

    def make(land: Builder, spot: Spot, size: float) -> None:
        with land.thing(put.__name__, spot):
            put(land, land.rng, size)

    GROWTHS[put.__name__] = make
    return make


@_growth
def boulder(land: Builder, rng: SceneRng, size: float) -> None:
    """A rock, cut off somewhere and sunk into the ground."""
    half = (size, size * rng.within(0.4, 1.0), size * rng.within(0.6, 1.0))
    at = (0.0, half[1] * rng.within(0.1, 0.5), 0.0)
    stone = _skin(land, _STONES, size)
    land.solid(Kind.DOME, stone, at, half, angles=_tilt(land, 0.9), form=rng.within(0.0, 0.6))


@_growth
def spire(land: Builder, rng: SceneRng, size: float) -> None:
    """One to three cones on top of one another, leaning a little."""
    base = 0.0
    lean = (0.0, rng.within(-0.12, 0.12), rng.within(-0.12, 0.12))
    rock = _skin(land, _STONES + _LIVING, size)
    for level in range(rng.count(1, 3)):
        width, height = size * 0.75 * 0.8**level, size * rng.within(0.5, 1.1) * 0.8**level
        form = rng.pick((0.0, 0.1, 0.45))
        land.solid(Kind.CONE, rock, (0, base + height, 0), (width, height, width), angles=lean, form=form)
        base += 1.3 * height
        if rng.happens(0.3):
            rock = _skin(land, _LIVING, size)


@_growth
def slab(land: Builder, rng: SceneRng, size: float) -> None:
    """A wedge: a ramp or a ridge."""
    half = (size, size * rng.within(0.3, 1.1), size * rng.within(0.3, 1.2))
    angles = (0.0, rng.within(-0.15, 0.15), rng.within(-0.15, 0.15))
    stone = _skin(land, _STONES + _BRIGHT, size)
    land.solid(Kind.WEDGE, stone, (0, 0.95 * half[1], 0), half, angles=angles, form=rng.within(-1.0, 1.0))


@_growth
def log(land: Builder, rng: SceneRng, size: float) -> None:
    """A lying trunk, sometimes with a second one across it."""
    wood = _skin(land, ("bark", "moss", "chitin"), size)
    base = 0.0
    for turn in (0.0, 1.1)[: rng.count(1, 2)]:
        radius, length = size * rng.within(0.15, 0.35), size * rng.within(0.7, 1.1)
        angles = (turn, math.pi / 2, 0.0)
        half, form = (radius, length, radius), min(radius / length, 0.9)
        land.solid(Kind.CAPSULE, wood, (0, base + radius, 0), half, angles=angles, form=form)
        base += 1.8 * radius


@_growth
def crystal(land: Builder, rng: SceneRng, size: float) -> None:
    """A bunch of crystals out of the ground."""
    glassy = _skin(land, ("ice", "obsidian", "chitin", "lacquer", "bronze"), size)
    for index in range(rng.count(1, 4)):
        width, height = size * rng.within(0.2, 0.45), size * rng.within(0.7, 1.4)
        lean = _tilt(land, 0.5 if index else 0.15)
        at = (size * rng.within(-0.4, 0.4), 0.5 * height, size * rng.within(-0.4, 0.4))
        land.solid(Kind.CRYSTAL, glassy, at, (width, height, width), angles=lean)


@_growth
def mushroom(land: Builder, rng: SceneRng, size: float) -> None:
    """A stem and a cap of another colour."""
    stem, height = size * rng.within(0.12, 0.28), size * rng.within(0.5, 1.1)
    flesh = _skin(land, ("fungus", "bark"), size)
    land.solid(Kind.CONE, flesh, (0, height, 0), (1.4 * stem, height, 1.4 * stem), form=0.6)
    cap = _skin(land, ("fungus", "petal", "lacquer"), size)
    half = (0.95 * size, size * rng.within(0.35, 0.9), 0.95 * size)
    angles = (0.0, rng.within(-0.2, 0.2), rng.within(-0.2, 0.2))
    land.solid(Kind.DOME, cap, (0, 1.9 * height, 0), half, angles=angles, form=rng.within(0.0, 0.3))


@_growth
def cactus(land: Builder, rng: SceneRng, size: float) -> None:
    """A rounded column with arms."""
    green = _skin(land, ("moss", "chitin"), size)
    radius, height = size * rng.within(0.18, 0.32), size * rng.within(0.9, 1.5)
    land.solid(Kind.CAPSULE, green, (0, height, 0), (radius, height, radius), form=min(radius / height, 0.9))
    for side in (-1, 1)[: rng.count(0, 2)]:
        arm, reach, level = 0.6 * radius, 0.35 * size, height * rng.within(0.7, 1.2)
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


@_growth
def pile(land: Builder, rng: SceneRng, size: float) -> None:
    """A heap of pebbles and shards, which is one instance."""
    stone = _skin(land, _STONES, size)
    for _ in range(rng.count(4, 7)):
        turn, out = rng.within(0, 2 * math.pi), rng.share()
        half = tuple(size * rng.within(0.25, 0.5) for _ in range(3))
        at = (
            0.6 * size * out * math.cos(turn),
            size * (0.15 + 0.5 * (1 - out) * rng.share()),
            0.6 * size * out * math.sin(turn),
        )
        kind, form = rng.pick(((Kind.DOME, 0.3), (Kind.CRYSTAL, 0.0), (Kind.WEDGE, 0.2)))
        land.solid(kind, stone, at, (half[0], half[1], half[2]), angles=_tilt(land, 0.8), form=form)


def kite(land: Builder, spot: Spot, size: float) -> None:
    """Something that floats: a crystal or a shell of two domes above the ground."""
    rng = land.rng
    with land.thing("kite", spot._replace(base=size * rng.within(1.0, 3.0))):
        skin = _skin(land, _BRIGHT, size)
        if rng.happens(0.5):
            half = (0.9 * size, size * rng.within(0.3, 0.7), size * rng.within(0.15, 0.5))
            land.solid(Kind.CRYSTAL, skin, (0, 0, 0), half, angles=_tilt(land, 0.6))
            return
        lean = _tilt(land, 0.4)
        half = (0.8 * size, size * rng.within(0.2, 0.4), 0.8 * size)
        land.solid(Kind.DOME, skin, (0, 0, 0), half, angles=lean, form=0.1)
        land.solid(Kind.CONE, _skin(land, _BRIGHT, size), (0, 0, 0), (0.3 * size, 0.5 * size, 0.3 * size))


GROWTHS["kite"] = kite


@_growth
def shelter(land: Builder, rng: SceneRng, size: float) -> None:
    """A tent, or a roof on posts."""
    roof = _skin(land, ("lacquer", "clay", "bark", "chalk"), size)
    rise, length = size * rng.within(0.3, 0.7), size * rng.within(0.6, 1.1)
    form, base = rng.within(-0.3, 0.3), 0.0
    if rng.happens(0.5):
        base = size * rng.within(0.5, 1.0)
        post, radius = _skin(land, ("bark", "bronze"), size), 0.06 * size
        for x, z in ((-0.8, -0.8), (0.8, -0.8), (-0.8, 0.8), (0.8, 0.8)):
            at = (x * size, base / 2, z * length)
            land.solid(Kind.CAPSULE, post, at, (radius, base / 2 + radius, radius), form=0.1)
    land.solid(Kind.WEDGE, roof, (0, base + rise, 0), (size, rise, length), form=form)


@_growth
def flower(land: Builder, rng: SceneRng, size: float) -> None:
    """A thin stem with a cup of petals, and leaves at the ground."""
    green, height = _skin(land, ("moss",), size), size * rng.within(0.7, 1.3)
    land.solid(Kind.CONE, green, (0, height, 0), (0.14 * size, height, 0.14 * size), form=0.6)
    petals = _skin(land, ("petal",), size)
    for index in range(rng.count(3, 5)):
        half = (0.22 * size, 0.6 * size, 0.12 * size)
        angles = (1.4 * index, rng.within(0.5, 1.0), 0.0)
        at = (
            0.4 * size * math.sin(1.4 * index),
            2 * height + 0.2 * size,
            0.4 * size * math.cos(1.4 * index),
        )
        land.solid(Kind.CAPSULE, petals, at, half, angles=angles, form=0.35)
    land.solid(Kind.DOME, green, (0, 0, 0), (0.6 * size, 0.25 * size, 0.6 * size))


@_growth
def urn(land: Builder, rng: SceneRng, size: float) -> None:
    """A vessel of two cones, foot to foot or mouth to mouth."""
    clay = _skin(land, ("clay", "bronze", "lacquer", "chalk"), size)
    width, low, high = (
        size * rng.within(0.5, 0.9),
        size * rng.within(0.3, 0.7),
        size * rng.within(0.3, 0.6),
    )
    form = rng.within(0.3, 0.7)
    # Upside down: the narrow end stands on the ground.
    land.solid(Kind.CONE, clay, (0, low, 0), (width, low, width), angles=(0, math.pi, 0), form=form)
    land.solid(Kind.CONE, clay, (0, 2 * low + high, 0), (width, high, width), form=form)
