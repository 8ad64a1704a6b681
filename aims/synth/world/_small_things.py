"""Objects that stand on furniture or hang on walls, made of boxes, cylinders and spheres; in metres.

Each maker adds one instance at a spot, its front towards -z and its back at +z; nothing stands on it.
"""

from __future__ import annotations

from aims.synth.world._builder import Builder, Spot
from aims.synth.world._furniture import crate, small_plant, table_lamp
from aims.synth.world._room_parts import PIGMENTS, Maker, pigment


def small_box(room: Builder, spot: Spot) -> None:
    """A small box or a pile of books."""
    rng = room.rng
    if rng.happens(0.6):
        crate(room, spot, (0.05, 0.11))
        return
    with room.thing("box", spot):
        for level in range(rng.count(2, 4)):
            book = room.surface("paper", "plain", colour=pigment(room))
            half = (rng.within(0.08, 0.11), 0.018, rng.within(0.06, 0.08))
            room.box(book, (rng.within(-0.01, 0.01), 0.018 + 0.036 * level, 0), half)


def bottle(room: Builder, spot: Spot) -> None:
    """A bottle, a vase or a jar, often of glass."""
    rng = room.rng
    radius, height = rng.within(0.035, 0.06), rng.within(0.1, 0.26)
    with room.thing("bottle", spot):
        material = rng.pick(("glass", "glass", "ceramic", "plastic"))
        colour = None if material == "glass" else pigment(room)
        wall = room.surface(material, "plain" if material == "glass" else "hoops", scale=0.04, colour=colour)
        room.cylinder(wall, (0, height / 2, 0), radius, height / 2)
        if rng.happens(0.7):
            room.ball(wall, (0, height, 0), radius)
            room.cylinder(wall, (0, height + radius, 0), 0.4 * radius, 0.9 * radius)


def television(room: Builder, spot: Spot) -> None:
    """A screen on a foot."""
    rng = room.rng
    half_x = rng.within(0.2, 0.42)
    half_y = half_x * 0.58
    with room.thing("television", spot):
        case = room.surface("plastic", "plain", colour=rng.pick(PIGMENTS[10:13]))
        room.box(case, (0, 0.015, 0), (0.5 * half_x, 0.015, 0.1))
        room.box(case, (0, 0.05 + half_y, 0.01), (half_x, half_y, 0.02))
        room.box(case, (0, 0.05, 0), (0.05, 0.05, 0.015))
        room.box(
            room.surface("screen", "plain"),
            (0, 0.05 + half_y, -0.012),
            (0.94 * half_x, 0.9 * half_y, 0.006),
        )


def window(room: Builder, spot: Spot) -> None:
    """Panes of glass in a frame; the spot is the middle of its lower edge on the wall."""
    rng = room.rng
    half_x, half_y = rng.within(0.45, 0.9), rng.within(0.45, 0.65)
    with room.thing("window", spot):
        frame = room.surface("paint", "plain", colour=rng.pick(PIGMENTS[9:11]))
        room.box(frame, (0, half_y, 0), (half_x, half_y, 0.03), casts_shadow=False)
        pane = room.surface("glass", "plain", warmth_k=rng.within(-6.0, 0.0))
        panes = rng.count(1, 2)
        width = half_x / panes
        for index in range(panes):
            place = (-half_x + (2 * index + 1) * width, half_y, -0.03)
            room.box(pane, place, (width - 0.05, half_y - 0.05, 0.004), casts_shadow=False)


def picture(room: Builder, spot: Spot) -> None:
    """A framed picture; the spot is the middle of its lower edge on the wall."""
    rng = room.rng
    half_x, half_y = rng.within(0.2, 0.5), rng.within(0.2, 0.4)
    with room.thing("picture", spot):
        frame = room.surface(rng.pick(("wood", "paint")), "plain", colour=pigment(room))
        room.box(frame, (0, half_y, 0), (half_x, half_y, 0.015), casts_shadow=False)
        texture = rng.pick(("mottle", "dots", "checks", "stripes", "bricks"))
        sheet = room.surface(
            "paper", texture, scale=rng.within(0.08, 0.25), colour=pigment(room), second=pigment(room)
        )
        room.box(sheet, (0, half_y, -0.015), (half_x - 0.04, half_y - 0.04, 0.004), casts_shadow=False)


def radiator(room: Builder, spot: Spot) -> None:
    """A warm radiator on the wall."""
    rng = room.rng
    ribs = rng.count(4, 8)
    with room.thing("radiator", spot._replace(base=0.12)):
        enamel = room.surface("enamel", "plain", warmth_k=rng.within(-8.0, 8.0))
        room.box(enamel, (0, 0.28, -0.04), (0.08 * ribs, 0.24, 0.012))
        for rib in range(ribs):
            room.box(enamel, (0.16 * rib - 0.08 * (ribs - 1), 0.28, -0.06), (0.05, 0.28, 0.035))


#: Makers of objects that hang on a wall, with half the width and the range of the lower edge's height.
HUNG: tuple[tuple[Maker, float, tuple[float, float]], ...] = (
    (window, 0.95, (0.8, 1.1)),
    (window, 0.95, (0.8, 1.1)),
    (picture, 0.5, (1.0, 1.5)),
    (radiator, 0.65, (0.0, 0.0)),
)
#: Makers of objects that stand on tables and boards, with the radius that each needs.
SMALL: tuple[tuple[Maker, float], ...] = (
    (small_box, 0.1),
    (bottle, 0.06),
    (bottle, 0.06),
    (small_plant, 0.1),
    (table_lamp, 0.11),
    (television, 0.25),
)
