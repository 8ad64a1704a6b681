"""Solids in closed form: intersections with rays, and surface normals.

Every solid lies in the cube -1..1 of its own frame (y points down where it stands upright) and is convex, so
a ray intersects it in one interval. An affine map places it in the scene. Origins, directions and points are
triples of tensors (x, y, z) that broadcast. All operations are bit-identical on every processor and at every
position in a tensor (`aims.synth.exact`), so results do not depend on the batch. A family of scenes chooses
the kinds that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import torch
from torch import Tensor

from aims.synth.exact import root

Vector = tuple[Tensor, Tensor, Tensor]
Span = tuple[Tensor, Tensor]
SpanFunction = Callable[[Vector, Vector, Tensor], Span]
NormalFunction = Callable[[Vector, Tensor], Vector]

# Keeps divisions finite where a ray runs along a face.
_TINY = 1e-12


class Kind(IntEnum):
    """The kinds of solids; `form` is a shape parameter, for those kinds that mention it.

    The first two surround the scene: a ray intersects them at most once, from inside or from above.
    """

    SHELL = 0
    """The inside of a box: a room. Its faces are -x, +x, -y (ceiling), +y (floor), -z, +z."""
    TERRAIN = 1
    """The half-space below the plane y = 0."""
    BOX = 2
    CYLINDER = 3
    """Radius 1 about the y axis, with caps."""
    SPHERE = 4
    DOME = 5
    """The unit ball above the plane y = form."""
    CONE = 6
    """Radius 1 at y = 1, form at y = -1, with caps."""
    WEDGE = 7
    """A prism along z: base from x = -1 to 1 at y = 1, ridge at x = form, y = -1."""
    CRYSTAL = 8
    """An octahedron."""
    CAPSULE = 9
    """Radius 1 about the y axis, with rounded ends of height form (0..1)."""


SURROUNDINGS = (Kind.SHELL, Kind.TERRAIN)


def span(kind: Kind, origin: Vector, direction: Vector, form: Tensor) -> Span:
    """Computes where rays enter and leave a solid, as multiples of their direction.

    Only a hit has enter <= leave; a miss has enter > leave, or NaN for both.

    Args:
        kind: any kind; a shell is entered from inside; rays never leave a shell or terrain.
        origin: origins of the rays, in the solid's frame.
        direction: directions of the rays in that frame, of any length above 0.
        form: shape parameter of the solid.
    """
    return _SOLIDS[kind][0](origin, direction, form)


def normal(kind: Kind, point: Vector, form: Tensor) -> Vector:
    """Computes outward normals, not of unit length, at points on a solid's surface, in its frame.

    Args:
        kind: any kind; the normals of a shell point inwards.
        point: points on the surface, up to rounding.
        form: shape parameter of the solid.
    """
    return _SOLIDS[kind][1](point, form)


def shell_face(inwards: Vector) -> Tensor:
    """Returns the face of a shell from its `normal`: 0..5 in the order -x, +x, -y, +y, -z, +z."""
    x, y, z = inwards
    return (2 * y.abs() + 4 * z.abs() + (x + y + z < 0)).to(torch.int64)


def _dot(a: Vector, b: Vector) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _inverse(value: Tensor) -> Tensor:
    """Returns 1 / value, finite also at 0; the constant added is lost to rounding elsewhere."""
    return 1 / (value + _TINY)


def _meet(*spans: Span) -> Span:
    enter, leave = spans[0]
    for other in spans[1:]:
        enter, leave = torch.maximum(enter, other[0]), torch.minimum(leave, other[1])
    return enter, leave


def _slab(origin: Tensor, direction: Tensor, half: Tensor | float = 1.0) -> Span:
    inverse = _inverse(direction)
    middle, reach = -origin * inverse, half * inverse.abs()
    return middle - reach, middle + reach


def _below(value: Tensor, slope: Tensor) -> Span:
    """Returns the interval of t with value + t * slope <= 0."""
    inverse = _inverse(slope)
    crossing, leaving = -value * inverse, inverse > 0
    return torch.where(leaving, -torch.inf, crossing), torch.where(leaving, crossing, torch.inf)


def _ball(origin: Vector, direction: Vector) -> Span:
    """Intersects the unit ball, from the ray's point nearest to the centre: precise from far away too."""
    inverse = 1 / _dot(direction, direction)
    nearest = -_dot(origin, direction) * inverse
    x, y, z = (start + nearest * step for start, step in zip(origin, direction, strict=True))
    return _around(nearest, 1 - (x * x + y * y + z * z), inverse)


def _pipe(origin: Vector, direction: Vector) -> Span:
    """Intersects the infinite cylinder of radius 1 about the y axis."""
    inverse = 1 / (direction[0] * direction[0] + direction[2] * direction[2]).clamp_min(_TINY)
    nearest = -(origin[0] * direction[0] + origin[2] * direction[2]) * inverse
    x, z = origin[0] + nearest * direction[0], origin[2] + nearest * direction[2]
    return _around(nearest, 1 - (x * x + z * z), inverse)


def _around(middle: Tensor, square: Tensor, inverse: Tensor) -> Span:
    # The root of a negative number, where the ray misses, is NaN and stays so.
    half = root(square * inverse)
    return middle - half, middle + half


def _box_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    return _meet(*(_slab(start, step) for start, step in zip(origin, direction, strict=True)))


def _shell_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    leave = _box_span(origin, direction, form)[1]
    return leave, torch.full_like(leave, torch.inf)


def _box_normal(point: Vector, form: Tensor) -> Vector:
    x, y, z = point
    a, b, c = x.abs(), y.abs(), z.abs()
    on_x = a >= torch.maximum(b, c)
    on_y = b >= c
    return (
        torch.where(on_x, x.sign(), 0.0),
        torch.where(on_y & ~on_x, y.sign(), 0.0),
        torch.where(on_x | on_y, 0.0, z.sign()),
    )


def _shell_normal(point: Vector, form: Tensor) -> Vector:
    x, y, z = _box_normal(point, form)
    return -x, -y, -z


def _terrain_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    enter = -origin[1] * _inverse(direction[1])
    return torch.where(direction[1] > _TINY, enter, torch.inf), torch.full_like(enter, torch.inf)


def _terrain_normal(point: Vector, form: Tensor) -> Vector:
    zero = torch.zeros_like(point[0])
    return zero, zero - 1, zero


def _cylinder_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    return _meet(_pipe(origin, direction), _slab(origin[1], direction[1]))


def _cylinder_normal(point: Vector, form: Tensor) -> Vector:
    x, y, z = point
    cap = y * y > x * x + z * z
    return torch.where(cap, 0.0, x), torch.where(cap, y.sign(), 0.0), torch.where(cap, 0.0, z)


def _dome_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    return _meet(_ball(origin, direction), _below(origin[1] - form, direction[1]))


def _dome_normal(point: Vector, form: Tensor) -> Vector:
    x, y, z = point
    cut = form - y < 1 - root(x * x + y * y + z * z)
    return torch.where(cut, 0.0, x), torch.where(cut, 1.0, y), torch.where(cut, 0.0, z)


def _cone_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    middle, growth = (1 + form) / 2, (1 - form) / 2
    nearest = -_dot(origin, direction) / _dot(direction, direction)
    x, y, z = (start + nearest * step for start, step in zip(origin, direction, strict=True))
    radius, widening = middle + growth * y, growth * direction[1]
    # The side: square * t^2 + 2 * half * t + rest = 0.
    square = direction[0] * direction[0] + direction[2] * direction[2] - widening * widening
    half = x * direction[0] + z * direction[2] - radius * widening
    rest = x * x + z * z - radius * radius
    apart, inverse = root(half * half - square * rest), _inverse(square)
    one, other = (-half - apart) * inverse, (-half + apart) * inverse
    low, high = torch.minimum(one, other), torch.maximum(one, other)
    # A ray steeper than the side crosses it once: downwards it enters and stays, upwards it leaves.
    steep, down = square < 0, direction[1] > 0
    enter = torch.where(steep, torch.where(down, high, -torch.inf), low)
    leave = torch.where(steep, torch.where(down, torch.inf, low), high)
    return _meet((enter + nearest, leave + nearest), _slab(origin[1], direction[1]))


def _cone_normal(point: Vector, form: Tensor) -> Vector:
    x, y, z = point
    growth = (1 - form) / 2
    out = root(x * x + z * z)
    cap = 1 - y.abs() < (1 + form) / 2 + growth * y - out
    return torch.where(cap, 0.0, x), torch.where(cap, y.sign(), -growth * out), torch.where(cap, 0.0, z)


def _wedge_sides(form: Tensor) -> tuple[tuple[float, Tensor, Tensor], ...]:
    """Returns both slopes as (x, y, limit) of the half-planes x * px + y * py <= limit."""
    return (2.0, form - 1, 1 + form), (-2.0, -1 - form, 1 - form)


def _wedge_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    slopes = (
        _below(x * origin[0] + y * origin[1] - limit, x * direction[0] + y * direction[1])
        for x, y, limit in _wedge_sides(form)
    )
    return _meet(_slab(origin[1], direction[1]), _slab(origin[2], direction[2]), *slopes)


def _wedge_normal(point: Vector, form: Tensor) -> Vector:
    x, y, z = point
    sides = [((limit - a * x - b * y) / root(a * a + b * b), a, b) for a, b, limit in _wedge_sides(form)]
    (right, right_x, right_y), (left, left_x, left_y) = sides
    base, end = 1 - y, 1 - z.abs()
    slope, flat = torch.minimum(right, left), torch.minimum(base, end)
    on_slope, on_right, on_base = slope < flat, right < left, base < end
    nx = torch.where(on_right, right_x, left_x)
    ny = torch.where(on_right, right_y, left_y)
    return (
        torch.where(on_slope, nx, 0.0),
        torch.where(on_slope, ny, on_base.to(x.dtype)),
        torch.where(on_slope | on_base, 0.0, z.sign()),
    )


def _crystal_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    def along(vector: Vector, y: int, z: int) -> Tensor:
        return vector[0] + y * vector[1] + z * vector[2]

    return _meet(*(_slab(along(origin, y, z), along(direction, y, z)) for y in (1, -1) for z in (1, -1)))


def _crystal_normal(point: Vector, form: Tensor) -> Vector:
    # Not sign(), which is 0 on an edge, where a point still needs a normal.
    x, y, z = (1 - 2 * (each < 0).to(each.dtype) for each in point)
    return x, y, z


def _capsule_span(origin: Vector, direction: Vector, form: Tensor) -> Span:
    straight = 1 - form
    enter, leave = _meet(_pipe(origin, direction), _slab(origin[1], direction[1], straight))
    hit = enter <= leave
    enter, leave = torch.where(hit, enter, torch.inf), torch.where(hit, leave, -torch.inf)
    for end in (-straight, straight):
        rounded = _ball(
            (origin[0], (origin[1] - end) / form, origin[2]),
            (direction[0], direction[1] / form, direction[2]),
        )
        hit = rounded[0] <= rounded[1]
        enter = torch.minimum(enter, torch.where(hit, rounded[0], torch.inf))
        leave = torch.maximum(leave, torch.where(hit, rounded[1], -torch.inf))
    return enter, leave


def _capsule_normal(point: Vector, form: Tensor) -> Vector:
    x, y, z = point
    beyond = (y.abs() - (1 - form)).clamp_min(0) * y.sign()
    return x, beyond / (form * form), z


_SOLIDS: dict[Kind, tuple[SpanFunction, NormalFunction]] = {
    Kind.SHELL: (_shell_span, _shell_normal),
    Kind.TERRAIN: (_terrain_span, _terrain_normal),
    Kind.BOX: (_box_span, _box_normal),
    Kind.CYLINDER: (_cylinder_span, _cylinder_normal),
    Kind.SPHERE: (lambda origin, direction, _: _ball(origin, direction), lambda point, _: point),
    Kind.DOME: (_dome_span, _dome_normal),
    Kind.CONE: (_cone_span, _cone_normal),
    Kind.WEDGE: (_wedge_span, _wedge_normal),
    Kind.CRYSTAL: (_crystal_span, _crystal_normal),
    Kind.CAPSULE: (_capsule_span, _capsule_normal),
}
