"""Furniture and other objects on the floor of a room, made of boxes, cylinders and spheres; in metres.

Each maker adds one instance at a spot, its front towards -z and its back at +z, and returns the surfaces on
which other objects may stand, if there are any.
"""

from __future__ import annotations

import math
from functools import partial

from aims.synth.world._builder import Builder, Spot
from aims.synth.world._room_parts import Maker, Top, cloth, four_legs, pigment, wooden


def table(room: Builder, spot: Spot) -> list[Top]:
    """A rectangular or round table."""
    rng = room.rng
    height, thick = rng.pick((0.45, 0.72, 0.75)), rng.within(0.015, 0.04)
    with room.thing("table", spot):
        top = wooden(room)
        if rng.happens(0.35):
            radius = rng.within(0.35, 0.6)
            room.cylinder(top, (0, height - thick, 0), radius, thick)
            stand = room.surface("steel", "plain")
            room.cylinder(stand, (0, height / 2 - thick, 0), 0.04, height / 2 - thick)
            room.cylinder(stand, (0, 0.015, 0), 0.5 * radius, 0.015)
            half = (0.65 * radius, 0.65 * radius)
        else:
            half = (rng.within(0.4, 0.75), rng.within(0.3, 0.45))
            room.box(top, (0, height - thick, 0), (half[0], thick, half[1]))
            legs = top if rng.happens(0.6) else room.surface("steel", "plain")
            four_legs(room, legs, half, height - 2 * thick, rng.within(0.02, 0.04))
    return [Top(spot._replace(base=spot.base + height), 0.85 * half[0], 0.8 * half[1])]


def chair(room: Builder, spot: Spot) -> None:
    """A chair or a stool."""
    rng = room.rng
    half, seat = rng.within(0.19, 0.24), rng.within(0.42, 0.48)
    with room.thing("chair", spot):
        frame = wooden(room)
        cushion = cloth(room) if rng.happens(0.5) else frame
        room.box(cushion, (0, seat, 0), (half, 0.03, half))
        if rng.happens(0.25):
            room.cylinder(room.surface("steel", "plain"), (0, seat / 2, 0), 0.03, seat / 2)
            room.cylinder(frame, (0, 0.02, 0), 0.8 * half, 0.02)
        else:
            four_legs(room, frame, (half, half), seat - 0.03, 0.022)
        if rng.happens(0.85):
            back = rng.within(0.18, 0.26)
            room.box(cushion, (0, seat + 0.12 + back, half - 0.025), (half, back, 0.025))
            for side in (-1, 1):
                room.box(frame, (side * (half - 0.03), seat + 0.12, half - 0.025), (0.02, 0.12, 0.02))


def sofa(room: Builder, spot: Spot) -> None:
    """A sofa or an armchair."""
    rng = room.rng
    half = rng.pick((0.42, 0.75, 0.95))
    arm, back = rng.within(0.55, 0.65), rng.within(0.75, 0.9)
    with room.thing("sofa", spot):
        cover = cloth(room)
        seat = cover if rng.happens(0.7) else cloth(room)
        room.box(cover, (0, 0.17, 0), (half, 0.13, 0.4))
        room.box(cover, (0, back / 2 + 0.05, 0.32), (half, back / 2 - 0.05, 0.1))
        for side in (-1, 1):
            room.box(cover, (side * (half - 0.08), arm / 2 + 0.03, 0), (0.08, arm / 2 - 0.03, 0.4))
        room.box(seat, (0, 0.37, -0.08), (half - 0.17, 0.08, 0.31))


def cabinet(room: Builder, spot: Spot) -> list[Top]:
    """A sideboard or a wardrobe with doors."""
    rng = room.rng
    half_x, half_z = rng.within(0.35, 0.8), rng.within(0.18, 0.28)
    half_y = rng.pick((0.35, 0.45, 0.9))
    with room.thing("cabinet", spot):
        body = wooden(room)
        room.box(body, (0, half_y, 0), (half_x, half_y, half_z))
        doors = rng.count(1, 3)
        if rng.happens(0.2):
            front = room.surface("glass", "plain")
        else:
            front = body if rng.happens(0.5) else wooden(room)
        knobs = room.surface("steel", "plain")
        width = half_x / doors
        for door in range(doors):
            x = -half_x + (2 * door + 1) * width
            room.box(front, (x, half_y, -half_z), (width - 0.015, half_y - 0.03, 0.012), casts_shadow=False)
            room.box(
                knobs, (x + 0.7 * width, half_y, -half_z - 0.02), (0.012, 0.06, 0.012), casts_shadow=False
            )
    return [Top(spot._replace(base=2 * half_y), 0.85 * half_x, 0.7 * half_z)] if half_y < 0.6 else []


def shelves(room: Builder, spot: Spot) -> list[Top]:
    """An open shelf; its boards carry other objects."""
    rng = room.rng
    half_x, half_z = rng.within(0.35, 0.6), rng.within(0.13, 0.18)
    boards, gap = rng.count(3, 5), rng.within(0.3, 0.4)
    height = (boards - 1) * gap + 0.06
    with room.thing("shelves", spot):
        body = wooden(room)
        for board in range(boards):
            room.box(body, (0, 0.03 + board * gap, 0), (half_x, 0.015, half_z))
        for side in (-1, 1):
            room.box(body, (side * half_x, height / 2, 0), (0.015, height / 2, half_z))
        room.box(body, (0, height / 2, half_z), (half_x, height / 2, 0.008))
    levels = (spot._replace(base=0.045 + board * gap) for board in range(boards))
    return [Top(level, 0.8 * half_x, 0.5 * half_z) for level in levels]


def _lamp(room: Builder, spot: Spot, *, heights: tuple[float, float], width: float) -> None:
    """A lamp with a warm shade."""
    rng = room.rng
    height = rng.within(*heights)
    with room.thing("lamp", spot):
        stand = room.surface(rng.pick(("steel", "paint", "wood")), "plain")
        room.cylinder(stand, (0, 0.012, 0), 0.8 * width, 0.012)
        room.cylinder(stand, (0, height / 2, 0), 0.1 * width + 0.004, height / 2)
        colour = None if rng.happens(0.5) else pigment(room)
        shade = room.surface("lampshade", rng.pick(("plain", "hoops", "stripes")), scale=0.05, colour=colour)
        if rng.happens(0.3):
            room.ball(shade, (0, height, 0), width)
        else:
            room.cylinder(shade, (0, height, 0), width, rng.within(0.7, 1.0) * width)


def _plant(room: Builder, spot: Spot, *, radii: tuple[float, float]) -> None:
    """A plant in a pot."""
    rng = room.rng
    radius = rng.within(*radii)
    height = radius * rng.within(1.4, 2.0)
    with room.thing("plant", spot):
        pot = room.surface(rng.pick(("ceramic", "plastic", "paint")), "plain", colour=pigment(room))
        room.cylinder(pot, (0, height / 2, 0), radius, height / 2)
        leaves = room.surface("foliage", "mottle", scale=0.35 * radius)
        stem = height + radius * rng.within(0.5, 2.0)
        room.cylinder(leaves, (0, (height + stem) / 2, 0), 0.12 * radius, (stem - height) / 2)
        for _ in range(rng.count(4, 7)):
            turn, out = rng.within(0, 2 * math.pi), radius * rng.within(0.2, 0.9)
            size = radius * rng.within(0.5, 0.95)
            place = (out * math.cos(turn), stem + radius * rng.within(-0.2, 1.2), out * math.sin(turn))
            room.ball(leaves, place, size)


def crate(room: Builder, spot: Spot, sizes: tuple[float, float] = (0.14, 0.3)) -> list[Top]:
    """A parcel, a crate or a toy box; its half width in metres is within `sizes`."""
    rng = room.rng
    size = rng.within(*sizes)
    half = (size, size * rng.within(0.5, 1.1), size * rng.within(0.6, 1.0))
    with room.thing("box", spot):
        kind = rng.pick(("cardboard", "cardboard", "plastic", "paint", "wood"))
        texture = rng.pick(("plain", "stripes", "checks", "hoops", "dots"))
        colour = pigment(room) if kind in ("plastic", "paint") else None
        cover = room.surface(kind, texture, scale=0.4 * size, colour=colour)
        room.box(cover, (0, half[1], 0), half)
        if kind == "cardboard":
            band = room.surface("paper", "plain")
            room.box(
                band, (0, half[1], 0), (0.12 * size, half[1] + 0.003, half[2] + 0.003), casts_shadow=False
            )
    return [Top(spot._replace(base=spot.base + 2 * half[1]), 0.6 * half[0], 0.6 * half[2])]


def ball(room: Builder, spot: Spot) -> None:
    """A ball."""
    rng = room.rng
    radius = rng.within(0.09, 0.2)
    with room.thing("ball", spot):
        texture = rng.pick(("stripes", "checks", "dots", "hoops", "plain"))
        cover = room.surface(
            rng.pick(("rubber", "plastic")),
            texture,
            scale=0.6 * radius,
            colour=pigment(room),
            second=pigment(room),
        )
        room.ball(cover, (0, radius, 0), radius)


def rug(room: Builder, spot: Spot) -> None:
    """A carpet on the floor."""
    rng = room.rng
    with room.thing("rug", spot):
        texture = rng.pick(("stripes", "checks", "dots", "mottle", "tiles"))
        pile = room.surface(
            "carpet", texture, scale=rng.within(0.12, 0.3), colour=pigment(room), second=pigment(room)
        )
        if rng.happens(0.4):
            room.cylinder(pile, (0, 0.006, 0), rng.within(0.6, 1.1), 0.006)
        else:
            room.box(
                pile, (0, 0.006, 0), (rng.within(0.7, 1.3), 0.006, rng.within(0.5, 0.9)), casts_shadow=False
            )


floor_lamp = partial(_lamp, heights=(1.2, 1.6), width=0.16)
table_lamp = partial(_lamp, heights=(0.32, 0.45), width=0.11)
large_plant = partial(_plant, radii=(0.14, 0.22))
small_plant = partial(_plant, radii=(0.05, 0.08))

#: Makers of objects that stand anywhere on the floor, with the radius of floor that each needs.
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
#: Makers of objects that stand with their back to a wall, with half the width and half the depth of each.
WALL: tuple[tuple[Maker, float, float], ...] = (
    (cabinet, 0.8, 0.3),
    (shelves, 0.62, 0.2),
    (sofa, 0.98, 0.45),
    (table, 0.8, 0.5),
    (large_plant, 0.35, 0.35),
    (floor_lamp, 0.2, 0.2),
)
