"""Images with COCO instances: any dataset of single images, and the output of `aims export`.

    RAW/annotations/*.json     or else RAW/*.json, or else these of the folders in RAW, as Roboflow and tasks
                               of CVAT have them; if some are named instances_*.json, only those
    RAW/.../*.jpg              each at its `file_name` below the folder --images

Each JSON file is a split, whose name is that of the file or folder (`layout.split_name`), or --split. Without
--images, pictures are looked for where the tools put them (`layout.picture_folders`); of a `file_name` of
another machine ("/home/me/a.png", "C:\\a.png", "../a.png") the longest end that names a picture counts.

An image id is the path of the image below RAW without the suffix; each image is its own group. If instances
overlap, the smaller one is on top; annotations that cannot be drawn are listed in dropped.jsonl. So are crowd
regions (iscrowd 1), unless CVAT wrote the files or nothing else is in them (`keeps_crowds`), or --crowd says
otherwise.

Files of `aims export` hold all else under the key "aims": ids, groups, streams, units and ranges are taken
from there, and the dataset is restored completely.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np

from aims.core.errors import InputError
from aims.core.schema import (
    SPLIT_PATTERN,
    Array,
    Converter,
    DatasetSpec,
    FileCount,
    Sample,
    SampleError,
    StreamSpec,
    option,
)
from aims.reading.headers import check_headers
from aims.reading.patterns import Tree
from aims.reading.pictures import PNG, TIFF, check_sizes, load_measurement, load_picture, load_rgb

from ..reading.coco import Annotations, crowd_warning, keeps_crowds, read_annotations
from ..reading.files import first_readable
from ..reading.inventory import picture_kind, take_inventory
from .exported import CocoEntry, ExportedSet
from .layout import find_files, find_pictures, picture_folders, split_name

T = TypeVar("T")

_UNIT = "digital number"


@dataclass(frozen=True, kw_only=True)
class CocoConverter(Converter):
    """Pictures with COCO instances: any set, and what `aims export` writes.

    Every JSON file in the raw folder's `annotations/`, or else in the raw folder itself or in its folders
    (train/, valid/, test/), is a split. COCO itself: --images "{split}2017".
    """

    name: ClassVar[str] = "coco"

    images: str | None = option(
        None, help="Folder of the pictures below the raw folder; may hold {split}.  [default: looked for]"
    )
    stream: str | None = option(None, help="Stream that the pictures are.  [default: they are RGB]")
    unit: str = option(_UNIT, help="Unit of that stream.")
    dataset: str = option("coco", help="Name of the dataset.")
    split: str | None = option(None, help="Name of the split, if there is one JSON file.")
    crowd: Literal["keep", "drop"] | None = option(
        None,
        help="What to do with iscrowd 1.  [default: keep CVAT's, and where nothing else is; drop others]",
    )

    def spec(self) -> DatasetSpec:
        """Describes the dataset: as `aims export` wrote it, else by the first readable image."""
        if self._exported is not None:
            return self._exported.spec
        streams = {}
        if self.stream is None:
            self._first(_load_rgb)
        else:
            _, array = self._model
            known = array.dtype in (np.uint8, np.uint16)
            bounds = (0.0, float(np.iinfo(array.dtype).max)) if known else None
            streams[self.stream] = StreamSpec(
                channels=array.shape[2], unit=self.unit, valid_range=bounds, missing=self._missing
            )
        header = self._files[0].header
        licenses, info = header.get("licenses"), header.get("info")
        names = [item.get("name") for item in licenses or () if isinstance(item, dict)]
        url = info.get("url") if isinstance(info, dict) else None
        return DatasetSpec(
            name=self.dataset,
            classes=self._files[0].classes,
            streams=streams,
            license="; ".join(str(name) for name in names if name) or "not stated",
            url=str(url) if url else None,
            has_rgb=self.stream is None,
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns the image ids of every JSON file, in its order."""
        return {split: tuple(entries) for split, entries in self._entries.items()}

    def read(self, split: str, image_id: str) -> Sample:
        """Reads one image and draws its instances."""
        entry, annotations = self._entries[split][image_id], self._splits[split]
        image = entry.image
        place, size = f"{annotations.path}: image {image.id}", (image.height, image.width)
        check_headers(dict.fromkeys(entry.files), sizes={place: size})
        sizes: list[tuple[Path | str, tuple[int, int]]] = [(place, size)]
        streams = {name: self._load(name, path) for name, path in entry.streams.items()}
        sizes += [(path, streams[name].shape[:2]) for name, path in entry.streams.items()]
        rgb = None
        if entry.rgb is not None:
            rgb, size = load_rgb(entry.rgb) if self._exported else _load_rgb(entry.rgb)
            sizes.append((entry.rgb, size))
        check_sizes(sizes)
        labels, dropped, overlaps = annotations.labels(image, crowds=self._crowds)
        return Sample(
            image_id=image_id,
            group=entry.group,
            streams=streams,
            labels=labels,
            rgb=rgb,
            dropped=dropped,
            overlaps=overlaps,
        )

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        """Returns the image's RGB and stream files, as far as they exist."""
        return tuple(path for path in self._entries[split][image_id].files if os.path.isfile(path))

    def shared_files(self) -> Sequence[Path]:
        """Returns the JSON files."""
        return tuple(file.path for file in self._files)

    def warnings(self) -> Sequence[str]:
        """Returns a line that says what was made of crowd regions, if no option does."""
        by = f"--crowd {'drop' if self._crowds else 'keep'}"
        return crowd_warning(self._files, kept=self._crowds, by=by) if self.crowd is None else ()

    def inventory(self) -> Sequence[FileCount]:
        """Returns the count of the pictures in the folders that are read, with those that no file lists."""
        images = (entry for entries in self._entries.values() for entry in entries.values())
        tree, used = Tree(self.root), {path for entry in images for path in entry.files}
        return take_inventory(tree, [picture_kind(tree, used)], shared=self.shared_files(), complete=True)

    def options(self) -> dict[str, Any]:
        """Returns the options; `split` and `crowd` only where they change the result of earlier versions."""
        options = super().options() | {"crowd": self.crowd or ("keep" if self._crowds else None)}
        return {key: options[key] for key in options if options[key] or key not in ("split", "crowd")}

    @cached_property
    def _crowds(self) -> bool:
        """Whether crowd regions are objects."""
        return keeps_crowds(self._files) if self.crowd is None else self.crowd == "keep"

    @cached_property
    def _files(self) -> tuple[Annotations, ...]:
        files = tuple(read_annotations(path) for path in find_files(self.root))
        for file in files:
            if file.classes != files[0].classes:
                raise InputError(
                    f"{file.path}: its categories are not those of {files[0].path}; give both the same"
                )
        return files

    @cached_property
    def _exported(self) -> ExportedSet | None:
        exported = ExportedSet.of(self._files)
        given = any((self.images, self.stream, self.split, self.crowd))
        given = given or self.unit != _UNIT or self.dataset != "coco"
        if exported is not None and given:
            raise InputError(
                f"{self.root}: an export of {exported.spec.name!r}, which describes itself; leave --images, "
                "--stream, --unit, --dataset, --split and --crowd out"
            )
        return exported

    @cached_property
    def _splits(self) -> Mapping[str, Annotations]:
        """The JSON file of every split."""
        if self._exported is not None:
            return self._exported.files
        if self.split is not None:
            if len(self._files) > 1:
                raise InputError(
                    f"{self.root}: {len(self._files)} JSON files are as many splits; --split names only one"
                )
            if not SPLIT_PATTERN.fullmatch(self.split):
                raise InputError(f"--split {self.split!r}: use lower-case letters, digits and '_'")
            return {self.split: self._files[0]}
        files: dict[str, Annotations] = {}
        for file in self._files:
            split = split_name(file.path, self.root, alone=len(self._files) == 1)
            if split in files:
                raise InputError(
                    f"{file.path}: is split {split!r}, as {files[split].path} is; rename one, or move it away"
                )
            files[split] = file
        return files

    @cached_property
    def _entries(self) -> dict[str, dict[str, CocoEntry]]:
        return _collect_once(self, self._files)

    def _collect(self) -> dict[str, dict[str, CocoEntry]]:
        """Returns the images of every split by id."""
        entries: dict[str, dict[str, CocoEntry]] = {}
        for split, file in self._splits.items():
            entries[split] = {}
            found = self._exported.entries(self.root, split) if self._exported else self._pictures(split)
            for entry in found:
                if entry.image_id in entries[split]:
                    raise InputError(f"{file.path}: two images are called {entry.image_id!r}; rename one")
                entries[split][entry.image_id] = entry
        if not any(entries.values()):
            raise InputError(f"{self._files[0].path}: 'images' is empty; there is nothing to convert")
        return entries

    def _pictures(self, split: str) -> Iterator[CocoEntry]:
        """Yields the images of a split of single image files, which are RGB or one stream."""
        file = self._splits[split]
        folders = picture_folders(self.root, file.path, self.images, split)
        found = find_pictures(file.images, folders)
        for image in file.images:
            path = found[image.id]
            image_id = path.relative_to(self.root).with_suffix("").as_posix()
            yield CocoEntry(
                image=image,
                image_id=image_id,
                group=image_id,
                streams={} if self.stream is None else {self.stream: path},
                rgb=path if self.stream is None else None,
            )

    def _load(self, name: str, path: Path) -> Array:
        if self._exported is not None:
            array = load_measurement(path)
            count = self._exported.spec.streams[name].channels
            if array.shape[2] != count:
                raise SampleError(
                    f"{path}: has {array.shape[2]} channels, stream {name!r} {count}; export it again"
                )
            return array
        array = load_measurement(path, missing=self._missing)
        first, model = self._model
        if (array.shape[2], array.dtype) != (model.shape[2], model.dtype):
            raise SampleError(
                f"{path}: channels, dtype are {array.shape[2]} and {array.dtype}, and {model.shape[2]} and "
                f"{model.dtype} in {first}; all images of a stream must be alike, convert one or leave it out"
            )
        return array

    @cached_property
    def _model(self) -> tuple[Path, Array]:
        """The file and array of the first readable image, whose channels and dtype all images must have."""
        return self._first(load_measurement)

    @cached_property
    def _missing(self) -> float | None:
        """The value that this file declares to be no measurement."""
        return load_picture(self._model[0]).missing

    def _first(self, load: Callable[[Path], T]) -> tuple[Path, T]:
        """Returns the file and the content of the first readable image."""

        def read(entry: CocoEntry) -> tuple[Path, T]:
            path = entry.files[0]
            if not os.path.isfile(path):
                raise SampleError(f"{path}: no such file; say with --images in which folder the pictures are")
            size = (entry.image.height, entry.image.width)
            check_headers(dict.fromkeys(entry.files), sizes={"its entry in the JSON file": size})
            return path, load(path)

        first = first_readable((entry for part in self._entries.values() for entry in part.values()), read)
        if first is None:
            raise InputError(f"{self.root}: its JSON files list no picture")
        return first


@lru_cache(maxsize=1)
def _collect_once(
    converter: CocoConverter, files: tuple[Annotations, ...]
) -> dict[str, dict[str, CocoEntry]]:
    """Collects the images once per process, although every shard brings a newly unpickled converter."""
    return converter._collect()


def _load_rgb(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Reads an RGB image; more than 8 bits are refused, as decoding RGB would lose the rest."""
    data, size = load_rgb(path)
    deep = path.suffix.lower() in PNG and data[24] > 8  # the header's bit depth
    if deep or (path.suffix.lower() in TIFF and load_picture(path).array.dtype.itemsize > 1):
        raise SampleError(
            f"{path}: has more than the 8 bits of an RGB picture; name the stream with --stream"
        )
    return data, size
