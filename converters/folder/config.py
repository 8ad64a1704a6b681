"""Reads the TOML description of a folder of images and validates every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aims.core.errors import InputError
from aims.core.schema import DatasetSpec, Published, StreamSpec
from aims.reading.patterns import Pattern
from aims.reading.pictures import RGB_SUFFIXES, STREAM_SUFFIXES
from aims.sensors.polarization import ANGLES, mosaic_places

from ..reading.fields import Fields, is_list_of, read_description
from .file_keys import file_pattern, variable_name
from .label_keys import LabelsEntry, read_labels
from .naming import Naming, declared_parts, read_naming
from .splits import Rest, Share, Source, read_splits
from .tiles import Tiles, read_tiles

#: Streams of a polarization mosaic, by the angle of their polarizer.
MOSAIC_STREAMS = {angle: f"i{angle}" for angle in ANGLES}

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
class FolderConfig:
    """The whole description.

    Attributes:
        head: name, classes, licence, citation and URL: arguments of `DatasetSpec`.
        streams: the entries of streams by name.
        splits: where the images of each split are listed.
        seed: seed of the splits that are shares.
        naming: how images and their groups are named.
        published: what is known of a public set without its files; None without [published].
        tiles: how pictures are cut; None if they stay whole.
    """

    head: Mapping[str, Any]
    splits: Mapping[str, Source]
    seed: int
    streams: Mapping[str, StreamEntry]
    mosaic: MosaicEntry | None
    rgb: Pattern | None
    labels: LabelsEntry
    naming: Naming
    published: Published | None = None
    tiles: Tiles | None = None

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
        *("splits", "streams", "mosaic", "rgb", "labels", "tiles", "published"),
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
    pictures = file_pattern(rgb.only("files"), RGB_SUFFIXES, parts) if "rgb" in top else None
    labels = read_labels(top.table("labels"), classes, parts)
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
        published=_published(top, (*entries, *(MOSAIC_STREAMS.values() if mosaic else ())), splits),
        tiles=read_tiles(top.table("tiles")) if "tiles" in top else None,
    )


def _published(top: Fields, streams: tuple[str, ...], splits: Mapping[str, Source]) -> Published | None:
    """Reads `[published]`, the facts of a public set (see `aims.converters.zoo`)."""
    if "published" not in top:
        return None
    table = top.table("published").only("sensor", "size", "access", "images", "total")
    images = table.table("images", optional=True).only(*splits)
    return Published(
        streams=streams,
        license=top.string("license"),
        citation=top.optional("citation", top.string),
        url=top.optional("url", top.string),
        images={split: images.integer(split) for split in images.values},
        total=table.optional("total", table.integer),
        sensor=table.string("sensor"),
        size=table.optional("size", table.string),
        access=table.string("access"),
    )


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
        files=file_pattern(table, STREAM_SUFFIXES, parts),
        where=table.where,
        variable=variable_name(table),
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
