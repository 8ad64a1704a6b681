"""Any folder of images and label files, described by one TOML file.

    name = "cwfid"
    license = "non-commercial research"
    classes = ["weed", "crop"]                  # class ids 1, 2

    [splits]
    train = ["002", "005"]                      # ids, or "*", or a text file with one id a line
    test = ["001"]

    [streams.nir]
    files = "images/{id}_image.png"             # {id}, {split}, and the wildcards * and ?
    channels = [1]                              # default: all
    unit = "digital number"

    [rgb]                                       # optional: png, jpg, tiff, webp, kept byte for byte
    files = "rgb/{id}.jpg"

    [labels]                                    # png, tiff, npy
    files = "annotations/{id}_annotation.png"
    kind = "semantic"                           # or "instance": one number an instance, one class
    palette = { weed = [255, 0, 0], crop = [0, 255, 0] }     # or values = { weed = 1, crop = [2, 3] }

Streams are png, jpg, tiff or npy and keep dtype, channel order (RGB) and an alpha channel. A palette PNG is
refused as a stream, because its numbers are colours of a table and measure nothing. With "*" the ids are
those of the first stream's files (of the labels', where there is no stream).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from aims.core.errors import InputError
from aims.core.files import inside
from aims.core.schema import (
    Array,
    Converter,
    DatasetSpec,
    InstanceMap,
    Sample,
    SampleError,
    SemanticMap,
    StreamSpec,
    option,
)

from ._folder_config import FolderConfig, load_config
from ._images import JPEG, check_sizes, load_picture, load_rgb
from ._labels import class_map, colour_codes, numbers, show_colour, show_value
from ._patterns import Pattern, read_ids

# Images tried before the set is called unreadable: a broken first one must not hide the others.
_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class FolderConverter(Converter):
    """Any folder of images and label files, as CONFIG describes it (see examples/cwfid.toml)."""

    name: ClassVar[str] = "folder"

    config: Path = option(argument=True, help="TOML file that describes the folder.")

    @property
    def root(self) -> Path:
        """The raw folder: as given, else the folder of the TOML file."""
        return self.raw if self.raw is not None else self.config.parent

    def spec(self) -> DatasetSpec:
        """Describes the set; channels and ranges are those of its first readable image."""
        config = self._config
        streams = {}
        for name, (_, array) in self._first.items():
            known = array.dtype in (np.uint8, np.uint16)
            streams[name] = StreamSpec(
                channels=array.shape[2],
                unit=config.streams[name].unit,
                valid_range=(0.0, float(np.iinfo(array.dtype).max)) if known else None,
            )
        return DatasetSpec(
            name=config.name,
            classes=config.classes,
            streams=streams,
            license=config.license,
            has_rgb=config.rgb is not None,
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Image ids as the description lists them; those of "*" are sorted."""
        return self._splits

    def read(self, split: str, image_id: str) -> Sample:
        """Reads one image and checks that its files fit each other and the first image."""
        config = self._config
        sizes: list[tuple[Path, tuple[int, int]]] = []
        streams = {}
        for name, (first, model) in self._first.items():
            path, array = self._stream(name, split, image_id)
            if (array.shape[2], array.dtype) != (model.shape[2], model.dtype):
                raise SampleError(
                    f"{path}: {_kind(array)}, but {first} has {_kind(model)}; "
                    "all images of a stream must be alike, convert one or leave it out"
                )
            sizes.append((path, array.shape[:2]))
            streams[name] = array
        label_path = self._file(config.labels.files, split, image_id)
        labels = self._labels(label_path)
        content = labels.class_map if isinstance(labels, SemanticMap) else labels.instances
        sizes.append((label_path, content.shape[:2]))
        rgb = None
        if config.rgb is not None:
            rgb_path = self._file(config.rgb, split, image_id)
            rgb, size = load_rgb(rgb_path)
            sizes.append((rgb_path, size))
        check_sizes(sizes)
        return Sample(image_id=image_id, group=image_id, streams=streams, labels=labels, rgb=rgb)

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        """The image's stream, label and RGB files that exist; one that serves twice is listed once."""
        config = self._config
        patterns = [stream.files for stream in config.streams.values()] + [config.labels.files]
        patterns += [config.rgb] if config.rgb is not None else []
        return tuple(
            dict.fromkeys(path for pattern in patterns for path in pattern.find(self.root, split, image_id))
        )

    def shared_files(self) -> Sequence[Path]:
        """The description, and the text files that list ids."""
        lists = [
            inside(self.root, value, where=f"{self.config} [splits]")
            for value in self._config.splits.values()
            if isinstance(value, str) and value != "*"
        ]
        return (self.config, *dict.fromkeys(lists))

    @cached_property
    def _config(self) -> FolderConfig:
        return load_config(self.config)

    @cached_property
    def _splits(self) -> dict[str, tuple[str, ...]]:
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no such folder; give the raw data of {self.config} with --raw")
        seen: dict[str, tuple[str, str]] = {}
        splits: dict[str, tuple[str, ...]] = {}
        for split in self._config.splits:
            ids = list(self._listed(split))
            for image_id, where in ids:
                if image_id in seen:
                    raise self._doubled(image_id, seen[image_id], (split, where))
                seen[image_id] = (split, where)
                inside(self.root, image_id, where=where)
            if not ids:
                raise InputError(f"{self.config} [splits]: {split!r} has no images; {self._why_empty(split)}")
            splits[split] = tuple(image_id for image_id, _ in ids)
        return splits

    def _listed(self, split: str) -> Iterator[tuple[str, str]]:
        """The ids of a split, each with where it stands."""
        value = self._config.splits[split]
        where = f"{self.config} [splits] {split}"
        if isinstance(value, tuple):
            yield from ((image_id, where) for image_id in value)
        elif value == "*":
            yield from ((found, str(path)) for found, path in self._names.ids(self.root, split).items())
        else:
            yield from read_ids(self.root, value, where=where)

    @property
    def _names(self) -> Pattern:
        """The pattern whose files stand for the images."""
        return next((stream.files for stream in self._config.streams.values()), self._config.labels.files)

    def _doubled(self, image_id: str, first: tuple[str, str], second: tuple[str, str]) -> InputError:
        if first[0] == second[0]:
            return InputError(
                f"{second[1]}: image {image_id!r} stands twice (first: {first[1]}); list it once"
            )
        hint = "leave it in one"
        if self._config.splits[second[0]] == "*":
            hint = "a name stands for one picture of the whole set: rename one of them"
        if self._config.splits[second[0]] == "*" and not self._names.has_split():
            hint = 'with "*", put {split} into ' + self._names.where
        return InputError(
            f"image {image_id!r} is in split {first[0]!r} ({first[1]}) and in {second[0]!r} ({second[1]}); "
            f"{hint}"
        )

    def _why_empty(self, split: str) -> str:
        if self._config.splits[split] == "*":
            return f"no file below {self.root} fits {self._names.fill(split, '*')} ({self._names.where})"
        return "list at least one id, or leave the split out"

    @cached_property
    def _first(self) -> dict[str, tuple[Path, Array]]:
        """File and array of each stream, of the first image whose streams can be read."""
        problems: list[SampleError] = []
        images = ((split, image_id) for split, ids in self._splits.items() for image_id in ids)
        for split, image_id in itertools.islice(images, _TRIES):
            try:
                return {name: self._stream(name, split, image_id) for name in self._config.streams}
            except SampleError as error:
                problems.append(error)
        raise problems[0]  # there is one, as no split is empty

    def _file(self, pattern: Pattern, split: str, image_id: str) -> Path:
        found = pattern.find(self.root, split, image_id)
        if not found:
            path = self.root / pattern.fill(split, image_id)
            raise SampleError(
                f"{path}: no such file; image {image_id!r} of {split!r} needs it ({pattern.where})"
            )
        if len(found) > 1:
            raise SampleError(
                f"{found[0]} and {found[1]}: two files for image {image_id!r}; remove one or narrow "
                f"{pattern.where}"
            )
        return found[0]

    def _stream(self, name: str, split: str, image_id: str) -> tuple[Path, Array]:
        entry = self._config.streams[name]
        path = self._file(entry.files, split, image_id)
        picture = load_picture(path)
        if picture.palette is not None:
            raise SampleError(
                f"{path}: a palette picture, whose numbers measure nothing; convert it to grey or RGB "
                f"for [streams.{name}]"
            )
        if entry.channels is None:
            return path, picture.array
        count = picture.array.shape[2]
        if max(entry.channels) >= count:
            raise SampleError(
                f"{path}: has {count} channel{'s' * (count > 1)}, and [streams.{name}] wants channel "
                f"{max(entry.channels)} (counted from 0); correct 'channels' in {self.config}"
            )
        return path, np.ascontiguousarray(picture.array[..., list(entry.channels)])

    def _labels(self, path: Path) -> SemanticMap | InstanceMap:
        if path.suffix.lower() in JPEG:
            raise SampleError(
                f"{path}: JPEG labels are refused, because its compression changes values; use PNG"
            )
        entry = self._config.labels
        picture = load_picture(path)
        if entry.kind == "palette":
            codes = colour_codes(path, picture)
            known = f"palette in {self.config} [labels]"
            return SemanticMap(class_map=class_map(path, codes, entry.classes, show=show_colour, known=known))
        values = numbers(path, picture)
        if entry.kind == "values":
            known = f"values in {self.config} [labels]"
            return SemanticMap(class_map=class_map(path, values, entry.classes, show=show_value, known=known))
        ids = np.unique(values).tolist()
        if ids[0] < 0:
            raise SampleError(
                f"{path}: instance number {ids[0]} is negative; number instances from 1, 0 is nothing"
            )
        return InstanceMap(instances=values, class_ids={number: 1 for number in ids if number})


def _kind(array: Array) -> str:
    count = array.shape[2]
    return f"{count} channel{'s' * (count > 1)} of {array.dtype}"
