"""Renders scenes of a family into geometry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aims.core.errors import InputError, unknown_name
from aims.synth.exact import root_
from aims.synth.world import rooms, wilds
from aims.synth.world._cast import cast, light_share
from aims.synth.world._tables import Tables as Tables
from aims.synth.world._tables import tabulate
from aims.synth.world.geometry import Geometry, moved, pixel_rays, scaled_intrinsics
from aims.synth.world.random import scene_keys
from aims.synth.world.scene import Family, SceneSpec
from aims.synth.world.solids import Kind, Vector, normal, shell_face

#: Every family of scenes by name.
FAMILIES: dict[str, Family] = {"rooms": rooms.FAMILY, "wilds": wilds.FAMILY}

_MIN_SIDE, _MOST_PIXELS = 8, 2**22
# Scenes per batch: more would not fit into a core's cache, fewer would be dominated by the cost of calls; on
# a GPU that is the cost of launching kernels.
_AT_ONCE = {"cpu": 16, "cuda": 1024}
_AXES = range(3)


def render(
    family: str, seed: int, scenes: Sequence[int], size: tuple[int, int], device: torch.device | str = "cpu"
) -> Geometry:
    """Renders scenes of a family; scene k of a seed does not depend on the batch.

    Args:
        family: a name in `FAMILIES`.
        seed: at least 0; another seed gives other scenes.
        scenes: numbers of the scenes, at least 0; there must be at least one.
        size: (height, width) in pixels, 8 to 2048 each.
        device: torch device that computes.

    Raises:
        InputError: the family is unknown, there is no scene, a number is negative, or the size is out of
            range.
    """
    return render_tables(scene_tables(family, seed, scenes, size, scenes_at_once(device)), device)


def scene_tables(
    family: str,
    seed: int,
    scenes: Sequence[int],
    size: tuple[int, int],
    at_once: int,
    build: Callable[[np.random.Generator], SceneSpec] | None = None,
) -> list[Tables]:
    """Builds scenes on the CPU and packs them into tables, from which `render_tables` renders.

    Args:
        family: a name in `FAMILIES`.
        seed: at least 0.
        scenes: numbers of the scenes, at least 0; there must be at least one.
        size: (height, width) in pixels, 8 to 2048 each.
        at_once: scenes per table; `scenes_at_once` gives the best number for a device.
        build: makes the scenes in place of the family's own function, e.g. that with other arguments.

    Raises:
        InputError: the family is unknown, there is no scene, a number is negative, or the size is out of
            range.
    """
    check_scenes(family, seed, scenes)
    if not scenes:
        raise InputError("no scenes to render; name at least one")
    if min(size) < _MIN_SIDE or max(size) ** 2 > _MOST_PIXELS:
        most = math.isqrt(_MOST_PIXELS)
        raise InputError(f"size is {size[0]} x {size[1]}; give {_MIN_SIDE} to {most} pixels a side")
    generators = [np.random.default_rng((seed, number, FAMILIES[family].number)) for number in scenes]
    seeds = [int(rng.integers(2**62)) for rng in generators]
    specs = [(build or FAMILIES[family].build)(rng) for rng in generators]
    return [
        tabulate(family, specs[part], seeds[part], scaled_intrinsics(size), size)
        for part in (slice(first, first + at_once) for first in range(0, len(specs), at_once))
    ]


def check_scenes(family: str, seed: int, scenes: Sequence[int]) -> None:
    """Raises InputError if the family is unknown, or a number is negative."""
    if family not in FAMILIES:
        raise unknown_name("family of scenes", family, FAMILIES)
    if seed < 0 or any(number < 0 for number in scenes):
        raise InputError(f"seed {seed}, scenes {list(scenes)}: give numbers of at least 0")


def scenes_at_once(device: torch.device | str) -> int:
    """Returns the batch size with which a device renders scenes of 128 x 128 pixels fastest."""
    return _AT_ONCE["cpu" if torch.device(device).type == "cpu" else "cuda"]


def render_tables(tables: Sequence[Tables], device: torch.device | str) -> Geometry:
    """Renders scenes from their tables, without synchronizing with a GPU.

    Args:
        tables: at least one table; all of one family and size.
        device: torch device that computes; the tables are moved to it.
    """
    parts = [_render(moved(each, device)) for each in tables]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: Sequence[Geometry]) -> Geometry:
    values: dict[str, Any] = {}
    for field in fields(Geometry):
        if not field.init:
            continue
        each = [getattr(part, field.name) for part in parts]
        values[field.name] = _stitched(each) if isinstance(each[0], Tensor) else each[0]
    return Geometry(**values)


def _stitched(parts: Sequence[Tensor]) -> Tensor:
    if parts[0].ndim < 4:
        return torch.cat(tuple(parts))
    return torch.cat([part.movedim(-1, 0) for part in parts], dim=1).movedim(0, -1)


def _render(tables: Tables) -> Geometry:
    scenes, size, device = tables.scenes, tables.camera.size, tables.solids.device
    depth, solid = cast(tables, scenes)
    x, y = (each.flatten().repeat(scenes) for each in pixel_rays(tables.intrinsics, size, device))
    points = (x * depth, y * depth, depth)
    solids = tables.solids.index_select(1, solid)
    local = _into_solids(points, solids)
    normals, surface = _normals(local, points, solids, tables.kind_pixels)
    looks = tables.surfaces.index_select(1, surface)
    share = _texture(tables, local, solids, looks)
    albedo = [looks[6 + row] + share * (looks[9 + row] - looks[6 + row]) for row in _AXES]
    nir = looks[12] + share * (looks[13] - looks[12])
    lit = _lit(tables, points, normals, scenes)
    picture = (scenes, *size)

    def vectors(values: Sequence[Tensor]) -> Tensor:
        # Components are contiguous in memory: sensors work on x, y, z or R, G, B one at a time.
        return torch.stack(tuple(values)).view(3, *picture).movedim(0, -1)

    return Geometry(
        family=tables.family,
        seeds=tables.seeds,
        intrinsics=tables.intrinsics,
        depth_m=depth.view(picture),
        points=vectors(points),
        normals=vectors(normals),
        instances=_dense(looks[2].view(picture), tables.instances),
        classes=looks[1].view(picture).to(torch.int32),
        materials=looks[0].view(picture).to(torch.int64),
        albedo_rgb=vectors(albedo),
        albedo_nir=nir.view(picture),
        temperature_k=tables.air_k[:, None, None] + looks[14].view(picture),
        lit=lit.view(picture),
        light_direction=tables.light_direction,
        light_rgb=tables.light_rgb,
        ambient_rgb=tables.ambient_rgb,
        light_nir=tables.light_nir,
        ambient_nir=tables.ambient_nir,
        air_k=tables.air_k,
        down=tables.down,
    )


def _lit(tables: Tables, points: Vector, normals: Vector, scenes: int) -> Tensor:
    """Computes the share of the main light of every pixel; 0 on surfaces that face away from it."""
    x, y, z = (axis.view(scenes, -1) for axis in normals)
    light = tables.light_direction[:, :, None]
    facing = light[:, 0] * x + light[:, 1] * y + light[:, 2] * z > 0
    return torch.where(facing, light_share(tables, points, normals, scenes), 0.0)


def _into_solids(points: Vector, solids: Tensor) -> Vector:
    x, y, z = (
        solids[4 * axis] * points[0]
        + solids[4 * axis + 1] * points[1]
        + solids[4 * axis + 2] * points[2]
        + solids[4 * axis + 3]
        for axis in _AXES
    )
    return x, y, z


def _normals(local: Vector, points: Vector, solids: Tensor, most: Mapping[int, int]) -> tuple[Vector, Tensor]:
    """Returns unit normals in the camera's frame, towards the camera, and each pixel's surface number."""
    own = [torch.empty_like(axis) for axis in local]
    surface = solids[17].to(torch.int64)
    for kind, which, inside in _groups(solids[16], most):
        x, y, z = (each.index_select(0, which) for each in local)
        here = normal(Kind(kind), (x, y, z), solids[15].index_select(0, which))
        for axis in _AXES:
            _put(own[axis], which, here[axis], inside)
        if kind == Kind.SHELL:
            _put(surface, which, surface.index_select(0, which) + shell_face(here), inside)
    # Normals transform with the transpose of the map into the solid's frame.
    nx, ny, nz = (
        own[0] * solids[axis] + own[1] * solids[4 + axis] + own[2] * solids[8 + axis] for axis in _AXES
    )
    away = nx * points[0] + ny * points[1] + nz * points[2] > 0
    seen = points[2] > 0
    length = root_(nx * nx + ny * ny + nz * nz).clamp_min_(1e-12)
    scale = torch.where(away, -1.0, seen.to(torch.float32)) / length
    return (nx * scale, ny * scale, nz * scale), torch.where(seen, surface, 0)


def _texture(tables: Tables, local: Vector, solids: Tensor, looks: Tensor) -> Tensor:
    """Evaluates the textures: the share of the second colour in every pixel."""
    family, pixels = FAMILIES[tables.family], len(local[0]) // tables.scenes
    keys = scene_keys(tables.seeds, family.purpose)[:, None].expand(-1, pixels).reshape(-1)
    places = [each * solids[12 + axis] / looks[4] + looks[5] for axis, each in enumerate(local)]
    share = torch.zeros_like(places[0])
    textures = tuple(family.textures.values())
    for index, which, inside in _groups(looks[3], tables.texture_pixels):
        texture = textures[index]
        if texture is not None:
            x, y, z = (each.index_select(0, which) for each in places)
            _put(share, which, texture(keys.index_select(0, which), x, y, z), inside)
    return share


_Groups = Iterator[tuple[int, Tensor, Tensor | None]]


def _groups(labels: Tensor, most: Mapping[int, int]) -> _Groups:
    """Yields each label with indices of its elements and a mask of those that really have it (None: all).

    Args:
        labels: (n,) values from 0 to 255.
        most: upper bound of the number of elements, by label.
    """
    small = labels.to(torch.uint8)
    return _counted_groups(small) if small.device.type == "cpu" else _bounded_groups(small, most)


def _counted_groups(labels: Tensor) -> _Groups:
    # NumPy sorts bytes by counting, which takes a quarter of the time of one comparison per label.
    order = torch.from_numpy(np.argsort(labels.numpy(), kind="stable"))
    places = torch.split(order, torch.bincount(labels).tolist())
    return ((label, which, None) for label, which in enumerate(places) if len(which))


def _bounded_groups(labels: Tensor, most: Mapping[int, int]) -> _Groups:
    """Takes the upper bound of elements per label and masks the rest; counting would wait for the GPU."""
    ordered, order = torch.sort(labels, stable=True)
    for label, count in most.items():
        first = torch.searchsorted(ordered, torch.full((1,), label, dtype=torch.uint8, device=labels.device))
        place = torch.arange(count, device=labels.device) + first
        which = order.index_select(0, place.clamp_max(len(order) - 1))
        yield label, which, labels.index_select(0, which) == label


def _put(target: Tensor, which: Tensor, values: Tensor, inside: Tensor | None) -> None:
    """Writes values to the given indices of `target`, except where `inside` is False."""
    kept = values if inside is None else torch.where(inside, values, target.index_select(0, which))
    target.scatter_(0, which, kept)


def _dense(instances: Tensor, most: int) -> Tensor:
    """Renumbers the visible instances of each scene 1..n, keeping their order."""
    scenes = len(instances)
    flat = instances.view(scenes, -1).to(torch.int64)
    there = torch.zeros(scenes, most + 1, dtype=torch.int32, device=flat.device)
    there.scatter_(1, flat, 1)
    there[:, 0] = 0
    numbers = there.cumsum(1).to(torch.int32) * there
    return numbers.gather(1, flat).view(instances.shape)
