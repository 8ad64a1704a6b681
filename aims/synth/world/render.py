"""Renders scenes into geometry: `render` for scenes of a family, `render_scenes` for scenes made by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aims.core.errors import InputError, unknown_name
from aims.synth.exact import root_
from aims.synth.world import rooms, wilds
from aims.synth.world._cast import cast, light_share
from aims.synth.world._tables import Tables, tabulate
from aims.synth.world.geometry import Geometry, pixel_rays, scaled_intrinsics
from aims.synth.world.random import scene_keys
from aims.synth.world.scene import Family, SceneSpec
from aims.synth.world.solids import Kind, Vector, normal, shell_face

#: Every family of scenes by name.
FAMILIES: dict[str, Family] = {"rooms": rooms.FAMILY, "wilds": wilds.FAMILY}

_MIN_SIDE, _MOST_PIXELS = 8, 2**22
# Scenes at a time: more would leave a core's cache, fewer would pay more for calling than for computing.
_AT_ONCE = {"cpu": 16, "cuda": 256}
_AXES = range(3)


def render(
    family: str, seed: int, scenes: Sequence[int], size: tuple[int, int], device: torch.device | str = "cpu"
) -> Geometry:
    """Renders scenes of a family. Scene k of a seed is the same in whatever batch it is.

    Args:
        family: a name in `FAMILIES`.
        seed: at least 0; another seed gives other scenes.
        scenes: numbers of the scenes, at least 0; at least one.
        size: (height, width) in pixels, 8 to 2048 each.
        device: where to compute.

    Raises:
        InputError: no such family; no scene; a negative number; a size out of range.
    """
    if family not in FAMILIES:
        raise unknown_name("family of scenes", family, FAMILIES)
    if seed < 0 or any(number < 0 for number in scenes):
        raise InputError(f"seed {seed}, scenes {list(scenes)}: give numbers of at least 0")
    generators = [np.random.default_rng((seed, number, FAMILIES[family].number)) for number in scenes]
    seeds = [int(rng.integers(2**62)) for rng in generators]
    specs = [FAMILIES[family].build(rng) for rng in generators]
    return render_scenes(family, specs, seeds, size, device)


def render_scenes(
    family: str,
    specs: Sequence[SceneSpec],
    seeds: Sequence[int],
    size: tuple[int, int],
    device: torch.device | str = "cpu",
) -> Geometry:
    """Renders scenes that were made by hand.

    Args:
        family: whose materials, textures and surroundings they have.
        specs: the scenes, at least one.
        seeds: one number for each, for textures and the noise of sensors.
        size: (height, width) in pixels, 8 to 2048 each.
        device: where to compute.

    Raises:
        InputError: no scene, or a size out of range.
    """
    if not specs:
        raise InputError("no scenes to render; name at least one")
    if min(size) < _MIN_SIDE or max(size) ** 2 > _MOST_PIXELS:
        most = math.isqrt(_MOST_PIXELS)
        raise InputError(f"size is {size[0]} x {size[1]}; give {_MIN_SIDE} to {most} pixels a side")
    place = torch.device(device)
    step = _AT_ONCE.get(place.type, len(specs))
    parts = [
        _render(family, specs[first : first + step], seeds[first : first + step], size, place)
        for first in range(0, len(specs), step)
    ]
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


def _render(
    family: str, specs: Sequence[SceneSpec], seeds: Sequence[int], size: tuple[int, int], device: torch.device
) -> Geometry:
    scenes, intrinsics = len(specs), scaled_intrinsics(size)
    tables = tabulate(specs, intrinsics, size, device)
    numbers = torch.tensor(seeds, dtype=torch.int64, device=device)
    depth, solid = cast(tables, scenes)
    x, y = (each.flatten().repeat(scenes) for each in pixel_rays(intrinsics, size, device))
    points = (x * depth, y * depth, depth)
    solids = tables.solids.index_select(1, solid)
    local = _into_solids(points, solids)
    normals, surface = _normals(local, points, solids)
    looks = tables.surfaces.index_select(1, surface)
    share = _texture(FAMILIES[family], numbers, local, solids, looks)
    albedo = [looks[6 + row] + share * (looks[9 + row] - looks[6 + row]) for row in _AXES]
    nir = looks[12] + share * (looks[13] - looks[12])
    lit = _lit(tables, points, normals, scenes)
    air = torch.tensor([spec.air_k for spec in specs], device=device)
    picture = (scenes, *size)

    def vectors(values: Sequence[Tensor]) -> Tensor:
        # By planes in memory: sensors work on x, y, z or red, green, blue at a time.
        return torch.stack(tuple(values)).view(3, *picture).movedim(0, -1)

    def lights(name: str) -> Tensor:
        return torch.tensor([getattr(spec.light, name) for spec in specs], device=device)

    return Geometry(
        family=family,
        seeds=numbers,
        intrinsics=intrinsics,
        depth_m=depth.view(picture),
        points=vectors(points),
        normals=vectors(normals),
        instances=_dense(looks[2].view(picture)),
        classes=looks[1].view(picture).to(torch.int32),
        materials=looks[0].view(picture).to(torch.int64),
        albedo_rgb=vectors(albedo),
        albedo_nir=nir.view(picture),
        temperature_k=air[:, None, None] + looks[14].view(picture),
        lit=lit.view(picture),
        light_direction=tables.light_direction,
        light_rgb=lights("rgb"),
        ambient_rgb=lights("ambient_rgb"),
        light_nir=lights("nir"),
        ambient_nir=lights("ambient_nir"),
        air_k=air,
        down=tables.down,
    )


def _lit(tables: Tables, points: Vector, normals: Vector, scenes: int) -> Tensor:
    """The share of the main light; none on what faces away from it."""
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


def _normals(local: Vector, points: Vector, solids: Tensor) -> tuple[Vector, Tensor]:
    """Unit normals in the camera's frame, towards it, and the surface of each pixel."""
    own = [torch.empty_like(axis) for axis in local]
    surface = solids[17].to(torch.int64)
    for kind, which in _groups(solids[16]):
        x, y, z = (each.index_select(0, which) for each in local)
        here = normal(Kind(kind), (x, y, z), solids[15].index_select(0, which))
        for axis in _AXES:
            own[axis].scatter_(0, which, here[axis])
        if kind == Kind.SHELL:
            surface.scatter_add_(0, which, shell_face(here))
    # Normals turn with the transpose of the map into the solid's frame.
    nx, ny, nz = (
        own[0] * solids[axis] + own[1] * solids[4 + axis] + own[2] * solids[8 + axis] for axis in _AXES
    )
    away = nx * points[0] + ny * points[1] + nz * points[2] > 0
    seen = points[2] > 0
    length = root_(nx * nx + ny * ny + nz * nz).clamp_min_(1e-12)
    scale = torch.where(away, -1.0, seen.to(torch.float32)) / length
    return (nx * scale, ny * scale, nz * scale), torch.where(seen, surface, 0)


def _texture(family: Family, seeds: Tensor, local: Vector, solids: Tensor, looks: Tensor) -> Tensor:
    """The share of the second colour in every pixel."""
    keys = scene_keys(seeds, family.purpose)[:, None].expand(-1, len(local[0]) // len(seeds)).reshape(-1)
    places = [each * solids[12 + axis] / looks[4] + looks[5] for axis, each in enumerate(local)]
    share = torch.zeros_like(places[0])
    textures = tuple(family.textures.values())
    for index, which in _groups(looks[3]):
        texture = textures[index]
        if texture is not None:
            x, y, z = (each.index_select(0, which) for each in places)
            share.scatter_(0, which, texture(keys.index_select(0, which), x, y, z))
    return share


def _groups(labels: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each label that there is (0..255), and the places in which it stands, in order."""
    small = labels.to(torch.uint8)
    # NumPy sorts bytes by counting: once that takes a quarter of the time of a look for each label.
    order = (
        torch.from_numpy(np.argsort(small.numpy(), kind="stable"))
        if small.device.type == "cpu"
        else torch.argsort(small, stable=True)
    )
    places = torch.split(order, torch.bincount(small).tolist())
    return ((label, which) for label, which in enumerate(places) if len(which))


def _dense(instances: Tensor) -> Tensor:
    """Numbers the visible instances of each scene 1..n, in the order of their first numbers."""
    scenes = len(instances)
    flat = instances.view(scenes, -1).to(torch.int64)
    there = torch.zeros(scenes, int(flat.max()) + 1, dtype=torch.int32, device=flat.device)
    there.scatter_(1, flat, 1)
    there[:, 0] = 0
    numbers = there.cumsum(1).to(torch.int32) * there
    return numbers.gather(1, flat).view(instances.shape)
