"""What stands, lies and hangs in rooms, out of boxes, cylinders and spheres; metres.

Each maker adds one thing of one class at a spot. A thing's front looks to its -z, its back is at +z. Makers
return where other things may stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from aims.synth.world._builder import Builder, Triple
from aims.synth.world.materials import Colour
from aims.synth.world.solids import Kind

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


class Spot(NamedTuple):
    """Where a thing stands: place on the floor, direction of its back, height of what it stands on."""

    x: float
    z: float
    yaw: float
    base: float = 0.0


class Top(NamedTuple):
    """A level surface that carries things: its middle and half sizes, in the frame of its yaw."""

    spot: Spot
    half_x: float
    half_z: float


Maker = Callable[[Builder, Spot], list[Top]]


def pigment(room: Builder) -> Colour:
    """A colour near one of the pigments."""
    gain = room.dice.within(0.8, 1.1)
    red, green, blue = (
        min(gain * value + room.dice.within(0, 0.05), 0.95) for value in room.dice.pick(PIGMENTS)
    )
    return red, green, blue


def _wooden(room: Builder) -> int:
    """Wood, paint, plastic: what furniture is made of."""
    material = room.dice.pick(("wood", "wood", "paint", "plastic"))
    if material == "wood":
        return room.surface("wood", "planks", scale=room.dice.within(0.05, 0.12))
    return room.surface(material, "plain", colour=pigment(room))


def _cloth(room: Builder) -> int:
    material = room.dice.pick(("fabric", "fabric", "leather"))
    if material == "leather":
        return room.surface("leather", "mottle", scale=0.15)
    texture = room.dice.pick(("plain", "stripes", "checks", "dots", "mottle"))
    return room.surface(
        "fabric", texture, scale=room.dice.within(0.05, 0.16), colour=pigment(room), second=pigment(room)
    )


def _legs(room: Builder, surface: int, half: tuple[float, float], height: float, radius: float) -> None:
    x, z = half[0] - radius, half[1] - radius
    for sign_x, sign_z in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        place = (sign_x * x, height / 2, sign_z * z)
        room.solid(Kind.BOX, surface, place, (radius, height / 2, radius))


def _box(room: Builder, surface: int, at: Triple, half: Triple) -> None:
    room.solid(Kind.BOX, surface, at, half)


def _sheet(room: Builder, surface: int, at: Triple, half: Triple) -> None:
    """A box that lies so close to another that its shadow does not show."""
    room.solid(Kind.BOX, surface, at, half, casts_shadow=False)


def _pole(room: Builder, surface: int, at: Triple, radius: float, half_height: float) -> None:
    room.solid(Kind.CYLINDER, surface, at, (radius, half_height, radius))


def table(room: Builder, spot: Spot) -> list[Top]:
    """A rectangular or round table."""
    dice = room.dice
    height, thick = dice.pick((0.45, 0.72, 0.75)), dice.within(0.015, 0.04)
    with room.thing("table", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        top = _wooden(room)
        if dice.happens(0.35):
            radius = dice.within(0.35, 0.6)
            _pole(room, top, (0, height - thick, 0), radius, thick)
            stand = room.surface("steel", "plain")
            _pole(room, stand, (0, height / 2 - thick, 0), 0.04, height / 2 - thick)
            _pole(room, stand, (0, 0.015, 0), 0.5 * radius, 0.015)
            half = (0.65 * radius, 0.65 * radius)
        else:
            half = (dice.within(0.4, 0.75), dice.within(0.3, 0.45))
            _box(room, top, (0, height - thick, 0), (half[0], thick, half[1]))
            legs = top if dice.happens(0.6) else room.surface("steel", "plain")
            _legs(room, legs, half, height - 2 * thick, dice.within(0.02, 0.04))
    return [Top(spot._replace(base=spot.base + height), 0.85 * half[0], 0.8 * half[1])]


def chair(room: Builder, spot: Spot) -> list[Top]:
    """A chair or a stool."""
    dice = room.dice
    half, seat = dice.within(0.19, 0.24), dice.within(0.42, 0.48)
    with room.thing("chair", spot.x, spot.z, yaw=spot.yaw):
        frame = _wooden(room)
        cushion = _cloth(room) if dice.happens(0.5) else frame
        _box(room, cushion, (0, seat, 0), (half, 0.03, half))
        if dice.happens(0.25):
            _pole(room, room.surface("steel", "plain"), (0, seat / 2, 0), 0.03, seat / 2)
            _pole(room, frame, (0, 0.02, 0), 0.8 * half, 0.02)
        else:
            _legs(room, frame, (half, half), seat - 0.03, 0.022)
        if dice.happens(0.85):
            back = dice.within(0.18, 0.26)
            _box(room, cushion, (0, seat + 0.12 + back, half - 0.025), (half, back, 0.025))
            for side in (-1, 1):
                _box(room, frame, (side * (half - 0.03), seat + 0.12, half - 0.025), (0.02, 0.12, 0.02))
    return []


def sofa(room: Builder, spot: Spot) -> list[Top]:
    """A sofa or an armchair."""
    dice = room.dice
    half = dice.pick((0.42, 0.75, 0.95))
    arm, back = dice.within(0.55, 0.65), dice.within(0.75, 0.9)
    with room.thing("sofa", spot.x, spot.z, yaw=spot.yaw):
        cover = _cloth(room)
        seat = cover if dice.happens(0.7) else _cloth(room)
        _box(room, cover, (0, 0.17, 0), (half, 0.13, 0.4))
        _box(room, cover, (0, back / 2 + 0.05, 0.32), (half, back / 2 - 0.05, 0.1))
        for side in (-1, 1):
            _box(room, cover, (side * (half - 0.08), arm / 2 + 0.03, 0), (0.08, arm / 2 - 0.03, 0.4))
        _box(room, seat, (0, 0.37, -0.08), (half - 0.17, 0.08, 0.31))
    return []


def cabinet(room: Builder, spot: Spot) -> list[Top]:
    """A sideboard or a wardrobe with doors."""
    dice = room.dice
    half_x, half_z = dice.within(0.35, 0.8), dice.within(0.18, 0.28)
    half_y = dice.pick((0.35, 0.45, 0.9))
    with room.thing("cabinet", spot.x, spot.z, yaw=spot.yaw):
        body = _wooden(room)
        _box(room, body, (0, half_y, 0), (half_x, half_y, half_z))
        doors = dice.count(1, 3)
        if dice.happens(0.2):
            front = room.surface("glass", "plain")
        else:
            front = body if dice.happens(0.5) else _wooden(room)
        knobs = room.surface("steel", "plain")
        width = half_x / doors
        for door in range(doors):
            x = -half_x + (2 * door + 1) * width
            _sheet(room, front, (x, half_y, -half_z), (width - 0.015, half_y - 0.03, 0.012))
            _sheet(room, knobs, (x + 0.7 * width, half_y, -half_z - 0.02), (0.012, 0.06, 0.012))
    return [Top(spot._replace(base=2 * half_y), 0.85 * half_x, 0.7 * half_z)] if half_y < 0.6 else []


def shelves(room: Builder, spot: Spot) -> list[Top]:
    """An open shelf; things may stand on its boards."""
    dice = room.dice
    half_x, half_z = dice.within(0.35, 0.6), dice.within(0.13, 0.18)
    boards, gap = dice.count(3, 5), dice.within(0.3, 0.4)
    height = (boards - 1) * gap + 0.06
    with room.thing("shelves", spot.x, spot.z, yaw=spot.yaw):
        body = _wooden(room)
        for board in range(boards):
            _box(room, body, (0, 0.03 + board * gap, 0), (half_x, 0.015, half_z))
        for side in (-1, 1):
            _box(room, body, (side * half_x, height / 2, 0), (0.015, height / 2, half_z))
        _box(room, body, (0, height / 2, half_z), (half_x, height / 2, 0.008))
    levels = (spot._replace(base=0.045 + board * gap) for board in range(boards))
    return [Top(level, 0.8 * half_x, 0.5 * half_z) for level in levels]


def floor_lamp(room: Builder, spot: Spot) -> list[Top]:
    """A tall lamp with a warm shade."""
    _lamp(room, spot, room.dice.within(1.2, 1.6), 0.16)
    return []


def table_lamp(room: Builder, spot: Spot) -> list[Top]:
    """A small lamp."""
    _lamp(room, spot, room.dice.within(0.32, 0.45), 0.11)
    return []


def _lamp(room: Builder, spot: Spot, height: float, width: float) -> None:
    dice = room.dice
    with room.thing("lamp", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        stand = room.surface(dice.pick(("steel", "paint", "wood")), "plain")
        _pole(room, stand, (0, 0.012, 0), 0.8 * width, 0.012)
        _pole(room, stand, (0, height / 2, 0), 0.1 * width + 0.004, height / 2)
        colour = None if dice.happens(0.5) else pigment(room)
        shade = room.surface("lampshade", dice.pick(("plain", "hoops", "stripes")), scale=0.05, colour=colour)
        if dice.happens(0.3):
            room.solid(Kind.SPHERE, shade, (0, height, 0), (width, width, width))
        else:
            _pole(room, shade, (0, height, 0), width, dice.within(0.7, 1.0) * width)


def large_plant(room: Builder, spot: Spot) -> list[Top]:
    """A plant that stands on the floor."""
    _plant(room, spot, room.dice.within(0.14, 0.22))
    return []


def small_plant(room: Builder, spot: Spot) -> list[Top]:
    """A plant in a small pot."""
    _plant(room, spot, room.dice.within(0.05, 0.08))
    return []


def _plant(room: Builder, spot: Spot, radius: float) -> None:
    dice = room.dice
    height = radius * dice.within(1.4, 2.0)
    with room.thing("plant", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        pot = room.surface(dice.pick(("ceramic", "plastic", "paint")), "plain", colour=pigment(room))
        _pole(room, pot, (0, height / 2, 0), radius, height / 2)
        leaves = room.surface("foliage", "mottle", scale=0.35 * radius)
        stem = height + radius * dice.within(0.5, 2.0)
        _pole(room, leaves, (0, (height + stem) / 2, 0), 0.12 * radius, (stem - height) / 2)
        for _ in range(dice.count(4, 7)):
            turn, out = dice.within(0, 2 * math.pi), radius * dice.within(0.2, 0.9)
            size = radius * dice.within(0.5, 0.95)
            place = (out * math.cos(turn), stem + radius * dice.within(-0.2, 1.2), out * math.sin(turn))
            room.solid(Kind.SPHERE, leaves, place, (size, size, size))


def crate(room: Builder, spot: Spot) -> list[Top]:
    """A parcel, a crate or a box for toys."""
    return _crate(room, spot, room.dice.within(0.14, 0.3))


def small_box(room: Builder, spot: Spot) -> list[Top]:
    """A small box or a pile of books."""
    dice = room.dice
    if dice.happens(0.6):
        _crate(room, spot, dice.within(0.05, 0.11))
        return []
    with room.thing("box", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        for level in range(dice.count(2, 4)):
            book = room.surface("paper", "plain", colour=pigment(room))
            half = (dice.within(0.08, 0.11), 0.018, dice.within(0.06, 0.08))
            _box(room, book, (dice.within(-0.01, 0.01), 0.018 + 0.036 * level, 0), half)
    return []


def _crate(room: Builder, spot: Spot, size: float) -> list[Top]:
    dice = room.dice
    half = (size, size * dice.within(0.5, 1.1), size * dice.within(0.6, 1.0))
    with room.thing("box", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        kind = dice.pick(("cardboard", "cardboard", "plastic", "paint", "wood"))
        texture = dice.pick(("plain", "stripes", "checks", "hoops", "dots"))
        colour = pigment(room) if kind in ("plastic", "paint") else None
        cover = room.surface(kind, texture, scale=0.4 * size, colour=colour)
        _box(room, cover, (0, half[1], 0), half)
        if kind == "cardboard":
            band = room.surface("paper", "plain")
            _sheet(room, band, (0, half[1], 0), (0.12 * size, half[1] + 0.003, half[2] + 0.003))
    return [Top(spot._replace(base=spot.base + 2 * half[1]), 0.6 * half[0], 0.6 * half[2])]


def bottle(room: Builder, spot: Spot) -> list[Top]:
    """A bottle, a vase or a jar, often of glass."""
    dice = room.dice
    radius, height = dice.within(0.035, 0.06), dice.within(0.1, 0.26)
    with room.thing("bottle", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        material = dice.pick(("glass", "glass", "ceramic", "plastic"))
        colour = None if material == "glass" else pigment(room)
        wall = room.surface(material, "plain" if material == "glass" else "hoops", scale=0.04, colour=colour)
        _pole(room, wall, (0, height / 2, 0), radius, height / 2)
        if dice.happens(0.7):
            room.solid(Kind.SPHERE, wall, (0, height, 0), (radius, radius, radius))
            _pole(room, wall, (0, height + radius, 0), 0.4 * radius, 0.9 * radius)
    return []


def ball(room: Builder, spot: Spot) -> list[Top]:
    """A ball."""
    dice = room.dice
    radius = dice.within(0.09, 0.2)
    with room.thing("ball", spot.x, spot.z, yaw=spot.yaw):
        texture = dice.pick(("stripes", "checks", "dots", "hoops", "plain"))
        cover = room.surface(
            dice.pick(("rubber", "plastic")),
            texture,
            scale=0.6 * radius,
            colour=pigment(room),
            second=pigment(room),
        )
        room.solid(Kind.SPHERE, cover, (0, radius, 0), (radius, radius, radius))
    return []


def television(room: Builder, spot: Spot) -> list[Top]:
    """A screen on a foot."""
    dice = room.dice
    half_x = dice.within(0.2, 0.42)
    half_y = half_x * 0.58
    with room.thing("television", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        case = room.surface("plastic", "plain", colour=dice.pick(PIGMENTS[10:13]))
        _box(room, case, (0, 0.015, 0), (0.5 * half_x, 0.015, 0.1))
        _box(room, case, (0, 0.05 + half_y, 0.01), (half_x, half_y, 0.02))
        _box(room, case, (0, 0.05, 0), (0.05, 0.05, 0.015))
        _box(
            room,
            room.surface("screen", "plain"),
            (0, 0.05 + half_y, -0.012),
            (0.94 * half_x, 0.9 * half_y, 0.006),
        )
    return []


def rug(room: Builder, spot: Spot) -> list[Top]:
    """A carpet on the floor."""
    dice = room.dice
    with room.thing("rug", spot.x, spot.z, yaw=spot.yaw):
        texture = dice.pick(("stripes", "checks", "dots", "mottle", "tiles"))
        pile = room.surface(
            "carpet", texture, scale=dice.within(0.12, 0.3), colour=pigment(room), second=pigment(room)
        )
        if dice.happens(0.4):
            _pole(room, pile, (0, 0.006, 0), dice.within(0.6, 1.1), 0.006)
        else:
            _sheet(room, pile, (0, 0.006, 0), (dice.within(0.7, 1.3), 0.006, dice.within(0.5, 0.9)))
    return []


def window(room: Builder, spot: Spot) -> list[Top]:
    """Panes of glass in a frame; the spot is the middle of its lower edge on the wall."""
    dice = room.dice
    half_x, half_y = dice.within(0.45, 0.9), dice.within(0.45, 0.65)
    with room.thing("window", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        frame = room.surface("paint", "plain", colour=dice.pick(PIGMENTS[9:11]))
        _sheet(room, frame, (0, half_y, 0), (half_x, half_y, 0.03))
        pane = room.surface("glass", "plain", warmth_k=dice.within(-6.0, 0.0))
        panes = dice.count(1, 2)
        width = half_x / panes
        for index in range(panes):
            place = (-half_x + (2 * index + 1) * width, half_y, -0.03)
            _sheet(room, pane, place, (width - 0.05, half_y - 0.05, 0.004))
    return []


def picture(room: Builder, spot: Spot) -> list[Top]:
    """A framed picture; the spot is the middle of its lower edge on the wall."""
    dice = room.dice
    half_x, half_y = dice.within(0.2, 0.5), dice.within(0.2, 0.4)
    with room.thing("picture", spot.x, spot.z, yaw=spot.yaw, base=spot.base):
        frame = room.surface(dice.pick(("wood", "paint")), "plain", colour=pigment(room))
        _sheet(room, frame, (0, half_y, 0), (half_x, half_y, 0.015))
        texture = dice.pick(("mottle", "dots", "checks", "stripes", "bricks"))
        sheet = room.surface(
            "paper", texture, scale=dice.within(0.08, 0.25), colour=pigment(room), second=pigment(room)
        )
        _sheet(room, sheet, (0, half_y, -0.015), (half_x - 0.04, half_y - 0.04, 0.004))
    return []


def radiator(room: Builder, spot: Spot) -> list[Top]:
    """A warm radiator on the wall."""
    dice = room.dice
    ribs = dice.count(4, 8)
    with room.thing("radiator", spot.x, spot.z, yaw=spot.yaw, base=0.12):
        enamel = room.surface("enamel", "plain", warmth_k=dice.within(-8.0, 8.0))
        _box(room, enamel, (0, 0.28, -0.04), (0.08 * ribs, 0.24, 0.012))
        for rib in range(ribs):
            _box(room, enamel, (0.16 * rib - 0.08 * (ribs - 1), 0.28, -0.06), (0.05, 0.28, 0.035))
    return []


#: What stands anywhere on the floor, with the radius that it needs.
FREE: tuple[tuple[Maker, float], ...] = (
    (table, 0.8),
    (table, 0.8),
    (chair, 0.35),
    (chair, 0.35),
    (crate, 0.35),
    (crate, 0.35),
    (ball, 0.22),
    (large_plant, 0.35),
    (sofa, 0.9),
    (floor_lamp, 0.2),
)
#: What stands with its back to a wall, with half its width and half its depth.
WALL: tuple[tuple[Maker, float, float], ...] = (
    (cabinet, 0.8, 0.3),
    (shelves, 0.62, 0.2),
    (sofa, 0.98, 0.45),
    (table, 0.8, 0.5),
    (large_plant, 0.35, 0.35),
    (floor_lamp, 0.2, 0.2),
)
#: What hangs on a wall: half its width, height of its lower edge.
HUNG: tuple[tuple[Maker, float, tuple[float, float]], ...] = (
    (window, 0.95, (0.8, 1.1)),
    (window, 0.95, (0.8, 1.1)),
    (picture, 0.5, (1.0, 1.5)),
    (radiator, 0.65, (0.0, 0.0)),
)
#: What stands on tables and boards, with the radius that it needs.
SMALL: tuple[tuple[Maker, float], ...] = (
    (small_box, 0.1),
    (bottle, 0.06),
    (bottle, 0.06),
    (small_plant, 0.1),
    (table_lamp, 0.11),
    (television, 0.25),
)
