"""Cuts images into tiles, so that small objects are large enough for the input of a model.

All tiles have the size of the description. The first begins in the left upper corner, and each begins
`overlap` pixels before its neighbour ends; the last of a row or column ends with the picture, and shares more
where sizes do not fit. A picture that is smaller than a tile is one tile. Labels are cut as they are: an
object that crosses a cut is an instance of each of its tiles, and of a class map each connected part is one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from aims.core.errors import InputError
from aims.core.schema import Array, InstanceMap, Sample, SampleError, SemanticMap
from aims.data.format import decode_rgb
from aims.data.instances import order_by_first_pixel, split_instances
from aims.reading.patterns import Parts

from ..reading.fields import Fields, is_list_of

#: Rows and columns of a tile in its picture.
Box = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """`[tiles]`: (height, width) of a tile, and how many pixels neighbours share."""

    size: tuple[int, int]
    overlap: int = 0

    def boxes(self, size: tuple[int, int]) -> Mapping[str, Box]:
        """Returns the tiles of a picture of (height, width) by row and column from 0, such as "02".

        From ten rows or columns on, both numbers have as many digits as the larger needs.
        """
        rows, columns = (self._starts(length, tile) for length, tile in zip(size, self.size, strict=True))
        digits = len(str(max(len(rows), len(columns)) - 1))
        return {
            f"{row:0{digits}}{column:0{digits}}": (
                slice(top, min(top + self.size[0], size[0])),
                slice(left, min(left + self.size[1], size[1])),
            )
            for row, top in enumerate(rows)
            for column, left in enumerate(columns)
        }

    def _starts(self, length: int, tile: int) -> list[int]:
        step = tile - self.overlap
        count = max(1, -(-(length - self.overlap) // step))
        return [min(k * step, max(0, length - tile)) for k in range(count)]


class TiledImages:
    """The tiles of all images of a folder.

    Args:
        tiles: how images are cut.
        images: the parts of the names of the images, by split and image id.
        size_of: returns the (height, width) of an image from its parts, or None if no header says it.
        read: reads a whole image.
    """

    def __init__(
        self,
        tiles: Tiles,
        images: Mapping[str, Mapping[str, Parts]],
        size_of: Callable[[Parts], tuple[int, int] | None],
        read: Callable[[str, str], Sample],
    ) -> None:
        self._read = read
        self._cut: CutImage | None = None
        self._sizes: dict[str, tuple[int, int]] = {}
        self._tiles: dict[str, dict[str, tuple[str, Box]]] = {split: {} for split in images}
        for split, names in images.items():
            for image_id, parts in names.items():
                # One that has no size is one tile, whose reading says what is wrong with it.
                self._sizes[image_id] = size_of(parts) or tiles.size
                boxes = tiles.boxes(self._sizes[image_id])
                self._tiles[split] |= {f"{image_id}_{place}": (image_id, boxes[place]) for place in boxes}

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns the ids of the tiles of every split; those of one image follow each other."""
        return {split: tuple(tiles) for split, tiles in self._tiles.items()}

    def picture(self, split: str, tile_id: str) -> str:
        """Returns the id of the image that a tile is cut from."""
        return self._tiles[split][tile_id][0]

    def read(self, split: str, tile_id: str) -> Sample:
        """Reads a tile; the image is kept until a tile of another one is read.

        Raises:
            SampleError: the image cannot be read, or has another size than its header says.
        """
        image_id, box = self._tiles[split][tile_id]
        if self._cut is None or self._cut.image_id != image_id:
            self._cut = None  # before the next one is read
            self._cut = CutImage(self._read(split, image_id))
        if self._cut.size != self._sizes[image_id]:
            height, width = self._cut.size
            raise SampleError(
                f"{image_id}: is {height} x {width} (height x width), which no header says, so that it "
                "cannot be cut into tiles; save it as PNG, TIFF or npy"
            )
        return self._cut.tile(tile_id, box)


def read_tiles(table: Fields) -> Tiles:
    """Reads the table `[tiles]`."""
    table.only("size", "overlap")
    size = table.take(
        "size",
        "two whole numbers above 0, [height, width]",
        lambda value: is_list_of(int)(value) and len(value) == 2 and min(value) > 0,
    )
    overlap = table.optional("overlap", table.integer) or 0
    if not 0 <= overlap < min(size):
        raise InputError(
            f"{table.where}: 'overlap' is {overlap}; it must be 0 or more, and less than the size {size}"
        )
    return Tiles(size=tuple(size), overlap=overlap)


class CutImage:
    """A whole image, of which tiles are taken.

    Args:
        sample: the image; its lines about objects stand with its first tile.

    Attributes:
        image_id: its name.
    """

    def __init__(self, sample: Sample) -> None:
        self.image_id = sample.image_id
        self._sample = sample
        self._rgb = None if sample.rgb is None else decode_rgb(sample.rgb)
        labels = sample.labels
        if isinstance(labels, SemanticMap):
            self._map = labels.class_map
            self._objects = split_instances(labels.class_map, void=labels.void)
        else:
            self._map = labels.instances
            self._objects = order_by_first_pixel(labels.instances)
        self._areas = np.bincount(self._objects.ravel())

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        height, width = self._map.shape
        return height, width

    def tile(self, image_id: str, box: Box) -> Sample:
        """Returns a tile as an image; its RGB picture becomes a PNG."""
        sample, part = self._sample, np.ascontiguousarray(self._map[box])
        labels: SemanticMap | InstanceMap
        if isinstance(sample.labels, SemanticMap):
            labels = dataclasses.replace(sample.labels, class_map=part)
        else:
            labels = dataclasses.replace(sample.labels, instances=part)
        first = box[0].start == box[1].start == 0
        return dataclasses.replace(
            sample,
            image_id=image_id,
            streams={name: np.ascontiguousarray(array[box]) for name, array in sample.streams.items()},
            labels=labels,
            rgb=None if self._rgb is None else _png(self._rgb[box]),
            dropped=sample.dropped if first else (),
            overlaps=sample.overlaps if first else (),
            cuts=self._cuts(box),
        )

    def _cuts(self, box: Box) -> tuple[str, ...]:
        """Returns a line that counts the objects of a tile that go on outside, if there are any."""
        inside = np.bincount(self._objects[box].ravel(), minlength=len(self._areas))[1:]
        cut = np.count_nonzero((inside > 0) & (inside < self._areas[1:]))
        line = f"{cut} of {np.count_nonzero(inside)} objects go on in other tiles; each counts its part"
        return (line,) * bool(cut)


def _png(rgb: Array) -> bytes:
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
    return encoded.tobytes()
