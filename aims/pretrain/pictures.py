"""Images for pretraining: numbered scenes, each used once, and photographs with region maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from aims.pretrain.packing import Packed
from aims.pretrain.photographs import PhotographStore, Shapes
from aims.pretrain.regions import connected_regions
from aims.synth.sensors import rgb
from aims.synth.world import wilds
from aims.synth.world.geometry import Geometry
from aims.synth.world.render import Tables, render, render_tables, scene_tables

FAMILY = "wilds"

# Third element of the seeds of photographs; for scenes it is the number of their family.
_PHOTOGRAPHS = 1_000


class Pictures(NamedTuple):
    """A batch of images with their regions.

    Attributes:
        images: RGB images, 0..255.
        regions: regions 1..n of each image, both objects and background.
        seeds: one seed per image, for its random augmentation and clicks.
    """

    images: UInt8[Tensor, "batch size size 3"]
    regions: Int[Tensor, "batch size size"]
    seeds: Int[Tensor, " batch"]


def picture_scenes(
    family: str, seed: int, scenes: Iterable[int], size: int, device: torch.device | str = "cpu"
) -> tuple[Pictures, Geometry]:
    """Renders the RGB images and the geometry of scenes; `seeds` are those of the scenes."""
    geometry = render(family, seed, list(scenes), (size, size), device)
    pictures = Pictures(rgb.sense(geometry), surface_regions(geometry), geometry.seeds)
    return pictures, geometry


def surface_regions(geometry: Geometry) -> Int[Tensor, "batch height width"]:
    """Returns the connected visible regions of objects and background, which cover the whole image.

    The background is divided by material: ground, hills of another material and the sky are separate regions,
    as annotators draw them in photographs. An object that an occluder cuts in two is two regions, as in every
    converted dataset. Regions are numbered densely, 1..n in each scene.
    """
    return connected_regions(_surfaces(geometry))


def _surfaces(geometry: Geometry) -> Int[Tensor, "batch height width"]:
    """Returns a map with a distinct positive number for every object and every background material."""
    instances, materials = geometry.instances.to(torch.int32), geometry.materials.to(torch.int32)
    return torch.where(instances > 0, instances, instances.amax() + 1 + materials)


@dataclass(frozen=True)
class Draws:
    """The random choices and tables from which the images of a step are made.

    Attributes:
        size: side of the images in pixels.
        scenes: tables of the scenes, which precede the photographs in the batch.
        crops: crops of photographs, from `Shapes.draw`.
        seeds: seeds of the photographs.
    """

    size: int
    scenes: list[Tables]
    crops: Int[Tensor, "crops 5"]
    seeds: Int[Tensor, " crops"]


def make_pictures(draws: Draws, photographs: PhotographStore | None) -> Pictures:
    """Renders scenes, crops photographs and finds connected regions, on the device of the draws."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    if draws.scenes:
        geometry = render_tables(draws.scenes, draws.seeds.device)
        parts.append((rgb.sense(geometry), _surfaces(geometry), geometry.seeds))
    if photographs is not None and len(draws.crops):
        images, regions = photographs.crop(draws.crops, draws.size)
        parts.append((images, regions, draws.seeds))
    images, surfaces, seeds = (torch.cat(part) for part in zip(*parts, strict=True))
    # Cropping can cut a region of a photograph into pieces; a click refers to the piece it lies on.
    return Pictures(images, connected_regions(surfaces), seeds)


@dataclass(frozen=True)
class PretrainingSet(TorchDataset[Packed[Draws]]):
    """The draws of each step. Images are numbered across steps, so a step depends on its number only.

    Attributes:
        seed: seed of the scenes and of all random choices.
        size: side of the images in pixels.
        batch_size: number of images per step.
        at_once: number of scenes that are rendered together.
        photographs: shapes of the photographs that are mixed in; None for scenes only.
        share: probability that an image is a photograph, 0..1.
        objects: largest number of objects of a scene; None for the family's.
        object_size: largest size of an object (`aims.synth.world.wilds.build`); None for the family's.
    """

    seed: int
    size: int
    batch_size: int
    at_once: int = 16
    photographs: Shapes | None = None
    share: float = 0.0
    objects: int | None = None
    object_size: float | None = None

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
        changed: dict[str, Any] = {"objects": self.objects, "largest": self.object_size}
        build = partial(wilds.build, **{name: value for name, value in changed.items() if value is not None})
        tables = scene_tables(FAMILY, self.seed, scenes, size, self.at_once, build) if scenes else []
        draws = Draws(
            self.size,
            tables,
            # `view` gives an empty list the shape (0, 5).
            torch.tensor(crops, dtype=torch.int64).view(-1, 5),
            torch.tensor(seeds, dtype=torch.int64),
        )
        return Packed.of(draws)


def normalize_rgb(images: UInt8[Tensor, "batch size size 3"]) -> Float[Tensor, "batch 3 size size"]:
    """Normalises images with the mean and standard deviation of SAM's preprocessing (those of ImageNet)."""
    mean, std = _normalisation(images.device)
    return ((images.to(torch.float32) - mean) / std).permute(0, 3, 1, 2).contiguous()


@lru_cache(maxsize=4)
def _normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    # Cached: copying constants to a GPU would synchronise with it in every step.
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    return torch.tensor(mean, device=device), torch.tensor(std, device=device)
