"""Scenes whose pictures can be worked out by hand: one plane, one material, one light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from aims.synth.sensors import _shading, rgb
from aims.synth.world.geometry import Geometry, scaled_intrinsics
from aims.synth.world.materials import NOTHING, Material, material_columns

SIZE = (24, 32)
_DISTANCE = 2.0


def row(**changes: Any) -> Material:
    """A matt, black body, with changes."""
    matt = {"name": "matt", "albedo_rgb": (0.5,) * 3, "albedo_nir": 0.5, "roughness": 1.0, "shine": 0.0}
    return Material(**{**matt, "emissivity": 1.0, **changes})


def use_materials(monkeypatch: pytest.MonkeyPatch, *rows: Material) -> None:
    """Gives the sensors a table of these rows, from row 1."""
    table = (NOTHING, *rows)
    monkeypatch.setattr(_shading, "family_of", lambda _: material_columns(table))


def radiance(geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Diffuse and specular light of the colour camera, (batch, height, width, 3)."""
    diffuse, specular = (torch.stack(each, dim=-1) for each in zip(*rgb.channels(geometry), strict=True))
    return diffuse, specular


def plane(
    size: tuple[int, int] = SIZE,
    *,
    normal: Sequence[float] = (0, 0, -1),
    seeds: Sequence[int] = (5,),
    **changes: Any,
) -> Geometry:
    """A plane of material 1 through (0, 0, 2 m), a different number in every channel of light and surface.

    Args:
        size: (height, width).
        normal: unit, towards the camera at every pixel.
        seeds: one scene each, otherwise alike.
        changes: tensors of `Geometry` (scenes alike: leave the batch out), or its family.
    """
    height, width = size
    fx, fy, cx, cy = scaled_intrinsics(size)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    rays = torch.stack([(columns - cx) / fx, (rows - cy) / fy, torch.ones(size)], dim=-1)
    facing = torch.tensor(normal, dtype=torch.float32)
    depth = _DISTANCE * facing[2] / (rays @ facing)
    values: dict[str, Tensor] = {
        "depth_m": depth,
        "points": rays * depth[..., None],
        "normals": facing.expand(*size, 3),
        "instances": torch.ones(size, dtype=torch.int32),
        "classes": torch.ones(size, dtype=torch.int32),
        "materials": torch.ones(size, dtype=torch.int64),
        "albedo_rgb": torch.tensor([0.2, 0.4, 0.6]).expand(*size, 3),
        "albedo_nir": torch.full(size, 0.7),
        "temperature_k": torch.full(size, 300.0),
        "lit": torch.ones(size),
        "light_direction": torch.tensor([0.0, 0.0, -1.0]),
        "light_rgb": torch.tensor([1.0, 0.9, 0.8]),
        "ambient_rgb": torch.tensor([0.3, 0.2, 0.1]),
        "light_nir": torch.tensor(0.85),
        "ambient_nir": torch.tensor(0.15),
        "air_k": torch.tensor(295.0),
        "down": torch.tensor([0.0, 1.0, 0.0]),
    }
    family = changes.pop("family", "rooms")
    batch = {name: torch.stack([changes.get(name, value)] * len(seeds)) for name, value in values.items()}
    assert changes.keys() <= values.keys()
    return Geometry(
        family=family, intrinsics=(fx, fy, cx, cy), seeds=torch.tensor(seeds, dtype=torch.int64), **batch
    )


def sky(size: tuple[int, int] = SIZE, **changes: Any) -> Geometry:
    """The same camera and light with nothing in sight."""
    nothing = {name: torch.zeros(size) for name in ("depth_m", "albedo_nir", "temperature_k", "lit")} | {
        name: torch.zeros(*size, 3) for name in ("points", "normals", "albedo_rgb")
    }
    maps = {name: torch.zeros(size, dtype=torch.int32) for name in ("instances", "classes")}
    return plane(size, **nothing, **maps, materials=torch.zeros(size, dtype=torch.int64), **changes)
