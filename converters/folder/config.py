"""Reads the TOML description of a folder of images and validates every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from aims.core.errors import InputError
from aims.core.files import inside
from aims.core.schema import DatasetSpec, StreamSpec
from aims.sensors.polarization import ANGLES, mosaic_places

from ..reading.fields import Fields, is_list_of, read_description
from ..reading.patterns import Pattern
from ..reading.pictures import ARCHIVE_SUFFIXES, JPEG, LABEL_SUFFIXES, RGB_SUFFIXES, STREAM_SUFFIXES
from .classes import CodedClasses, coded_classes
from .naming import Naming, declared_parts, read_naming
from .objects import OBJECT_FORMATS, ObjectClasses, object_classes
from .splits import Rest, Share, Source, read_splits

#: Streams of a polarization mosaic, by the angle of their polarizer.
MOSAIC_STREAMS = {angle: f"i{angle}" for angle in ANGLES}

_INSTANCE_KEYS = ("label_divisor", "class_files", "class_variable")
_AXES = ("first", "last")
_SENSOR_KEYS = ("files", "variable", "unit", "valid_range", "missing", "wavelength_nm", "channel_axis")


@dataclass(frozen=True, kw_only=True)
class StreamEntry:
    """`[streams.NAME]`: the files, the variable in them, its quantity, and the channels kept (None: all).

    If `channels_first`, arrays in the files are (channels, height, width).
    """

    files: Pattern
    where: str
    variable: str | None
    unit: str
    valid_range: tuple[float, float] | None
    missing: float | None
    wavelength_nm: tuple[float, float] | None
    channels: tuple[int, ...] | None
    channels_first: bool = False

    def spec(self, channels: int, stored: np.dtype[Any], declared: float | None = None) -> StreamSpec:
        """Describes the stream; without a declared range, uint8 and uint16 have that of their dtype.

        Args:
            channels: number of channels of the stream.
            stored: dtype of its files.
            declared: the missing value that the files declare, unless the description has one.

        Raises:
            InputError: an integer dtype cannot hold the missing value.
        """
        known = None
        if stored.kind in "iu":
            whole = np.iinfo(stored)
            missing = self.missing or 0
            if missing != int(missing) or not whole.min <= missing <= whole.max:
                raise InputError(f"{self.where}: 'missing' is {missing}, which {stored} cannot hold")
            known = (0.0, float(whole.max)) if stored in (np.uint8, np.uint16) else None
        return StreamSpec(
            channels=channels,
            unit=self.unit,
            valid_range=self.valid_range or known,
            missing=declared if self.missing is None else self.missing,
            wavelength_nm=self.wavelength_nm,
        )


@dataclass(frozen=True, kw_only=True)
class MosaicEntry:
    """`[mosaic]`: the raw frames, the angles of a 2 x 2 cell, and whether gaps are interpolated ("full")."""

    frames: StreamEntry
    layout: tuple[tuple[int, ...], ...]
    resolution: Literal["full", "half"]


@dataclass(frozen=True, kw_only=True)
class LabelsEntry:
    """`[labels]`: the files and their classes; None for COCO JSON, which names them itself.

    There, `crowd` says what to do with crowd regions (iscrowd 1); None as `keeps_crowds` finds it right.

    Attributes:
        one_each: whether each file is the mask of one object.
        divisor: a number is that of its class times the divisor, plus that of the instance; or None.
        class_files: maps of the classes beside those of the instances; or None.
        class_variable: the array in these files.
    """

    files: Pattern
    variable: str | None
    classes: CodedClasses | ObjectClasses | None
    crowd: Literal["keep", "drop"] | None = None
    one_each: bool = False
    divisor: int | None = None
    class_files: Pattern | None = None
    class_variable: str | None = None

    @property
    def holds_instances(self) -> bool:
        """Whether the files say which pixels are an instance, and of which class it is."""
        return self.one_each or self.divisor is not None or self.class_files is not None


@dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """The whole description.

    Attributes:
        head: name, classes, licence, citation and URL: arguments of `DatasetSpec`.
        streams: the entries of streams by name.
        splits: where the images of each split are listed.
        seed: seed of the splits that are shares.
        naming: how images and their groups are named.
    """

    head: Mapping[str, Any]
    splits: Mapping[str, Source]
    seed: int
    streams: Mapping[str, StreamEntry]
    mosaic: MosaicEntry | None
    rgb: Pattern | None
    labels: LabelsEntry
    naming: Naming

    def spec(self, streams: Mapping[str, StreamSpec]) -> DatasetSpec:
        """Describes the dataset."""
        return DatasetSpec(**self.head, streams=streams, has_rgb=self.rgb is not None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; class id k is `classes[k - 1]`."""
        return tuple(self.head["classes"])

    @property
    def wants_all(self) -> bool:
        """Whether every image that is found should be in a split."""
        return any(isinstance(source, Rest | Share) for source in self.splits.values())

    @property
    def own_files(self) -> list[Pattern]:
        """The patterns of files of a single image; the first one yields the ids of a split "*"."""
        return own_files(self.streams, self.mosaic, self.labels, self.rgb)


def own_files(
    streams: Mapping[str, StreamEntry], mosaic: MosaicEntry | None, labels: LabelsEntry, rgb: Pattern | None
) -> list[Pattern]:
    """Returns the patterns of files of a single image; see `FolderConfig.own_files`."""
    patterns = [entry.files for entry in streams.values()]
    patterns += [mosaic.frames.files] if mosaic is not None else []
    patterns += [labels.files] if labels.files.has_id() else []
    patterns += [labels.class_files] if labels.class_files is not None else []
    return [*patterns, *([rgb] if rgb is not None else [])]


def load_config(path: Path) -> FolderConfig:
    """Reads a description.

    Raises:
        InputError: the file is missing or not TOML; a key is unknown, missing or of the wrong type.
    """
    top = read_description(path)
    top.only(
        *("name", "license", "citation", "url", "classes", "image_id", "group"),
        *("splits", "streams", "mosaic", "rgb", "labels"),
    )
    classes = tuple(top.take("classes", "a list of texts", is_list_of(str)))
    if not classes or "" in classes or len(set(classes)) != len(classes):
        raise InputError(f"{path}: 'classes' needs at least one name, each once")
    streams, rgb = top.table("streams", optional=True), top.table("rgb", optional=True)
    if not streams.values and not rgb.values and "mosaic" not in top:
        raise InputError(
            f"{path}: needs a [streams.NAME], [mosaic] or [rgb] table that says where the images are"
        )
    parts = declared_parts(top)
    mosaic = _mosaic(top.table("mosaic"), parts) if "mosaic" in top else None
    for name in MOSAIC_STREAMS.values() if mosaic else ():
        if name in streams:
            raise InputError(f"{path}: [mosaic] makes the stream {name!r}; rename [streams.{name}]")
    entries = {
        name: _sensor(streams.table(name).only(*_SENSOR_KEYS, "channels"), parts) for name in streams.values
    }
    pictures = _pattern(rgb.only("files"), RGB_SUFFIXES, parts) if "rgb" in top else None
    labels = _labels(top.table("labels"), classes, parts)
    splits, seed = read_splits(top.table("splits"))
    return FolderConfig(
        head={
            "name": top.string("name"),
            "classes": classes,
            "license": top.string("license"),
            "citation": top.optional("citation", top.string),
            "url": top.optional("url", top.string),
        },
        splits=splits,
        seed=seed,
        streams=entries,
        mosaic=mosaic,
        rgb=pictures,
        labels=labels,
        naming=read_naming(top, own_files(entries, mosaic, labels, pictures)),
    )


def _pattern(
    table: Fields, suffixes: tuple[str, ...], parts: tuple[str, ...], *, needs_id: bool = True
) -> Pattern:
    text = table.string("files")
    where = f"{table.where} files"
    inside(Path(), text, where=where)
    suffix = _fixed_suffix(text)
    if suffixes is LABEL_SUFFIXES and suffix in JPEG:
        raise InputError(f"{where}: JPEG labels are refused, because its compression changes values; use PNG")
    if suffix and suffix not in suffixes:
        raise InputError(f"{where}: suffix {suffix!r} is not read here; use {', '.join(suffixes)}")
    return Pattern(text, where=where, known=parts, needs_id=needs_id)


def _fixed_suffix(text: str) -> str:
    """Returns the suffix of all files of a pattern; empty if it has a placeholder or wildcard."""
    suffix = PurePosixPath(text).suffix.lower()
    return "" if set(suffix) & set("{}*?") else suffix


def _variable(table: Fields) -> str | None:
    """Returns the name of the array, which npz and .mat files require and other formats must not have."""
    variable, suffix = table.optional("variable", table.string), _fixed_suffix(table.string("files"))
    if suffix in ARCHIVE_SUFFIXES and variable is None:
        raise InputError(f"{table.where}: needs 'variable', the name of the array in the {suffix} files")
    if suffix and suffix not in ARCHIVE_SUFFIXES and variable is not None:
        raise InputError(
            f"{table.where}: 'variable' is {variable!r}, but {suffix} files hold one picture; leave it out"
        )
    return variable


def _sensor(table: Fields, parts: tuple[str, ...]) -> StreamEntry:
    channels = None
    if "channels" in table:
        channels = tuple(table.take("channels", "a list of channel numbers, from 0", is_list_of(int)))
        if not channels or min(channels) < 0 or len(set(channels)) != len(channels):
            raise InputError(f"{table.where}: 'channels' is {list(channels)}; list numbers from 0, each once")
    wavelength = table.optional("wavelength_nm", table.bounds)
    if wavelength and wavelength[0] <= 0:
        raise InputError(f"{table.where}: 'wavelength_nm' is {list(wavelength)}; wavelengths are above 0")
    axes = '"first", as in (channels, height, width), or "last"'
    return StreamEntry(
        files=_pattern(table, STREAM_SUFFIXES, parts),
        where=table.where,
        variable=_variable(table),
        unit=table.string("unit"),
        valid_range=table.optional("valid_range", table.bounds),
        missing=table.optional("missing", table.number),
        wavelength_nm=wavelength,
        channels=channels,
        channels_first=table.optional(
            "channel_axis", partial(table.take, wanted=axes, fits=_AXES.__contains__)
        )
        == "first",
    )


def _mosaic(table: Fields, parts: tuple[str, ...]) -> MosaicEntry:
    table.only(*_SENSOR_KEYS, "layout", "resolution")
    wanted = "the angles of a 2 x 2 cell row by row, such as [[90, 45], [135, 0]]"
    layout = table.take(
        "layout",
        wanted,
        lambda rows: is_list_of(list)(rows) and len(rows) == 2 and all(map(is_list_of(int), rows)),
    )
    try:
        mosaic_places(layout)
    except InputError as error:
        raise InputError(f"{table.where}: {error}") from None
    resolution = table.take("resolution", '"full" or "half"', lambda value: value in ("full", "half"))
    frames = _sensor(table, parts)
    if resolution == "full" and frames.missing is not None:
        raise InputError(
            f"{table.where}: 'missing' does not go with resolution = \"full\", which would average that "
            'value with its neighbours; use "half"'
        )
    return MosaicEntry(frames=frames, layout=tuple(map(tuple, layout)), resolution=resolution)


def _labels(table: Fields, classes: tuple[str, ...], parts: tuple[str, ...]) -> LabelsEntry:
    table.only("files", "variable", "kind", "palette", "values", "void", "crowd", *_INSTANCE_KEYS)
    kinds = ("semantic", "instance", "masks", "coco", *OBJECT_FORMATS)
    kind = table.take("kind", " or ".join(f'"{name}"' for name in kinds), kinds.__contains__)
    for key in _INSTANCE_KEYS:
        if key in table and kind != "instance":
            raise InputError(f'{table.where}: {key!r} goes with kind = "instance" alone; leave it out')
    if kind in OBJECT_FORMATS:
        files = _pattern(table, (OBJECT_FORMATS[kind].suffix,), parts)
        return LabelsEntry(files=files, variable=None, classes=object_classes(table, kind, classes))
    if kind != "coco":
        if "crowd" in table:
            raise InputError(f"{table.where}: 'crowd' goes with kind = \"coco\" alone; leave it out")
        files = _pattern(table, LABEL_SUFFIXES, parts)
        divisor, class_files, class_variable = _instance_keys(table, parts)
        return LabelsEntry(
            files=files,
            variable=_variable(table),
            classes=coded_classes(table, kind, classes),
            one_each=kind == "masks",
            divisor=divisor,
            class_files=class_files,
            class_variable=class_variable,
        )
    for key in ("variable", "palette", "values", "void"):
        if key in table:
            raise InputError(f'{table.where}: {key!r} does not go with kind = "coco"; leave it out')
    files = _pattern(table, (".json",), parts, needs_id=False)
    if files.has_id():
        raise InputError(
            f"{files.where}: {files.text!r} has an {{id}}, but one JSON file describes all images of a split"
        )
    crowd = table.optional(
        "crowd", partial(table.take, wanted='"keep" or "drop"', fits=("keep", "drop").__contains__)
    )
    return LabelsEntry(files=files, variable=None, classes=None, crowd=crowd)


def _instance_keys(table: Fields, parts: tuple[str, ...]) -> tuple[int | None, Pattern | None, str | None]:
    """Reads the keys that tell the class of an instance: `label_divisor`, or `class_files`."""
    divisor = table.optional("label_divisor", table.integer)
    if divisor is not None and divisor < 2:
        raise InputError(f"{table.where}: 'label_divisor' is {divisor}; it must be 2 or more, such as 1000")
    if "class_files" not in table:
        if "class_variable" in table:
            raise InputError(f"{table.where}: 'class_variable' goes with 'class_files'; leave it out")
        return divisor, None, None
    if divisor is not None:
        raise InputError(f"{table.where}: give either 'label_divisor' or 'class_files', to tell classes")
    inner = {key.removeprefix("class_"): table.values[key] for key in _INSTANCE_KEYS[1:] if key in table}
    maps = Fields({"files": table.string("class_files"), **inner}, f"{table.where} class")
    return None, _pattern(maps, LABEL_SUFFIXES, parts), _variable(maps)
