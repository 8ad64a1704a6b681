"""Photographs with region maps in BSDS500's layout: read one by one, or all in memory to be cropped there."""

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
from aims.data.instances import split_instances

#: Sides of crops, as shares of the picture's shorter side.
_CROPS = (0.5, 1.0)


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

    def read(self, index: int) -> tuple[NDArray[np.uint8], list[NDArray[np.int32]]]:
        """Reads a picture and the regions of every person who drew them, each connected.

        Args:
            index: of the picture, in `names`.

        Returns:
            (height, width, 3) R, G, B, and by person (height, width) regions 1..n.

        Raises:
            InputError: a file is not readable as what it should be.
        """
        path = self.folder / "images" / self.split / f"{self.names[index]}.jpg"
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{path}: not readable as a picture")
        maps = self.maps_path(self.names[index])
        try:
            people = [person["Segmentation"][0, 0] for person in scipy.io.loadmat(maps)["groundTruth"][0]]
            drawn = [regions.astype(np.int32) + 1 for regions in people]
        except (OSError, ValueError, KeyError, IndexError, NotImplementedError, TypeError) as error:
            raise InputError(f"{maps}: no region maps in groundTruth.Segmentation ({error!r})") from None
        if not drawn:
            raise InputError(f"{maps}: no region maps in groundTruth.Segmentation")
        for regions in drawn:
            if regions.shape != picture.shape[:2]:
                raise InputError(f"{maps}: regions of {regions.shape} pixels, picture of {picture.shape[:2]}")
        colours: NDArray[Any] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return colours.astype(np.uint8, copy=False), [split_instances(regions) for regions in drawn]


@dataclass(frozen=True)
class Shapes:
    """Sizes (height, width) of photographs, and how many people drew each; crops are drawn from these."""

    sizes: tuple[tuple[int, int], ...]
    people: tuple[int, ...]

    def draw(self, rng: np.random.Generator) -> tuple[int, ...]:
        """A square crop of a random picture, for the regions of a random person.

        Returns:
            Picture, person, side, top, left.
        """
        picture, person = int(rng.integers(len(self.sizes))), int(rng.integers(1 << 30))
        height, width = self.sizes[picture]
        side = max(1, round(min(height, width) * rng.uniform(*_CROPS)))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        return picture, person % self.people[picture], side, top, left


@dataclass(frozen=True)
class PhotographStore:
    """All photographs of a split and all their region maps in one tensor each, on a device.

    Attributes:
        shapes: sizes of the pictures, and how many people drew.
        pixels: of one picture after the other.
        regions: of one person after the other, of one picture after the other.
        places: by picture: width, first row of `pixels`, first element of `regions`, pixels.
    """

    shapes: Shapes
    pixels: UInt8[Tensor, "pixels 3"]
    regions: Int[Tensor, " elements"]
    places: Int[Tensor, "pictures 4"]

    @classmethod
    def load(cls, photographs: Photographs, device: torch.device) -> PhotographStore:
        """Reads everything.

        Raises:
            InputError: a file is not readable as what it should be.
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
        """Crops as `Shapes.draw` gives them, at another size: pixels by area, regions by nearest pixel."""
        picture, person, side, top, left = crops.unbind(1)
        width, first, first_region, area = self.places.index_select(0, picture).unbind(1)
        most = max(min(shape) for shape in self.shapes.sizes)
        along = torch.arange(most, device=crops.device).minimum(side[:, None] - 1)
        places = _places(along, top, left, width, first)
        pixels = self.pixels.index_select(0, places.flatten()).view(len(crops), most, most, 3).float()
        shares = _area_shares(side, size, most)
        rows = (shares @ pixels.flatten(2)).view(len(crops), size, most, 3)
        # By columns: the channels come before them.
        small = shares[:, None] @ rows
        # PIL's rule, as `stretch_nearest`.
        middle = torch.arange(size, dtype=torch.float64, device=crops.device) + 0.5
        nearest = (middle * (side[:, None] / size)).to(torch.int64)
        places = _places(nearest, top, left, width, first_region + person * area)
        regions = self.regions.index_select(0, places.flatten()).view(len(crops), size, size)
        return small.round().clamp(0, 255).to(torch.uint8), regions.to(torch.int32)


def _places(along: Tensor, top: Tensor, left: Tensor, width: Tensor, first: Tensor) -> Tensor:
    """Where the pixels of squares lie in a packed tensor, (crops, rows, columns)."""
    rows = (first + top * width)[:, None] + along * width[:, None]
    return rows[:, :, None] + (left[:, None] + along)[:, None]


def _area_shares(side: Tensor, size: int, most: int) -> Float[Tensor, "crops size most"]:
    """The share of each of `most` pixels in each of `size` equal parts of the first `side` of them."""
    edges = torch.arange(size + 1, device=side.device) * side[:, None] / size
    pixel = torch.arange(most, device=side.device)
    low = torch.maximum(edges[:, :-1, None], pixel)
    high = torch.minimum(edges[:, 1:, None], pixel + 1)
    shares: Tensor = (high - low).clamp_min(0) * (size / side)[:, None, None]
    return shares
