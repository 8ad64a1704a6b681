"""The per-pixel geometry of a batch of scenes as a pinhole camera sees it, the input of all sensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aims.synth.exact import root_
from aims.synth.world.materials import material_table

#: Focal lengths and principal point of NYUv2's colour camera at 640 x 480 pixels, as (fx, fy, cx, cy); from
#: the toolbox of Silberman et al. (ECCV 2012), which counts pixels from 1. Here they count from 0.
NYUV2_INTRINSICS = (518.85790117450188, 519.46961112127485, 324.58244941119034, 252.73616633400465)
_NYUV2_SIZE = (480, 640)

Intrinsics = tuple[float, float, float, float]
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Geometry, materials and light of a batch of scenes, per pixel.

    The frame is the camera's: x right, y down, z forward, in metres. A pixel of the sky has depth, points,
    normals, instance, class and material 0. In tensors from `render` each component of vectors and colours is
    contiguous.

    Attributes:
        family: "rooms" or "wilds"; it decides the material table.
        seeds: one number per scene, from which sensors draw their noise.
        intrinsics: (fx, fy, cx, cy) in pixels.
        depth_m: z of the visible point.
        points: the visible point.
        normals: unit normal of its surface, towards the camera.
        instances: 0 = background, 1..n dense within each scene.
        classes: 0 = background, else 1 + the index in the family's class names.
        materials: row of the material table.
        albedo_rgb: textured reflectance, 0..1.
        albedo_nir: textured reflectance in the near infrared, 0..1.
        temperature_k: temperature of the surface.
        lit: share of the main light that arrives, 0 in full shadow; the cosine to the light is not included.
        light_direction: unit vector from every surface towards the main light.
        light_rgb: radiance of a white matt surface that faces the main light (irradiance over pi).
        ambient_rgb: radiance of a white, matt, upright surface in the ambient light.
        light_nir: light_rgb of the near infrared.
        ambient_nir: ambient_rgb of the near infrared.
        air_k: temperature of the air.
        down: unit vector of gravity.
        kept: results that sensors share (`kept_with_geometry`), by name of the function.
    """

    family: str
    seeds: Int[Tensor, " batch"]
    intrinsics: Intrinsics
    depth_m: Float[Tensor, "batch height width"]
    points: Float[Tensor, "batch height width 3"]
    normals: Float[Tensor, "batch height width 3"]
    instances: Int[Tensor, "batch height width"]
    classes: Int[Tensor, "batch height width"]
    materials: Int[Tensor, "batch height width"]
    albedo_rgb: Float[Tensor, "batch height width 3"]
    albedo_nir: Float[Tensor, "batch height width"]
    temperature_k: Float[Tensor, "batch height width"]
    lit: Float[Tensor, "batch height width"]
    light_direction: Float[Tensor, "batch 3"]
    light_rgb: Float[Tensor, "batch 3"]
    ambient_rgb: Float[Tensor, "batch 3"]
    light_nir: Float[Tensor, " batch"]
    ambient_nir: Float[Tensor, " batch"]
    air_k: Float[Tensor, " batch"]
    down: Float[Tensor, "batch 3"]
    kept: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.depth_m.device

    def to(self, device: torch.device | str) -> Geometry:
        """Copies the geometry to a device; kept results are dropped."""
        return moved(self, device)

    def view_directions(self) -> Float[Tensor, "batch height width 3"]:
        """Returns the unit vectors from visible points towards the camera; defined for the sky as well."""
        batch, height, width = self.depth_m.shape
        x, y = pixel_rays(self.intrinsics, (height, width), self.device)
        length = root_(x * x + y * y + 1)
        planes = torch.stack([-x / length, -y / length, -1 / length])
        return planes.movedim(0, -1).expand(batch, -1, -1, -1)


def moved(value: _Value, device: torch.device | str) -> _Value:
    """Moves a tensor, or all tensors of a dataclass, to a device; returns any other value unchanged."""
    if isinstance(value, Tensor):
        return cast("_Value", value.to(device))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    parts = {each.name: moved(getattr(value, each.name), device) for each in fields(value) if each.init}
    return replace(value, **parts)


def kept_with_geometry(compute: Callable[[Geometry], _Value]) -> Callable[[Geometry], _Value]:
    """Decorator that caches a function's result in the geometry with which it is called.

    Callers share the result and must not change it.
    """
    name = f"{compute.__module__}.{compute.__qualname__}"

    @wraps(compute)
    def computed(geometry: Geometry) -> _Value:
        if name not in geometry.kept:
            geometry.kept[name] = compute(geometry)
        result: _Value = geometry.kept[name]
        return result

    return computed


def family_of(geometry: Geometry) -> Mapping[str, Tensor]:
    """The material table of the geometry's family, on its device."""
    return material_table(geometry.family, geometry.device)


def scaled_intrinsics(size: tuple[int, int]) -> Intrinsics:
    """Scales NYUv2's intrinsics to another resolution of the whole image, each axis by its own factor.

    Args:
        size: (height, width) in pixels.

    Returns:
        (fx, fy, cx, cy) in pixels.
    """
    fx, fy, cx, cy = NYUV2_INTRINSICS
    down, across = size[0] / _NYUV2_SIZE[0], size[1] / _NYUV2_SIZE[1]
    # Scaling maps pixel edges onto pixel edges; the first edge lies at -0.5, as centres count from 0.
    return fx * across, fy * down, (cx + 0.5) * across - 0.5, (cy + 0.5) * down - 0.5


def pixel_rays(
    intrinsics: Intrinsics, size: tuple[int, int], device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
    """Returns x and y of the ray through each pixel's centre at z = 1, (height, width) each."""
    fx, fy, cx, cy = intrinsics
    columns = torch.arange(size[1], dtype=torch.float64, device=device)
    rows = torch.arange(size[0], dtype=torch.float64, device=device)
    x = ((columns - cx) * (1 / fx)).to(torch.float32)
    y = ((rows - cy) * (1 / fy)).to(torch.float32)
    return x.expand(size), y[:, None].expand(size)
