"""The family "wilds", for pretraining: strange landscapes under an open sky."""

from __future__ import annotations

import math

import numpy as np

from aims.synth.world._builder import Builder, Spot
from aims.synth.world._growths import GROWTHS, tint
from aims.synth.world._textures import WILD_TEXTURES
from aims.synth.world.materials import MATERIALS
from aims.synth.world.scene import Camera, Family, Light, SceneRng, SceneSpec, Solid
from aims.synth.world.solids import Kind

#: Names of the classes 1, 2, ...
CLASSES = tuple(GROWTHS)

_GROUNDS = ("soil", "sand", "meadow", "snow", "clay", "basalt")
_TRIES = 15
# Smallest number of objects that are tried, and their smallest size 1 m away, in metres.
_FEWEST, _SMALLEST = 6, 0.14


def build(generator: np.random.Generator, *, objects: int = 22, largest: float = 0.75) -> SceneSpec:
    """Builds one landscape: objects on a plain with hills behind it.

    Args:
        generator: random generator of the scene.
        objects: largest number of objects, at least 6; there are fewer where they would crowd each other.
        largest: largest size of an object 1 m away, in metres, above 0.14; it grows with the distance.
    """
    rng = SceneRng(generator)
    camera = Camera(
        x=0.0,
        height=rng.evenly(0.5, 3.5),
        z=0.0,
        angles=(0.0, math.radians(rng.within(-2, 32)), rng.within(-0.15, 0.15)),
    )
    spec = SceneSpec(
        camera=camera,
        light=_light(rng),
        air_k=rng.within(270.0, 305.0),
        surroundings=Solid(Kind.TERRAIN, 0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    )
    land = Builder(spec, rng, materials=MATERIALS["wilds"], classes=CLASSES, textures=tuple(WILD_TEXTURES))
    ground = rng.pick(_GROUNDS)
    colour = tint(land) if rng.happens(0.3) else None
    land.surface(ground, "fields", scale=rng.evenly(0.15, 1.2), colour=colour)
    _hills(land, ground)
    _populate(land, objects, largest)
    return spec


def _light(rng: SceneRng) -> Light:
    """Draws the sun; the lower it stands, the redder it is."""
    raised, turn = math.radians(rng.within(18, 70)), rng.within(0, 2 * math.pi)
    strength, around = rng.within(0.55, 1.0), rng.within(0.12, 0.35)
    red = 0.35 * (1 - math.sin(raised))
    return Light(
        towards=(math.cos(raised) * math.sin(turn), -math.sin(raised), math.cos(raised) * math.cos(turn)),
        rgb=(strength, strength * (1 - 0.5 * red), strength * (1 - red)),
        ambient_rgb=(0.85 * around, around, 1.2 * around),
        nir=strength * rng.within(0.8, 1.1),
        ambient_nir=around * rng.within(0.3, 0.6),
    )


def _hills(land: Builder, ground: str) -> None:
    rng = land.rng
    for _ in range(rng.count(0, 4)):
        far, aside = rng.within(28, 65), rng.within(-0.6, 0.6)
        with land.thing(None, Spot(far * math.sin(aside), far * math.cos(aside))):
            slope = land.surface(
                rng.pick((ground, "granite", "meadow")), "fields", scale=rng.within(1.5, 4.0)
            )
            half = (rng.within(8, 22), rng.within(1.5, 8), rng.within(6, 14))
            land.solid(Kind.DOME, slope, (0, 0, 0), half, casts_shadow=False)


def _populate(land: Builder, objects: int, largest: float) -> None:
    """Scatters objects in sight; farther ones are larger, so that none is tiny in the image."""
    rng = land.rng
    near, far_end = land.spec.camera.floor_in_sight(16.0)
    near, far_end = max(1.1 * near, 0.9), max(1.25 * far_end, 3.0)
    circles: list[tuple[float, float, float]] = []
    favourites = [rng.pick(tuple(GROWTHS.values())) for _ in range(rng.count(3, 6))]
    for _ in range(rng.count(_FEWEST, objects)):
        for _ in range(_TRIES):
            far, aside = rng.evenly(near, far_end), rng.within(-0.6, 0.6)
            size = 0.5 * rng.evenly(_SMALLEST, largest) * far**0.8
            x, z = far * math.sin(aside), far * math.cos(aside)
            crowded = (math.hypot(x - a, z - b) < 0.8 * (size + c) for a, b, c in circles)
            if far - size > 0.8 and not any(crowded):
                circles.append((x, z, size))
                rng.pick(favourites)(land, Spot(x, z, rng.within(-math.pi, math.pi)), size)
                break


#: The family "wilds", for `aims.synth.world.render`.
FAMILY = Family(
    number=2,
    classes=CLASSES,
    kinds=frozenset({Kind.TERRAIN, Kind.DOME, Kind.CONE, Kind.WEDGE, Kind.CRYSTAL, Kind.CAPSULE}),
    textures=WILD_TEXTURES,
    purpose=700,
    build=build,
)
