"""The family "rooms", for the benchmark: furnished rooms, seen from inside."""

from __future__ import annotations

import math

import numpy as np

from aims.synth.world._builder import Builder, Spot
from aims.synth.world._furniture import FREE, WALL, rug
from aims.synth.world._room_parts import Top, pigment
from aims.synth.world._small_things import HUNG, SMALL
from aims.synth.world._textures import ROOM_TEXTURES
from aims.synth.world.materials import MATERIALS
from aims.synth.world.scene import Camera, Family, Light, SceneRng, SceneSpec, Solid
from aims.synth.world.solids import Kind

#: Names of the classes 1, 2, ...
CLASSES = (
    "table",
    "chair",
    "sofa",
    "cabinet",
    "shelves",
    "lamp",
    "plant",
    "box",
    "bottle",
    "ball",
    "television",
    "picture",
    "window",
    "rug",
    "radiator",
)

# Maximum number of objects along the walls, and in all.
_MOST_AT_WALLS, _MOST = 7, 14
_TRIES = 12
_QUARTER = math.pi / 2


def build(generator: np.random.Generator) -> SceneSpec:
    """Builds one room with 5 to 14 objects, most of them within the image.

    Args:
        generator: random generator of the scene.
    """
    rng = SceneRng(generator)
    width, depth, height = rng.within(3.2, 6.0), rng.within(3.2, 7.5), rng.within(2.3, 3.0)
    camera = Camera(
        x=rng.within(-0.2, 0.2) * width,
        height=rng.within(0.8, 1.8),
        z=0.25,
        angles=(rng.within(-0.3, 0.3), math.radians(rng.within(0, 40)), rng.within(-0.06, 0.06)),
    )
    spec = SceneSpec(
        camera=camera,
        light=_light(rng),
        air_k=rng.within(290.0, 298.0),
        surroundings=Solid(Kind.SHELL, 0, (0, -height / 2, depth / 2), (width / 2, height / 2, depth / 2)),
    )
    room = Builder(spec, rng, materials=MATERIALS["rooms"], classes=CLASSES, textures=tuple(ROOM_TEXTURES))
    _faces(room)
    _furnish(room, _Plan(room, width, depth))
    return spec


def _light(rng: SceneRng) -> Light:
    """Draws a main light high above the floor, of a colour from warm to cool."""
    raised, turn = math.radians(rng.within(35, 75)), rng.within(0, 2 * math.pi)
    strength, around, warm = rng.within(0.5, 0.85), rng.within(0.2, 0.4), rng.within(-0.12, 0.12)
    return Light(
        towards=(math.cos(raised) * math.sin(turn), -math.sin(raised), math.cos(raised) * math.cos(turn)),
        rgb=(strength * (1 + warm), strength, strength * (1 - warm)),
        ambient_rgb=(around, around, around),
        nir=strength * rng.within(0.6, 1.2),
        ambient_nir=around * rng.within(0.7, 1.1),
    )


def _faces(room: Builder) -> None:
    """Adds the surfaces of walls, ceiling and floor, in the order of the faces of `Kind.SHELL`."""
    rng = room.rng
    texture, scale = rng.pick((("plain", 1.0), ("mottle", 0.5), ("stripes", 0.22), ("bricks", 0.09)))
    colour = pigment(room) if rng.happens(0.5) else None

    def wall() -> None:
        room.surface("plaster", texture, scale=scale, colour=colour)

    wall()
    wall()
    room.surface("plaster", "plain")
    _floor(room)
    wall()
    wall()


def _floor(room: Builder) -> None:
    rng = room.rng
    kind = rng.pick(("boards", "boards", "tiles", "carpet"))
    if kind == "boards":
        room.surface("parquet", "planks", scale=rng.within(0.1, 0.18))
    elif kind == "tiles":
        texture, scale = rng.pick(("tiles", "checks")), rng.within(0.2, 0.45)
        room.surface("ceramic", texture, scale=scale, colour=pigment(room))
    else:
        room.surface("carpet", rng.pick(("mottle", "plain")), scale=0.3, colour=pigment(room))


class _Plan:
    """The occupied parts of the floor, as circles (x, z, radius)."""

    def __init__(self, room: Builder, width: float, depth: float) -> None:
        self.width, self.depth = width, depth
        camera = room.spec.camera
        self._eye = (camera.x, camera.z, camera.angles[0])
        self._near, self._far = camera.floor_in_sight(depth)
        self._circles = [(camera.x, camera.z, 0.75)]

    def take(self, x: float, z: float, radius: float) -> bool:
        """Occupies a circle and returns True if it overlaps no other."""
        if any(math.hypot(x - other[0], z - other[1]) < radius + other[2] for other in self._circles):
            return False
        self._circles.append((x, z, radius))
        return True

    def find(self, rng: SceneRng, radius: float) -> tuple[float, float] | None:
        """Occupies a random circle in sight; returns its (x, z), or None if none was found."""
        x0, z0, yaw = self._eye
        for _ in range(_TRIES):
            # Objects rise above the floor, so those a little beyond its visible part are in sight as well.
            far = rng.within(max(0.8, self._near) + 0.8 * radius, max(1.3 * self._far, 2.0 + radius))
            aside = yaw + rng.within(-0.5, 0.5)
            x, z = x0 + far * math.sin(aside), z0 + far * math.cos(aside)
            inside = abs(x) < self.width / 2 - radius and z < self.depth - radius
            if inside and self.take(x, z, 0.85 * radius):
                return x, z
        return None

    def on_wall(self, yaw: float, along: float, off: float) -> tuple[float, float]:
        """Returns (x, z) at distance `off` from the wall behind `yaw`, `along` metres from its middle."""
        if yaw == 0:
            return along, self.depth - off
        side = 1 if yaw > 0 else -1
        return side * (self.width / 2 - off), self.depth / 2 + along


def _furnish(room: Builder, plan: _Plan) -> None:
    rng = room.rng
    tops: list[Top] = []
    if rng.happens(0.5):
        x, z = rng.within(-0.2, 0.2) * plan.width, rng.within(0.4, 0.7) * plan.depth
        rug(room, Spot(x, z, rng.within(-0.4, 0.4)))
    for yaw, share in ((0.0, 0.9), (-_QUARTER, 0.55), (_QUARTER, 0.55)):
        _hang(room, plan, yaw, share)
        tops += _line(room, plan, yaw, share)
    for _ in range(rng.count(3, 6)):
        maker, radius = rng.pick(FREE)
        place = plan.find(rng, radius)
        if place is not None:
            tops += maker(room, Spot(*place, rng.within(-math.pi, math.pi))) or []
    for _ in range(min(_MOST - room.spec.instances, rng.count(2, 6))):
        if tops:
            _set_down(room, tops.pop(int(rng.share() * len(tops))))


def _wall_ends(plan: _Plan, yaw: float) -> tuple[float, float]:
    """Returns both ends of the part of a wall that is in sight, in metres from its middle."""
    half = plan.depth / 2 if yaw else plan.width / 2
    return (1.3 - half if yaw else -half), half


def _hang(room: Builder, plan: _Plan, yaw: float, share: float) -> None:
    """Hangs objects side by side on a wall, each with the probability `share`."""
    rng = room.rng
    start, end = _wall_ends(plan, yaw)
    start += rng.within(0.0, 0.8)
    while room.spec.instances < _MOST_AT_WALLS:
        maker, half, (low, high) = rng.pick(HUNG)
        if start + 2 * half > end:
            break
        if rng.happens(share):
            maker(room, Spot(*plan.on_wall(yaw, start + half, 0.0), yaw, rng.within(low, high)))
        start += 2 * half + rng.within(0.1, 0.8)


def _line(room: Builder, plan: _Plan, yaw: float, share: float) -> list[Top]:
    """Places objects side by side with their backs to a wall, each with the probability `share`."""
    rng = room.rng
    tops: list[Top] = []
    start, end = _wall_ends(plan, yaw)
    start += rng.within(0.0, 0.8)
    while room.spec.instances < _MOST_AT_WALLS:
        maker, half, deep = rng.pick(WALL)
        if start + 2 * half > end:
            break
        x, z = plan.on_wall(yaw, start + half, deep)
        if rng.happens(share) and plan.take(x, z, max(0.75 * half, deep)):
            tops += maker(room, Spot(x, z, yaw)) or []
        start += 2 * half + rng.within(0.05, 0.6)
    return tops


def _set_down(room: Builder, top: Top) -> None:
    """Places up to two small objects on a table or a board."""
    rng = room.rng
    cos, sin = math.cos(top.spot.yaw), math.sin(top.spot.yaw)
    start = -top.half_x
    for _ in range(rng.count(1, 2)):
        maker, radius = rng.pick(SMALL)
        if start + 2 * radius > top.half_x or room.spec.instances >= _MOST:
            return
        aside = start + radius + rng.within(0.0, 0.7) * (top.half_x - start - 2 * radius)
        across = rng.within(-1.0, 1.0) * max(top.half_z - radius, 0.0)
        x, z = top.spot.x + cos * aside + sin * across, top.spot.z - sin * aside + cos * across
        maker(room, Spot(x, z, top.spot.yaw + rng.within(-0.5, 0.5), top.spot.base))
        start = aside + radius


#: The family "rooms", for `aims.synth.world.render`.
FAMILY = Family(
    number=1,
    classes=CLASSES,
    kinds=frozenset({Kind.SHELL, Kind.BOX, Kind.CYLINDER, Kind.SPHERE}),
    textures=ROOM_TEXTURES,
    purpose=600,
    build=build,
)
