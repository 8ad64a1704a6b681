"""Pictures for pretraining: scenes by number, each used once, and photographs with region maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from aims.pretrain.packing import Packed
from aims.pretrain.photographs import PhotographStore, Shapes
from aims.pretrain.regions import connected_regions
from aims.synth.sensors import rgb
from aims.synth.world.geometry import Geometry
from aims.synth.world.render import Tables, render, render_tables, scene_tables

FAMILY = "wilds"

# Third number of the generators of photographs, where scenes have the number of their family.
_PHOTOGRAPHS = 1_000


class Pictures(NamedTuple):
    """A batch of pictures with their regions.

    Attributes:
        images: red, green, blue.
        regions: 1..n in each picture, objects and background.
        seeds: one number per picture, for what is drawn on it.
    """

    images: UInt8[Tensor, "batch size size 3"]
    regions: Int[Tensor, "batch size size"]
    seeds: Int[Tensor, " batch"]


def picture_scenes(
    family: str, seed: int, scenes: Iterable[int], size: int, device: torch.device | str = "cpu"
) -> tuple[Pictures, Geometry]:
    """Renders scenes as the colour camera sees them; the seeds are those of the scenes."""
    geometry = render(family, seed, list(scenes), (size, size), device)
    pictures = Pictures(rgb.sense(geometry), surface_regions(geometry), geometry.seeds)
    return pictures, geometry


def surface_regions(geometry: Geometry) -> Int[Tensor, "batch height width"]:
    """Regions that cover the whole picture: what is seen of objects and of background surfaces, in one piece.

    The background is told apart by its material: ground, hills of other matter and the sky are regions of
    their own, as people draw them in photographs. An object that something in front cuts in two is two
    regions, as in every converted dataset. Numbers are dense, 1..n in each scene.
    """
    return connected_regions(_surfaces(geometry))


def _surfaces(geometry: Geometry) -> Int[Tensor, "batch height width"]:
    """A number above 0 for every object and every material of the background."""
    instances, materials = geometry.instances.to(torch.int32), geometry.materials.to(torch.int32)
    return torch.where(instances > 0, instances, instances.amax() + 1 + materials)


@dataclass(frozen=True)
class Draws:
    """The random choices and tables from which the pictures of a step are made.

    Attributes:
        size: side of the pictures.
        scenes: tables of the scenes, which come first.
        crops: of photographs, as `Shapes.draw` gives them.
        seeds: of the photographs.
    """

    size: int
    scenes: list[Tables]
    crops: Int[Tensor, "crops 5"]
    seeds: Int[Tensor, " crops"]


def make_pictures(draws: Draws, photographs: PhotographStore | None) -> Pictures:
    """Renders, crops and finds regions, on the device where the draws are."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    if draws.scenes:
        geometry = render_tables(draws.scenes, draws.seeds.device)
        parts.append((rgb.sense(geometry), _surfaces(geometry), geometry.seeds))
    if photographs is not None and len(draws.crops):
        images, regions = photographs.crop(draws.crops, draws.size)
        parts.append((images, regions, draws.seeds))
    images, surfaces, seeds = (torch.cat(part) for part in zip(*parts, strict=True))
    # Of photographs, cut regions may have fallen into pieces; a click means the piece it lies on.
    return Pictures(images, connected_regions(surfaces), seeds)


@dataclass(frozen=True)
class PretrainingSet(TorchDataset[Packed[Draws]]):
    """The draws of each step. Pictures are numbered through, so that a step depends on its number alone.

    Attributes:
        seed: of the scenes and of all choices.
        size: side of the pictures.
        batch_size: pictures of a step.
        at_once: scenes that are rendered together.
        photographs: the shapes of those that are mixed in; None for scenes alone.
        share: how many of the pictures are photographs, 0..1.
    """

    seed: int
    size: int
    batch_size: int
    at_once: int = 16
    photographs: Shapes | None = None
    share: float = 0.0

    def __getitem__(self, step: int) -> Packed[Draws]:
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        scenes, crops, seeds = list(numbers), [], []
        if self.photographs is not None:
            generators = {k: np.random.default_rng((self.seed, k, _PHOTOGRAPHS)) for k in numbers}
            scenes = [k for k in numbers if generators[k].random() >= self.share]
            drawn = [generators[k] for k in numbers if k not in scenes]
            crops = [self.photographs.draw(rng) for rng in drawn]
            seeds = [int(rng.integers(2**62)) for rng in drawn]
        size = (self.size, self.size)
        tables = scene_tables(FAMILY, self.seed, scenes, size, self.at_once) if scenes else []
        draws = Draws(
            self.size,
            tables,
            torch.tensor(crops, dtype=torch.int64).view(-1, 5),
            torch.tensor(seeds, dtype=torch.int64),
        )
        return Packed.of(draws)


def normalize_rgb(images: UInt8[Tensor, "batch size size 3"]) -> Float[Tensor, "batch 3 size size"]:
    """Normalises pictures with the constants of SAM's own preprocessing (ImageNet's mean and deviation)."""
    mean, std = _normalisation(images.device)
    return ((images.to(torch.float32) - mean) / std).permute(0, 3, 1, 2).contiguous()


@lru_cache(maxsize=4)
def _normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    # Kept, as bringing numbers to a GPU waits for it.
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    return torch.tensor(mean, device=device), torch.tensor(std, device=device)
