"""The family "wilds", for pretraining: strange landscapes under an open sky."""

from __future__ import annotations

import math

import numpy as np

from aims.synth.world._builder import Builder
from aims.synth.world._growths import GROWTHS, Place, tint
from aims.synth.world._wild_textures import TEXTURES
from aims.synth.world.materials import WILDS
from aims.synth.world.scene import Camera, Dice, Family, Light, SceneSpec, Solid
from aims.synth.world.solids import Kind

#: Names of the classes 1, 2, ...
CLASSES = (
    "boulder",
    "spire",
    "slab",
    "log",
    "crystal",
    "mushroom",
    "cactus",
    "pile",
    "kite",
    "shelter",
    "flower",
    "urn",
)

_GROUNDS = ("soil", "sand", "meadow", "snow", "clay", "basalt")
_TRIES = 15


def build(rng: np.random.Generator) -> SceneSpec:
    """Grows one landscape: 6 to 22 things on a plain with hills behind it.

    Args:
        rng: the scene's own generator.
    """
    dice = Dice(rng)
    camera = Camera(
        x=0.0,
        height=dice.evenly(0.5, 3.5),
        z=0.0,
        angles=(0.0, math.radians(dice.within(-2, 32)), dice.within(-0.15, 0.15)),
    )
    spec = SceneSpec(
        camera=camera,
        light=_light(dice),
        air_k=dice.within(270.0, 305.0),
        surroundings=Solid(Kind.TERRAIN, 0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )
    land = Builder(spec, dice, materials=WILDS, classes=CLASSES, textures=tuple(TEXTURES))
    ground = dice.pick(_GROUNDS)
    colour = tint(land) if dice.happens(0.3) else None
    land.surface(ground, "fields", scale=dice.evenly(0.15, 1.2), colour=colour)
    _hills(land, ground)
    _populate(land)
    return spec


def _light(dice: Dice) -> Light:
    """The sun; the lower, the redder."""
    raised, turn = math.radians(dice.within(18, 70)), dice.within(0, 2 * math.pi)
    strength, around = dice.within(0.55, 1.0), dice.within(0.12, 0.35)
    red = 0.35 * (1 - math.sin(raised))
    return Light(
        towards=(math.cos(raised) * math.sin(turn), -math.sin(raised), math.cos(raised) * math.cos(turn)),
        rgb=(strength, strength * (1 - 0.5 * red), strength * (1 - red)),
        ambient_rgb=(0.85 * around, around, 1.2 * around),
        nir=strength * dice.within(0.8, 1.1),
        ambient_nir=around * dice.within(0.3, 0.6),
    )


def _hills(land: Builder, ground: str) -> None:
    dice = land.dice
    for _ in range(dice.count(0, 4)):
        far, aside = dice.within(28, 65), dice.within(-0.6, 0.6)
        with land.thing(None, far * math.sin(aside), far * math.cos(aside)):
            slope = land.surface(
                dice.pick((ground, "granite", "meadow")), "fields", scale=dice.within(1.5, 4.0)
            )
            half = (dice.within(8, 22), dice.within(1.5, 8), dice.within(6, 14))
            land.solid(Kind.DOME, slope, (0, 0, 0), half, casts_shadow=False)


def _populate(land: Builder) -> None:
    """Scatters things in sight; the farther, the larger, so that all are worth a look."""
    dice = land.dice
    near, far_end = land.spec.camera.floor_in_sight(16.0)
    near, far_end = max(1.1 * near, 0.9), max(1.25 * far_end, 3.0)
    circles: list[tuple[float, float, float]] = []
    favourites = [dice.pick(GROWTHS) for _ in range(dice.count(3, 6))]
    for _ in range(dice.count(6, 22)):
        for _ in range(_TRIES):
            far, aside = dice.evenly(near, far_end), dice.within(-0.6, 0.6)
            size = 0.5 * dice.evenly(0.14, 0.75) * far**0.8
            x, z = far * math.sin(aside), far * math.cos(aside)
            crowded = (math.hypot(x - a, z - b) < 0.8 * (size + c) for a, b, c in circles)
            if far - size > 0.8 and not any(crowded):
                circles.append((x, z, size))
                dice.pick(favourites)(land, Place(x, z, dice.within(-math.pi, math.pi), size))
                break


#: The family as the renderer knows it.
FAMILY = Family(
    number=2,
    classes=CLASSES,
    kinds=frozenset({Kind.TERRAIN, Kind.DOME, Kind.CONE, Kind.WEDGE, Kind.CRYSTAL, Kind.CAPSULE}),
    textures=TEXTURES,
    purpose=700,
    build=build,
)
