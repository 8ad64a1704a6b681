"""Photographs with region maps in BSDS500's layout: read one by one, or cropped from memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.io
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from aims.core.errors import InputError
from aims.core.isolation import isolated
from aims.data.instances import split_instances

#: Range of the sides of crops, as fractions of the image's shorter side.
_CROPS = (0.5, 1.0)


@dataclass(frozen=True)
class Photographs:
    """One split in the layout of BSDS500: `images/SPLIT/*.jpg`, `groundTruth/SPLIT/*.mat`.

    Attributes:
        folder: root folder.
        split: "train" or "val".
        names: names of the images without suffix, sorted.
    """

    folder: Path
    split: str
    names: tuple[str, ...]

    @classmethod
    def find(cls, folder: Path, split: str) -> Photographs:
        """Lists the images of a split.

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
        """Returns the path of an image's region maps."""
        return self.folder / "groundTruth" / self.split / f"{name}.mat"

    def read(self, index: int) -> tuple[NDArray[np.uint8], list[NDArray[np.int32]]]:
        """Reads an image and the region maps of all its annotators, with every region connected.

        Args:
            index: index of the image in `names`.

        Returns:
            (height, width, 3) RGB image, and for each annotator a (height, width) map of regions 1..n.

        Raises:
            InputError: a file cannot be read.
        """
        path = self.folder / "images" / self.split / f"{self.names[index]}.jpg"
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{path}: not readable as a picture")
        maps = self.maps_path(self.names[index])
        try:
            found = isolated(scipy.io.loadmat, maps.resolve())
            people = [person["Segmentation"][0, 0] for person in found["groundTruth"][0]]
            drawn = [regions.astype(np.int32) + 1 for regions in people]
        except Exception as error:  # scipy raises many types, and its reader crashes on some damaged files
            raise InputError(f"{maps}: no region maps in groundTruth.Segmentation ({error!r})") from None
        if not drawn:
            raise InputError(f"{maps}: no region maps in groundTruth.Segmentation")
        for regions in drawn:
            if regions.shape != picture.shape[:2]:
                raise InputError(f"{maps}: regions of {regions.shape} pixels, picture of {picture.shape[:2]}")
        colours: NDArray[Any] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        split = [split_instances(regions).astype(np.int32, copy=False) for regions in drawn]
        return colours.astype(np.uint8, copy=False), split


@dataclass(frozen=True)
class Shapes:
    """Sizes (height, width) and numbers of annotators of photographs, from which crops are drawn."""

    sizes: tuple[tuple[int, int], ...]
    people: tuple[int, ...]

    def draw(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Draws a square crop of a random image with the regions of a random annotator.

        Returns:
            Index of the image, index of the annotator, side, top, left.
        """
        picture, person = int(rng.integers(len(self.sizes))), int(rng.integers(1 << 30))
        height, width = self.sizes[picture]
        side = max(1, round(min(height, width) * rng.uniform(*_CROPS)))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        return picture, person % self.people[picture], side, top, left


@dataclass(frozen=True)
class PhotographStore:
    """All photographs of a split, and all their region maps, in one tensor each on a device.

    Attributes:
        shapes: sizes and numbers of annotators of the images.
        pixels: pixels of all images, concatenated.
        regions: region maps of all annotators of all images, concatenated.
        places: for each image: width, first row in `pixels`, first element in `regions`, number of pixels.
    """

    shapes: Shapes
    pixels: UInt8[Tensor, "pixels 3"]
    regions: Int[Tensor, " elements"]
    places: Int[Tensor, "pictures 4"]

    @classmethod
    def load(cls, photographs: Photographs, device: torch.device) -> PhotographStore:
        """Reads all images and region maps.

        Raises:
            InputError: a file cannot be read, or a map has more than 32,767 regions.
        """
        sizes, people, places = [], [], []
        pixels: list[Tensor] = []
        regions: list[Tensor] = []
        first, first_region = 0, 0
        for index in range(len(photographs.names)):
            picture, maps = photographs.read(index)
            height, width, area = *picture.shape[:2], picture.shape[0] * picture.shape[1]
            if max(int(each.max()) for each in maps) > np.iinfo(np.int16).max:
                raise InputError(
                    f"{photographs.maps_path(photographs.names[index])}: more than 32,767 regions"
                )
            sizes.append((height, width))
            people.append(len(maps))
            places.append((width, first, first_region, area))
            pixels.append(torch.from_numpy(picture).view(-1, 3))
            regions += [torch.from_numpy(each.astype(np.int16)).flatten() for each in maps]
            first, first_region = first + area, first_region + len(maps) * area
        return cls(
            Shapes(tuple(sizes), tuple(people)),
            torch.cat(pixels).to(device),
            torch.cat(regions).to(device),
            torch.tensor(places).to(device),
        )

    def crop(
        self, crops: Int[Tensor, "crops 5"], size: int
    ) -> tuple[UInt8[Tensor, "crops size size 3"], Int[Tensor, "crops size size"]]:
        """Crops images and regions as drawn by `Shapes.draw`, and resizes them to size x size.

        Pixels are averaged over areas; regions are those of the nearest pixel.
        """
        picture, person, side, top, left = crops.unbind(1)
        width, first, first_region, area = self.places.index_select(0, picture).unbind(1)
        most = max(min(shape) for shape in self.shapes.sizes)
        along = torch.arange(most, device=crops.device).minimum(side[:, None] - 1)
        places = _places(along, top, left, width, first)
        pixels = self.pixels.index_select(0, places.flatten()).view(len(crops), most, most, 3).float()
        shares = _area_shares(side, size, most)
        rows = (shares @ pixels.flatten(2)).view(len(crops), size, most, 3)
        # The rows are reduced first; `rows` has its columns before the channels, so this reduces columns.
        small = shares[:, None] @ rows
        # PIL's rule of nearest neighbour, as in `stretch_nearest`.
        middle = torch.arange(size, dtype=torch.float64, device=crops.device) + 0.5
        nearest = (middle * (side[:, None] / size)).to(torch.int64)
        places = _places(nearest, top, left, width, first_region + person * area)
        regions = self.regions.index_select(0, places.flatten()).view(len(crops), size, size)
        return small.round().clamp(0, 255).to(torch.uint8), regions.to(torch.int32)


def _places(along: Tensor, top: Tensor, left: Tensor, width: Tensor, first: Tensor) -> Tensor:
    """Returns the indices of the pixels of square crops in a packed tensor, (crops, rows, columns)."""
    rows = (first + top * width)[:, None] + along * width[:, None]
    return rows[:, :, None] + (left[:, None] + along)[:, None]


def _area_shares(side: Tensor, size: int, most: int) -> Float[Tensor, "crops size most"]:
    """Returns the weights that average the first `side` of `most` pixels over `size` equal intervals."""
    edges = torch.arange(size + 1, device=side.device) * side[:, None] / size
    pixel = torch.arange(most, device=side.device)
    low = torch.maximum(edges[:, :-1, None], pixel)
    high = torch.minimum(edges[:, 1:, None], pixel + 1)
    shares: Tensor = (high - low).clamp_min(0) * (size / side)[:, None, None]
    return shares
