"""Ray casting of a batch: the nearest solid of every pixel, and the share of the main light that arrives."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from aims.synth.world._tables import NEAR_M, Tables, View
from aims.synth.world.solids import Kind, Span, Vector, span

#: Ground farther than this counts as sky, in metres.
FAR_M = 80.0
# Points are moved off their surface by one pixel of the shadow map; they are in the shadow of a solid if they
# lie this many metres and half a pixel behind its middle.
_SHADOW_BIAS_M = 0.01
_INFINITY = 0x7F800000  # bits of float32 infinity


def cast(tables: Tables, scenes: int) -> tuple[Tensor, Tensor]:
    """Finds the solid nearest to the camera in every pixel.

    Args:
        tables: the scenes.
        scenes: number of scenes.

    Returns:
        Depth in metres (0 = sky) and number of the solid, each (scenes * height * width,).
    """
    view = tables.camera
    nearest = _surroundings(tables, scenes).flatten()
    for solid, pixel, (enter, leave) in _spans(view):
        enter = torch.where((enter <= leave) & (enter > NEAR_M), enter, torch.inf)
        nearest.scatter_reduce_(0, pixel, _key(enter, solid), "amin")
    depth = (nearest >> 32).to(torch.int32).view(torch.float32)
    return torch.where(depth == torch.inf, 0.0, depth), nearest & 0xFFFFFFFF


def light_share(tables: Tables, points: Vector, normals: Vector, scenes: int) -> Tensor:
    """Computes the share of the main light that reaches points, by shadow mapping.

    The map holds the middle of each solid along the ray rather than its face, so that faces do not shadow
    themselves. The comparisons with the four pixels around a point are interpolated, which makes the edge of
    a shadow as soft as a pixel is wide.

    Args:
        tables: the scenes.
        points: x, y and z in the camera's frame, (scenes * n,) each.
        normals: unit normals of their surfaces, in the same form.
        scenes: number of scenes.

    Returns:
        (scenes, n), 0 = full shadow, 1 = lit.
    """
    height, width = tables.light.size
    texel = tables.texel_m[:, None]
    x, y, z = (
        point.view(scenes, -1) + texel * off.view(scenes, -1)
        for point, off in zip(points, normals, strict=True)
    )
    bits = torch.full((scenes * height * width,), _INFINITY, dtype=torch.int32, device=x.device)
    for _, pixel, (enter, leave) in _spans(tables.light):
        halfway = torch.where(enter <= leave, (enter + leave) / 2, torch.inf)
        bits.scatter_reduce_(0, pixel, _bits(halfway), "amin")
    middle = bits.view(torch.float32)
    maps = tables.light_map.permute(1, 2, 0)[..., None]
    column, row, depth = (axis[0] * x + axis[1] * y + axis[2] * z + axis[3] for axis in maps)
    depth = depth - (_SHADOW_BIAS_M + texel / 2)
    column, row = column.clamp(0, width - 1.001), row.clamp(0, height - 1.001)
    left, top = column.floor(), row.floor()
    first = torch.arange(scenes, device=x.device)[:, None] * (height * width)
    corner = (top * width + left).to(torch.int64) + first
    lit = [
        (middle.index_select(0, (corner + step).flatten()).view_as(depth) > depth).to(torch.float32)
        for step in (0, 1, width, width + 1)
    ]
    across, down = column - left, row - top
    above = lit[0] + across * (lit[1] - lit[0])
    below = lit[2] + across * (lit[3] - lit[2])
    share: Tensor = above + down * (below - above)
    return share


def _surroundings(tables: Tables, scenes: int) -> Tensor:
    """Returns the keys of the surroundings in every pixel, (scenes, height * width)."""
    view = tables.camera
    height, width = view.size
    place = torch.arange(height * width, dtype=torch.float32, device=view.rays.device)
    row = ((place + 0.5) / width).floor()
    origin, direction, form = _rays(view, view.rays[:, :scenes, None], place - row * width, row)
    enter = span(Kind(tables.surroundings), origin, direction, form)[0]
    enter = torch.where((enter > NEAR_M) & (enter < FAR_M), enter, torch.inf)
    return _key(enter, torch.arange(scenes, device=enter.device)[:, None])


def _spans(view: View) -> Iterator[tuple[Tensor, Tensor, Span]]:
    """Yields, per kind, number of the solid, pixel of the batch and span of every pair of solid and pixel."""
    width = view.size[1]
    first_solid = 0
    for kind, count, pairs in view.groups:
        solids = slice(first_solid, first_solid + count)
        first_solid += count
        which = torch.arange(count, dtype=torch.int32, device=view.rays.device).repeat_interleave(
            view.areas[solids], output_size=pairs
        )
        picked = view.boxes[:, solids].index_select(1, which).view(torch.int32)
        left, top, box_width, first, solid, start = picked
        place = (torch.arange(pairs, dtype=torch.int32, device=which.device) - first).to(torch.float32)
        # 0.5 keeps the quotient away from integers, so that rounding cannot change the row (to 2^22 pixels).
        line = ((place + 0.5) / box_width).floor()
        column, row = place - line * box_width + left, line + top
        rays = view.rays.index_select(1, view.drawn[solids]).index_select(1, which)
        origin, direction, form = _rays(view, rays, column, row)
        pixel = start.to(torch.int64) + (row * width + column).to(torch.int32)
        yield solid, pixel, span(Kind(kind), origin, direction, form)


def _rays(view: View, rays: Tensor, column: Tensor, row: Tensor) -> tuple[Vector, Vector, Tensor]:
    """Returns origins and directions of the rays through pixels in each solid's frame, and its form."""
    x, y, z = rays[3:6] + rays[6:9] * column + rays[9:12] * row
    same, changing = (rays[0], rays[1], rays[2]), (x, y, z)
    return (changing, same, rays[12]) if view.parallel else (same, changing, rays[12])


def _key(enter: Tensor, solid: Tensor) -> Tensor:
    """Packs depth and number of the solid into one sortable integer.

    Positive floats order like their bits; the solid's number breaks ties independently of the batch.
    """
    return (_bits(enter).to(torch.int64) << 32) | solid


def _bits(values: Tensor) -> Tensor:
    return values.contiguous().view(torch.int32)
