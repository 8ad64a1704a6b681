"""What surfaces are made of: one table for each family of scenes, with no row in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from aims.core.errors import unknown_name

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """One kind of matter.

    Attributes:
        name: unique within both families.
        albedo_rgb: typical diffuse reflectance, 0..1; an instance may be of another colour.
        albedo_nir: the same in the near infrared (about 850 nm).
        roughness: 0 mirror-like .. 1 matt.
        shine: strength of the specular reflection, 0..1.
        refractive_index: real part of the index, visible light.
        extinction: imaginary part; 0 for dielectrics.
        transparent: glass. Nothing is seen through it: a dark tint and a strong reflection in RGB and near
            infrared, opaque in the thermal infrared.
        emissivity: thermal infrared (8-14 um), 0..1.
        temperature_offset_k: typical difference to the temperature of the air.
        depth_dropout: probability that a depth sensor of structured light gets no answer.
        vegetation: leaves: bright in the near infrared.
        painted: pigments hardly absorb in the near infrared, so all colours look alike there.
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


@dataclass(frozen=True, kw_only=True)
class Materials:
    """The rows of a family, one tensor a property; fields as in `Material`, row 0 is nothing (the sky)."""

    names: tuple[str, ...]
    albedo_rgb: Float[Tensor, "materials 3"]
    albedo_nir: Float[Tensor, " materials"]
    roughness: Float[Tensor, " materials"]
    shine: Float[Tensor, " materials"]
    refractive_index: Float[Tensor, " materials"]
    extinction: Float[Tensor, " materials"]
    transparent: Bool[Tensor, " materials"]
    emissivity: Float[Tensor, " materials"]
    temperature_offset_k: Float[Tensor, " materials"]
    depth_dropout: Float[Tensor, " materials"]
    vegetation: Bool[Tensor, " materials"]
    painted: Bool[Tensor, " materials"]


#: Row 0 of both tables.
NOTHING = Material(
    name="nothing", albedo_rgb=(0.0, 0.0, 0.0), albedo_nir=0.0, roughness=1.0, shine=0.0, emissivity=1.0
)


def _row(
    name: str,
    rgb: Colour,
    nir: float,
    surface: tuple[float, float],
    thermal: tuple[float, float],
    *,
    index: float = 1.5,
    extinction: float = 0.0,
    dropout: float = 0.0,
    transparent: bool = False,
    vegetation: bool = False,
    painted: bool = False,
) -> Material:
    """A row in short: surface is (roughness, shine), thermal is (emissivity, offset in kelvin)."""
    return Material(
        name=name,
        albedo_rgb=rgb,
        albedo_nir=nir,
        roughness=surface[0],
        shine=surface[1],
        refractive_index=index,
        extinction=extinction,
        transparent=transparent,
        emissivity=thermal[0],
        temperature_offset_k=thermal[1],
        depth_dropout=dropout,
        vegetation=vegetation,
        painted=painted,
    )


# Emissivities, refractive indices and near-infrared reflectances are typical textbook magnitudes, rounded;
# they set sensors apart from one another and claim no more.
ROOMS = (
    NOTHING,
    _row("plaster", (0.78, 0.76, 0.72), 0.74, (0.95, 0.02), (0.91, -0.5), painted=True),
    _row("parquet", (0.50, 0.33, 0.19), 0.62, (0.45, 0.18), (0.90, -0.8), index=1.52, dropout=0.02),
    _row("carpet", (0.42, 0.36, 0.38), 0.58, (1.00, 0.00), (0.95, -0.3), index=1.45),
    _row("wood", (0.48, 0.31, 0.17), 0.60, (0.55, 0.12), (0.89, 0.0), index=1.53),
    _row("paint", (0.60, 0.25, 0.22), 0.70, (0.35, 0.25), (0.93, 0.3), index=1.48, painted=True),
    _row("fabric", (0.35, 0.38, 0.50), 0.64, (0.98, 0.01), (0.94, 0.8), index=1.46),
    _row("leather", (0.22, 0.13, 0.09), 0.47, (0.40, 0.22), (0.96, 0.6), index=1.51, dropout=0.08),
    _row("plastic", (0.55, 0.55, 0.58), 0.56, (0.25, 0.40), (0.92, 0.5), index=1.49, dropout=0.04),
    _row("ceramic", (0.82, 0.80, 0.76), 0.77, (0.12, 0.50), (0.90, 0.2), index=1.60, dropout=0.05),
    _row(
        "steel",
        (0.42, 0.43, 0.45),
        0.48,
        (0.18, 0.80),
        (0.25, -0.2),
        index=2.50,
        extinction=3.40,
        dropout=0.30,
    ),
    _row(
        "glass",
        (0.07, 0.09, 0.09),
        0.09,
        (0.03, 0.90),
        (0.86, -3.0),
        index=1.517,
        dropout=0.85,
        transparent=True,
    ),
    _row("screen", (0.03, 0.03, 0.04), 0.05, (0.08, 0.60), (0.90, 9.0), index=1.55, dropout=0.60),
    _row("foliage", (0.13, 0.30, 0.09), 0.68, (0.60, 0.10), (0.97, -1.6), index=1.42, vegetation=True),
    _row("cardboard", (0.55, 0.41, 0.26), 0.66, (0.92, 0.02), (0.88, 0.1), index=1.47),
    _row("paper", (0.80, 0.79, 0.75), 0.79, (0.85, 0.04), (0.87, 0.0), index=1.44, painted=True),
    _row("lampshade", (0.85, 0.80, 0.66), 0.80, (0.88, 0.02), (0.89, 14.0), index=1.43),
    _row("enamel", (0.86, 0.86, 0.85), 0.76, (0.30, 0.30), (0.92, 22.0), index=1.58, painted=True),
    _row("rubber", (0.10, 0.10, 0.11), 0.12, (0.75, 0.08), (0.95, 0.4), index=1.54, dropout=0.20),
)

WILDS = (
    NOTHING,
    _row("soil", (0.30, 0.21, 0.14), 0.36, (0.99, 0.00), (0.925, 3.0), index=1.38),
    _row("sand", (0.62, 0.52, 0.36), 0.65, (0.97, 0.01), (0.905, 6.0), index=1.54, dropout=0.01),
    _row("meadow", (0.20, 0.33, 0.10), 0.60, (0.93, 0.03), (0.975, -0.6), index=1.40, vegetation=True),
    _row("snow", (0.88, 0.90, 0.93), 0.72, (0.80, 0.06), (0.985, -5.0), index=1.31, dropout=0.10),
    _row("granite", (0.45, 0.43, 0.42), 0.46, (0.82, 0.07), (0.935, 4.0), index=1.56),
    _row("basalt", (0.14, 0.14, 0.15), 0.16, (0.78, 0.09), (0.955, 7.0), index=1.62, dropout=0.12),
    _row("limestone", (0.70, 0.66, 0.55), 0.71, (0.90, 0.03), (0.915, 2.0), index=1.59),
    _row("bark", (0.27, 0.19, 0.13), 0.43, (0.96, 0.01), (0.945, 0.7), index=1.41),
    _row("moss", (0.17, 0.27, 0.08), 0.55, (0.94, 0.02), (0.965, -1.2), index=1.36, vegetation=True),
    _row("petal", (0.75, 0.30, 0.45), 0.73, (0.70, 0.08), (0.970, -0.9), index=1.37, vegetation=True),
    _row("fungus", (0.72, 0.60, 0.45), 0.63, (0.65, 0.11), (0.960, -1.0), index=1.39),
    _row("chitin", (0.20, 0.35, 0.30), 0.33, (0.22, 0.45), (0.940, 1.5), index=1.57, dropout=0.07),
    _row("lacquer", (0.65, 0.20, 0.15), 0.68, (0.15, 0.48), (0.930, 2.5), index=1.50, painted=True),
    _row("clay", (0.60, 0.36, 0.26), 0.57, (0.89, 0.03), (0.920, 3.5), index=1.55),
    _row("chalk", (0.84, 0.83, 0.80), 0.82, (0.98, 0.00), (0.895, 1.0), index=1.63, painted=True),
    _row(
        "bronze",
        (0.40, 0.29, 0.14),
        0.50,
        (0.28, 0.70),
        (0.300, 5.0),
        index=1.18,
        extinction=2.20,
        dropout=0.25,
    ),
    _row("obsidian", (0.05, 0.05, 0.06), 0.07, (0.05, 0.75), (0.880, 8.0), index=1.485, dropout=0.50),
    _row("ice", (0.16, 0.21, 0.24), 0.13, (0.07, 0.65), (0.980, -7.0), index=1.309, dropout=0.45),
)

#: Family -> its rows.
MATERIALS: dict[str, tuple[Material, ...]] = {"rooms": ROOMS, "wilds": WILDS}


@lru_cache(maxsize=8)
def material_table(family: str, device: torch.device | str = "cpu") -> Materials:
    """The materials of a family as tensors.

    Args:
        family: "rooms" or "wilds".
        device: where the tensors shall be.

    Raises:
        InputError: no such family.
    """
    if family not in MATERIALS:
        raise unknown_name("family of scenes", family, MATERIALS)
    rows = MATERIALS[family]
    columns = {
        field.name: _column(rows, field.name, torch.device(device))
        for field in fields(Materials)
        if field.name != "names"
    }
    return Materials(names=tuple(row.name for row in rows), **columns)


def _column(rows: Sequence[Material], name: str, device: torch.device) -> Tensor:
    values = [getattr(row, name) for row in rows]
    kind = torch.bool if isinstance(values[0], bool) else torch.float32
    return torch.tensor(values, dtype=kind, device=device)
