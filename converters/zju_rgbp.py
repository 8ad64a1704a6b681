"""ZJU-RGB-P: 394 street images of a colour polarization camera, in 8 classes (Xiang et al., 2021).

    {train,val}/{0,45,90,135}/NAME_0°.png       the intensity behind each polarizer, 8-bit RGB
    {train,val}/label/NAME.png                  class of every pixel (also seen as labels/ or gt/)
    {train,val}/label_sam/NAME.png              (re-distributed, zju-rgbp/) a number per instance

The four images are stored as the streams i0, i45, i90 and i135, so nothing is lost; intensity, AoLP and DoLP
are derived when they are read. The degree sign may be missing or garbled by unpacking: any text without
digits between the angle and `.png` is accepted, and so is Info-ZIP's `#U00b0`.

`--labels` selects the instances: `classes` (the label maps, split into 8-connected regions of a class),
`instances` (label_sam/, which names no classes, so that all are "object"), or `auto`, the first of these that
both splits have. A label map holds the numbers 0 to 8, or the colours that Pascal VOC gives to these numbers.

The source calls its 50 evaluation images val. Published results, including the paper's, use these, so they
are the split `test` here. File names do not identify sequences, so each image is its own group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from aims.core.errors import InputError
from aims.core.schema import (
    Array,
    DatasetSpec,
    InstanceMap,
    Published,
    Sample,
    SampleError,
    SemanticMap,
    StreamSpec,
    option,
)
from aims.reading.pictures import check_sizes, load_picture

from .reading.files import (
    AUTO,
    check_split_names,
    choose_source,
    find_set,
    instance_map,
    label_size,
    list_ids,
    load_channels,
    load_numbers,
)
from .reading.label_maps import class_map, colour_code, colour_codes, show_colour
from .reading.published import Files, FilesConverter

_URL = "http://www.wangkaiwei.org/dataseteg.html"
_CITATION = (
    "Kaite Xiang, Kailun Yang, Kaiwei Wang: Polarization-driven semantic segmentation via efficient "
    "attention-bridged fusion. Optics Express 29(4), 2021"
)
ANGLES = ("0", "45", "90", "135")
CLASSES = ("building", "glass", "car", "road", "tree", "sky", "pedestrian", "bicycle")
#: The source's folder of each split.
_FOLDERS = MappingProxyType({"train": "train", "test": "val"})
_ARCHIVES = ("ZJU-RGB-P", "zju-rgbp")
_LABELS = ("label", "labels", "gt")
_INSTANCES = "label_sam"
_NAME = re.compile(r"(?P<id>.+)\.png", re.IGNORECASE)
_NUMBERS = {number: number for number in range(len(CLASSES) + 1)}
# Pascal VOC's colours of the numbers 0 to 8, in which annotation programs (labelme) write classes.
_COLOURS = {
    colour_code((128 * (k & 1) + 64 * (k >> 3), 128 * (k >> 1 & 1), 128 * (k >> 2 & 1))): k for k in _NUMBERS
}


@dataclass(frozen=True, kw_only=True)
class ZJURGBPConverter(FilesConverter):
    """ZJU-RGB-P: street scenes through polarizers at four angles, and 8 classes."""

    name: ClassVar[str] = "zju-rgbp"
    published: ClassVar[Published] = Published(
        streams=tuple(f"i{angle}" for angle in ANGLES),
        license="not stated; research use",
        citation=_CITATION,
        url=_URL,
        images={"train": 344, "test": 50},
        sensor="polarization",
    )

    labels: str = option(
        AUTO, help="What instances are: classes (label/), instances (label_sam/), or auto, the first found."
    )

    def spec(self) -> DatasetSpec:
        """Describes the dataset. Instance maps name no classes, so all instances are "object"."""
        # Raises if files are missing, before any image is read.
        _ = self._files
        stream = StreamSpec(channels=3, unit="digital number", valid_range=(0.0, 255.0))
        return self.published.describe(
            self.name,
            classes=CLASSES if self._kind == "classes" else ("object",),
            streams=dict.fromkeys(self.published.streams, stream),
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns the names of the images, sorted; the source's `val` is `test`."""
        return {split: tuple(files) for split, files in self._files.items()}

    def read_files(self, split: str, image_id: str) -> Sample:
        """Reads one image."""
        *paths, label_path = self._files[split][image_id]
        streams, sizes = {}, []
        for angle, path in zip(ANGLES, paths, strict=True):
            array = load_channels(path)
            if array.dtype != np.uint8:
                raise SampleError(f"{path}: {array.dtype} values, expected 8 bits a channel")
            streams[f"i{angle}"] = array
            sizes.append((path, array.shape[:2]))
        labels: SemanticMap | InstanceMap
        if self._kind == "instances":
            labels = instance_map(label_path, 1)
        else:
            labels = SemanticMap(class_map=_load_classes(label_path))
        check_sizes([*sizes, (label_path, label_size(labels))])
        return Sample(image_id=image_id, group=image_id, streams=streams, labels=labels)

    def files(self, split: str, image_id: str) -> Files:
        """Returns the image's four polarizer images and its label map."""
        paths = self._files[split][image_id]
        forms = [f"{{split}}/{angle}/{{id}}_{angle}*.png" for angle in ANGLES]
        return dict(zip((*forms, f"{{split}}/{paths[-1].parent.name}/{{id}}.png"), paths, strict=True))

    @cached_property
    def folder(self) -> Path:
        """The folder of the set: the raw folder, or the archive in it."""

        def holds(at: Path) -> bool:
            return any((at / folder / angle).is_dir() for folder in _FOLDERS.values() for angle in ANGLES)

        missing = (
            "no ZJU-RGB-P; looked for train/ and val/ with 0/, 45/, 90/ and 135/ (NAME_0°.png or NAME_0.png) "
            f"and {', '.join(f'{name}/' for name in _LABELS)} or {_INSTANCES}/ (NAME.png), here and in "
            f"{' and '.join(_ARCHIVES)}; get it from {_URL} and give its folder with --raw"
        )
        return find_set(self.root, _ARCHIVES, holds, missing=missing)

    @cached_property
    def _kind(self) -> str:
        classes = [self._class_maps(split) for split in _FOLDERS]
        instances = [self.folder / folder / _INSTANCES for folder in _FOLDERS.values()]
        sources = {"classes": classes, "instances": instances}
        places = {name: {path: path.is_dir() for path in paths} for name, paths in sources.items()}
        return choose_source("--labels", self.labels, places)

    def _class_maps(self, split: str) -> Path:
        """Returns the folder of a split's label maps, under whichever of its names exists."""
        places = [self.folder / _FOLDERS[split] / name for name in _LABELS]
        found = [path for path in places if path.is_dir()]
        if len(found) > 1:
            raise InputError(f"{found[0]} and {found[1]}: two folders of label maps; remove or rename one")
        return found[0] if found else places[0]

    @cached_property
    def _files(self) -> dict[str, dict[str, tuple[Path, ...]]]:
        """The paths of the four images and the label map of every name that occurs in any of the folders."""
        files = {split: self._files_of(split) for split in _FOLDERS}
        check_split_names(
            {split: {name: paths[0] for name, paths in found.items()} for split, found in files.items()}
        )
        return files

    def _files_of(self, split: str) -> dict[str, tuple[Path, ...]]:
        base = self.folder / _FOLDERS[split]
        labels = self._class_maps(split) if self._kind == "classes" else base / _INSTANCES
        maps = list_ids(labels, _NAME, "NAME.png")
        angles = {
            angle: list_ids(base / angle, _angle_name(angle), f"NAME_{angle}°.png or NAME_{angle}.png")
            for angle in ANGLES
        }
        # A missing file is represented by its regular path, so that reading it raises an error.
        return {
            name: (
                *(found.get(name, base / angle / f"{name}_{angle}.png") for angle, found in angles.items()),
                maps.get(name, labels / f"{name}.png"),
            )
            for name in sorted(set(maps).union(*angles.values()))
        }


def _angle_name(angle: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<id>.+)_{angle}(\D*|#U00b0)\.png", re.IGNORECASE)


def _load_classes(path: Path) -> Array:
    """Reads a (height, width) class map, by colour if the file uses Pascal VOC's colours.

    A palette of other colours, such as greys, is ignored: its indices are the class numbers, and so are the
    values of a file with three equal channels.
    """
    picture = load_picture(path)
    array = picture.array
    if array.dtype == np.uint8 and (picture.palette is not None or array.shape[2] > 2):
        codes = colour_codes(path, picture)
        named = set(np.unique(codes).tolist()) <= _COLOURS.keys()
        coloured = picture.palette is None and (array[..., :3] != array[..., :1]).any()
        if named or coloured:
            return class_map(path, codes, _COLOURS, show=show_colour, known="the known colours")
    values = load_numbers(path, picture)
    return class_map(path, values, _NUMBERS, known="the known values (0 to 8)")
