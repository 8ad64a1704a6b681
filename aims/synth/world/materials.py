"""Material tables, one for each family of scenes; the families share no row but `NOTHING`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from aims.core.errors import unknown_name

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """One material.

    Attributes:
        name: unique within both families.
        albedo_rgb: typical diffuse reflectance, 0..1; an instance may be of another colour.
        albedo_nir: the same in the near infrared (about 850 nm).
        roughness: 0 mirror-like .. 1 matt.
        shine: strength of the specular reflection, 0..1.
        refractive_index: real part of the index, visible light.
        extinction: imaginary part; 0 for dielectrics.
        transparent: whether it is glass. It is rendered opaque: dark with strong reflections in RGB and near
            infrared.
        emissivity: thermal infrared (8-14 um), 0..1.
        temperature_offset_k: typical difference to the temperature of the air.
        depth_dropout: probability that a depth sensor of structured light gets no answer.
        vegetation: leaves: bright in the near infrared.
        painted: whether colours look alike in the near infrared, where pigments hardly absorb.
    """

    name: str
    albedo_rgb: Colour
    albedo_nir: float
    roughness: float
    shine: float
    refractive_index: float = 1.5
    extinction: float = 0.0
    transparent: bool = False
    emissivity: float
    temperature_offset_k: float = 0.0
    depth_dropout: float = 0.0
    vegetation: bool = False
    painted: bool = False


#: Row 0 of both tables, the material of the sky.
NOTHING = Material(
    name="nothing", albedo_rgb=(0.0, 0.0, 0.0), albedo_nir=0.0, roughness=1.0, shine=0.0, emissivity=1.0
)


def _load() -> dict[str, tuple[Material, ...]]:
    # Emissivities, refractive indices and near-infrared reflectances are typical textbook values, rounded;
    # they only have to make materials look different to different sensors.
    tables = {"rooms": [NOTHING], "wilds": [NOTHING]}
    with files("aims.synth.world").joinpath("materials.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            family, name = row.pop("family"), row.pop("name")
            flags = {key: row.pop(key) == "yes" for key in ("transparent", "vegetation", "painted")}
            numbers: dict[str, Any] = {key: float(value) for key, value in row.items()}
            colour = numbers.pop("red"), numbers.pop("green"), numbers.pop("blue")
            tables[family].append(Material(name=name, albedo_rgb=colour, **numbers, **flags))
    return {family: tuple(rows) for family, rows in tables.items()}


#: Family -> its rows, from `materials.csv`.
MATERIALS = _load()


@lru_cache(maxsize=8)
def material_table(family: str, device: torch.device | str = "cpu") -> Mapping[str, Tensor]:
    """The materials of a family as tensors.

    Args:
        family: "rooms" or "wilds".
        device: device of the tensors.

    Returns:
        One tensor for each property of `Material`: (materials,); (materials, 3) for `albedo_rgb`.

    Raises:
        InputError: the family is unknown.
    """
    if family not in MATERIALS:
        raise unknown_name("family of scenes", family, MATERIALS)
    return material_columns(MATERIALS[family], device)


def material_columns(rows: tuple[Material, ...], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Converts rows of materials to one tensor per property, see `material_table`."""
    names = [field.name for field in fields(Material) if field.name != "name"]
    return {name: torch.tensor([getattr(row, name) for row in rows], device=device) for name in names}
