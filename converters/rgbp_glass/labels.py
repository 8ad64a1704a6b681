"""Labels of RGBP-Glass: instance maps, COCO instances, or masks of all glass."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from aims.core.errors import InputError
from aims.core.schema import FileCount, InstanceMap, SampleError, SemanticMap
from aims.reading.pictures import load_picture

from ..reading.coco import Annotations, CocoImage, read_annotations
from ..reading.files import choose_source, instance_map, list_suffixed, load_numbers, on_disk
from ..reading.label_maps import class_map

FLAG = "--instances"
#: Folder and file name of each source that has one file per image.
_FILES = {"png": ("instance_mask", "instance_mask.png"), "components": ("mask", "mask.png")}
_GLASS = 1
_CLASSES = {0: 0, 255: _GLASS}

ReadLabels = tuple[Path, SemanticMap | InstanceMap, tuple[str, ...], tuple[str, ...]]


class GlassLabels:
    """The labels of the whole dataset.

    Args:
        folder: the folder with `train` and `test`.
        splits: names of the splits.
        source: "png" (`instance_mask/`), "json" (`instances_SPLIT.json`), "components" (`mask/`), or "auto":
            in each split the first of these that it has.

    Raises:
        InputError: the source is unknown, or a split has two JSON files.
    """

    def __init__(self, folder: Path, splits: Sequence[str], source: str) -> None:
        self._folder = folder
        self._sources: dict[str, str] = {}
        for split in splits:
            images, table = folder / split / _FILES["png"][0], self._json(split)
            places: dict[str, dict[Path, bool]] = {
                "png": {images: os.path.lexists(images)},
                "json": {table: os.path.lexists(table)},
                "components": {},
            }
            self._sources[split] = choose_source(FLAG, source, places)

    def file(self, split: str, image_id: str) -> dict[str, Path]:
        """Returns the label file of an image by its form; none if one JSON file holds the split's labels."""
        if (source := self._sources[split]) == "json":
            return {}
        folder, suffix = _FILES[source]
        path = on_disk(self._folder / split / folder / f"{image_id}_{suffix}")
        return {f"{{split}}/{folder}/{{id}}_{suffix}": path}

    def files(self, split: str) -> dict[str, Path]:
        """Returns the label files of a split by image; empty if one JSON file holds the labels."""
        if (source := self._sources[split]) == "json":
            return {}
        folder, suffix = _FILES[source]
        return list_suffixed(self._folder / split / folder, suffix)

    def shared_files(self) -> Sequence[Path]:
        """Returns the JSON files if labels come from them."""
        return tuple(self._json(split) for split in self._with_tables())

    def count(self, images: Mapping[str, Sequence[str]]) -> Iterator[FileCount]:
        """Yields the count of the entries of each JSON file; `images` are the ids of each split."""
        for split, (table, entries) in self._tables.items():
            found = {
                image_id: [entries[image_id]] if image_id in entries else [] for image_id in images[split]
            }
            yield table.count(found, complete=True)

    def warnings(self) -> tuple[str, ...]:
        """Returns a line if the splits' labels come from different sources."""
        if len(set(self._sources.values())) == 1:
            return ()
        found = ", ".join(f"{split} from {source}" for split, source in self._sources.items())
        return (
            f"instances of {found}: pieces of glass that touch are one instance in regions of the mask "
            f"(components); choose one source for all with {FLAG}",
        )

    def check(self) -> None:
        """Raises InputError if labels come from JSON files that cannot be read."""
        _ = self._tables

    def read(self, split: str, image_id: str) -> ReadLabels:
        """Reads the labels of one image.

        Returns:
            The file, the labels, one line for every object that the labels cannot hold, and one that counts
            what lies under others.
        """
        paths = self.file(split, image_id)
        if not paths:
            return self._from_table(split, image_id)
        (path,) = paths.values()
        if self._sources[split] == "png":
            return path, instance_map(path, _GLASS), (), ()
        values = load_numbers(path, load_picture(path))
        if values.dtype == np.uint8 and values.max() <= _GLASS:
            values = values * np.uint8(255)  # a mask saved as 0 and 1
        classes = class_map(path, values, _CLASSES, known="the known values (0 and 255)")
        return path, SemanticMap(class_map=classes), (), ()

    def _from_table(self, split: str, image_id: str) -> ReadLabels:
        table, images = self._tables[split]
        if image_id not in images:
            raise SampleError(
                f"{table.path}: lists no picture {image_id!r}; expected the file_name {image_id}_rgb.tiff in "
                f"'images'. Choose another source with {FLAG}"
            )
        return table.path, *table.labels(images[image_id])

    @cached_property
    def _tables(self) -> dict[str, tuple[Annotations, dict[str, CocoImage]]]:
        return {split: _load_table(self._json(split)) for split in self._with_tables()}

    def _with_tables(self) -> list[str]:
        return [split for split, source in self._sources.items() if source == "json"]

    def _json(self, split: str) -> Path:
        """Returns the JSON file of a split: in the split's folder, as the authors have it, or beside it."""
        name = f"instances_{split}.json"
        places = (self._folder / split / name, self._folder / name)
        # A link that leads nowhere counts as there, and is refused when it is read.
        found = [path for path in places if os.path.lexists(path)]
        if len(found) > 1:
            raise InputError(f"{found[0]} and {found[1]}: two tables for the split {split!r}; remove one")
        return found[0] if found else places[0]


def _load_table(path: Path) -> tuple[Annotations, dict[str, CocoImage]]:
    """Reads a JSON file and maps image ids to its entries."""
    hint = f"a COCO instances file with one category was expected; choose another source with {FLAG}"
    try:
        table = read_annotations(path)
    except InputError as error:
        raise InputError(f"{error} ({hint})") from error
    if len(table.classes) != 1:
        raise InputError(f"{path}: has the categories {', '.join(table.classes)}; {hint}")
    images: dict[str, CocoImage] = {}
    for image in table.images:
        image_id = PurePosixPath(image.file_name).stem.removesuffix("_rgb").removesuffix("_mask")
        if image_id in images:
            raise InputError(
                f"{path}: {images[image_id].file_name!r} and {image.file_name!r} are both picture "
                f"{image_id!r}; keep one"
            )
        images[image_id] = image
    return table, images
