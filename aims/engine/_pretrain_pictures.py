"""What pretraining looks at: scenes by number, never twice, and photographs with region maps among them."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import scipy.io
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from aims.core.errors import InputError
from aims.data.instances import split_instances, stretch_nearest
from aims.synth.sensors import rgb
from aims.synth.world.geometry import Geometry
from aims.synth.world.render import render

FAMILY = "wilds"

#: Sides of crops of photographs, as shares of their shorter side.
_CROPS = (0.5, 1.0)
# Third number of the generators of photographs, where scenes have the number of their family.
_PHOTOGRAPHS = 1_000


class Pictures(NamedTuple):
    """A batch of pictures with their regions.

    Attributes:
        images: red, green, blue.
        regions: 1..n in each picture, objects and background; int16, as batches go through shared memory.
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
    instances = geometry.instances.to(torch.int64)
    whole = torch.where(instances > 0, instances, int(instances.max()) + 1 + geometry.materials)
    # Connected components are looked for on the CPU, whatever rendered: 0.7 ms a picture of 128 x 128.
    pieces = [split_instances(surfaces) for surfaces in whole.cpu().numpy()]
    return torch.from_numpy(np.stack(pieces).astype(np.int16)).to(instances.device)


@dataclass(frozen=True)
class Photographs:
    """One split of a folder as BSDS500 has it: `images/SPLIT/*.jpg`, `groundTruth/SPLIT/*.mat`.

    Attributes:
        folder: the folder.
        split: "train" or "val".
        names: of the pictures, without suffix, in order.
    """

    folder: Path
    split: str
    names: tuple[str, ...]

    @classmethod
    def find(cls, folder: Path, split: str) -> Photographs:
        """Lists the pictures of a split.

        Raises:
            InputError: there are none, or one has no region maps.
        """
        pictures = sorted((folder / "images" / split).glob("*.jpg"))
        if not pictures:
            raise InputError(
                f"{folder}: no photographs in images/{split}/*.jpg; give a folder laid out like BSDS500"
            )
        found = cls(folder, split, tuple(path.stem for path in pictures))
        for name in found.names:
            if not found.maps_path(name).is_file():
                raise InputError(
                    f"{found.maps_path(name)}: no such file; every photograph needs its region maps"
                )
        return found

    def maps_path(self, name: str) -> Path:
        """The file of a picture's region maps."""
        return self.folder / "groundTruth" / self.split / f"{name}.mat"

    def read(self, index: int, person: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Reads a picture and one person's regions, each connected.

        Args:
            index: of the picture, in `names`.
            person: whose regions, modulo the number of people; None for the first.

        Returns:
            (height, width, 3) R, G, B, and (height, width) regions 1..n.

        Raises:
            InputError: a file is not readable as what it should be.
        """
        path = self.folder / "images" / self.split / f"{self.names[index]}.jpg"
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{path}: not readable as a picture")
        maps = self.maps_path(self.names[index])
        try:
            people = scipy.io.loadmat(maps)["groundTruth"][0]
            regions = people[(person or 0) % len(people)]["Segmentation"][0, 0]
        except (OSError, ValueError, KeyError, IndexError, NotImplementedError, TypeError) as error:
            raise InputError(f"{maps}: no region maps in groundTruth.Segmentation ({error!r})") from None
        if regions.shape != picture.shape[:2]:
            raise InputError(f"{maps}: regions of {regions.shape} pixels, picture of {picture.shape[:2]}")
        colours: NDArray[Any] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return colours.astype(np.uint8, copy=False), split_instances(regions.astype(np.int32) + 1)

    def crop(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """A square crop of a random picture with the regions of a random person, both of side `size`."""
        picture, regions = self.read(int(rng.integers(len(self.names))), int(rng.integers(1 << 30)))
        height, width = regions.shape
        side = max(1, round(min(height, width) * rng.uniform(*_CROPS)))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        window = slice(top, top + side), slice(left, left + side)
        small: NDArray[Any] = cv2.resize(picture[window], (size, size), interpolation=cv2.INTER_AREA)
        # Cut regions may fall into pieces; a click means the piece it lies on.
        return small, split_instances(stretch_nearest(regions[window], (size, size)))


@dataclass(frozen=True)
class Stream(TorchDataset[Pictures]):
    """Batches by step: pictures are numbered through, so what a step sees depends on its number alone.

    Attributes:
        seed: of the scenes and of all choices.
        size: side of the pictures.
        batch_size: pictures of a step.
        photographs: mixed in; None for scenes alone.
        share: how many of the pictures are photographs, 0..1.
        device: where scenes are rendered.
    """

    seed: int
    size: int
    batch_size: int
    photographs: Photographs | None = None
    share: float = 0.0
    device: str = "cpu"

    def __getitem__(self, step: int) -> Pictures:
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        generators = {number: np.random.default_rng((self.seed, number, _PHOTOGRAPHS)) for number in numbers}
        photographs = self.photographs
        drawn = []
        if photographs is not None:
            drawn = [number for number in numbers if generators[number].random() < self.share]
        scenes = [number for number in numbers if number not in drawn]
        parts = []
        if scenes:
            parts.append(picture_scenes(FAMILY, self.seed, scenes, self.size, self.device)[0])
        if photographs is not None and drawn:
            parts.append(self._photographs(photographs, [generators[number] for number in drawn]))
        return Pictures(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _photographs(self, photographs: Photographs, generators: list[np.random.Generator]) -> Pictures:
        pictures, maps = zip(*(photographs.crop(rng, self.size) for rng in generators), strict=True)
        seeds = [int(rng.integers(2**62)) for rng in generators]
        return Pictures(
            torch.from_numpy(np.stack(pictures)).to(self.device),
            torch.from_numpy(np.stack(maps).astype(np.int16)).to(self.device),
            torch.tensor(seeds, dtype=torch.int64, device=self.device),
        )


def steps_ahead(stream: Stream, steps: Iterable[int], workers: int) -> DataLoader[Pictures]:
    """Makes the batches of steps, in processes ahead of the training where there are some."""
    return DataLoader(
        stream,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_ignore_interrupts,
        pin_memory=workers > 0 and torch.cuda.is_available(),
    )


def _ignore_interrupts(worker: int) -> None:
    # Ctrl-C goes to all processes; the training process decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def to_input(images: UInt8[Tensor, "batch size size 3"]) -> Float[Tensor, "batch 3 size size"]:
    """Normalises pictures with the constants of SAM's own preprocessing (ImageNet's mean and deviation)."""
    mean = torch.tensor([123.675, 116.28, 103.53], device=images.device)
    std = torch.tensor([58.395, 57.12, 57.375], device=images.device)
    return ((images.to(torch.float32) - mean) / std).permute(0, 3, 1, 2).contiguous()
