"""Finds the files of one image of a folder by their patterns, decodes each once and builds its streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aims.core.errors import InputError
from aims.core.remarks import remark
from aims.core.schema import Array, SampleError
from aims.reading.headers import check_headers, read_header
from aims.reading.patterns import Parts, Pattern, Tree, is_broken
from aims.reading.pictures import Picture, check_measured, load_picture
from aims.sensors.polarization import Interpolation, split_mosaic

from ..reading.inventory import FileKind
from .config import MOSAIC_STREAMS, FolderConfig, MosaicEntry, StreamEntry


@dataclass(frozen=True)
class StreamFile:
    """One stream of one image.

    Attributes:
        path: its file.
        array: (height, width, channels).
        stored: dtype of the file; that of `array` unless values were interpolated.
        place: description of the file, for messages about its size.
        missing: the value that the file declares to be no measurement.
    """

    path: Path
    array: Array
    stored: np.dtype[Any]
    place: str
    missing: float | None = None

    def check_missing(self, model: StreamFile, entry: StreamEntry) -> None:
        """Compares the missing value that the file declares with that of the stream.

        Args:
            model: the stream's first file.
            entry: the description, whose missing value decides; a difference from it becomes a remark.

        Raises:
            SampleError: the description has none, and the file declares and holds another than the first.
        """
        expected = model.missing if entry.missing is None else entry.missing
        if self.missing in (None, expected) or not (self.array == self.missing).any():
            return
        text = f"declares {self.missing} to be no measurement"
        if entry.missing is None:
            raise SampleError(
                f"{self.path}: {text}, but {model.path} {expected}; give 'missing' in {entry.where}"
            )
        remark(self.path, f"{text}; 'missing' in the description is {expected}")


class ImageFiles:
    """Finds and decodes the files of one image; a file of several streams is decoded once.

    Args:
        tree: the raw folder.
        name: the name of the image in its split.
        parts: the parts of the name, and "split".
    """

    def __init__(self, tree: Tree, name: str, parts: Parts) -> None:
        self.tree = tree
        self.name = name
        self.parts = parts
        self._pictures: dict[tuple[Path, str | None, bool], Picture] = {}

    def find(self, pattern: Pattern, *, hint: str = "") -> Path:
        """Returns the only file of a pattern; raises SampleError if there is none or several."""
        found = self.find_all(pattern)
        if len(found) > 1:
            named = "*" in pattern.text.rpartition("/")[0]
            folder = ', or name the folder, as in "{scene}/{id}.png" with group = "{scene}"' if named else ""
            raise SampleError(
                f"{found[0]} and {found[1]}: two files for image {self.name!r}; remove one or narrow "
                f"{pattern.where}{folder}{hint}"
            )
        return found[0]

    def find_all(self, pattern: Pattern, *, hint: str = "") -> list[Path]:
        """Returns the files of a pattern; raises SampleError, which ends with the hint, if there is none."""
        found = pattern.find(self.tree, self.parts, broken=True)
        needs = f"image {self.name!r} of {self.parts['split']!r} needs it ({pattern.where})"
        for path in found:
            if is_broken(path):
                raise SampleError(f"{path}: a link that leads to no file, or in a circle; {needs}")
        if not found:
            path = self.tree.root / pattern.fill(self.parts)
            raise SampleError(f"{path}: no such file; {needs}{hint}")
        return found

    def picture(self, path: Path, variable: str | None, *, stack: bool = False) -> Picture:
        """Decodes a file, or returns it from the cache; see `load_picture`."""
        key = (path, variable, stack)
        if key not in self._pictures:
            self._pictures[key] = load_picture(path, variable=variable, stack=stack)
        return self._pictures[key]


def own_kinds(tree: Tree, config: FolderConfig, images: Mapping[str, Parts]) -> dict[Pattern, FileKind]:
    """Finds the files of all images.

    Args:
        tree: the raw folder.
        config: the description.
        images: the parts of the names of all images, by image id.

    Returns:
        The files by pattern. Masks of single objects are optional: what an image without one means is told
        apart from the inventory.

    Raises:
        InputError: a wildcard gives an image a file of another one, as "{id}*.png" does with 1 and 10.
    """
    kinds = {}
    for pattern in config.own_files:
        found = {image_id: pattern.find(tree, parts) for image_id, parts in images.items()}
        _check_owners(pattern, found, images)
        masks = config.labels.one_each and pattern is config.labels.files
        kinds[pattern] = FileKind.of(tree, pattern, found, optional=masks)
    return kinds


def _check_owners(pattern: Pattern, found: Mapping[str, Sequence[Path]], images: Mapping[str, Parts]) -> None:
    owners: dict[Path, str] = {}
    for image_id, paths in found.items() if pattern.has_wildcard() else ():
        for path in paths:
            other = owners.setdefault(path, image_id)
            # One name may stand in two splits.
            if any(images[other][name] != images[image_id][name] for name in pattern.parts):
                raise InputError(
                    f"{path}: fits {pattern.text!r} for image {other!r} and for {image_id!r}; narrow it "
                    f"({pattern.where}), as in {{id}}_*.png"
                )


def read_streams(config: FolderConfig, files: ImageFiles) -> dict[str, StreamFile]:
    """Reads every stream of one image, in the order of the description; those of a mosaic come last."""
    _check_headers(config, files)
    streams = {name: _stream(entry, files) for name, entry in config.streams.items()}
    return streams | (_mosaic(config.mosaic, files) if config.mosaic else {})


def _check_headers(config: FolderConfig, files: ImageFiles) -> None:
    """Compares the headers of streams and labels; files that are missing or several are reported later."""
    entries = [(entry.files, entry.variable) for entry in stream_entries(config).values()]
    entries.append((config.labels.files, config.labels.variable))
    found = [(pattern.find(files.tree, files.parts), variable) for pattern, variable in entries]
    several = len(found[-1][0]) if config.labels.one_each else 1
    check_headers({path: variable for paths, variable in found if len(paths) <= several for path in paths})


def announced_size(config: FolderConfig, tree: Tree, parts: Parts) -> tuple[int, int] | None:
    """Returns the (height, width) of an image by the header of one of its files; None if none says it."""
    labels = config.labels
    entries = [(labels.files, labels.variable, False, 1)] if labels.files.has_id() else []
    entries += [(entry.files, entry.variable, entry.channels_first, 1) for entry in config.streams.values()]
    entries += [(config.rgb, None, False, 1)] if config.rgb is not None else []
    if config.mosaic is not None:
        frames, cell = config.mosaic.frames, 2 if config.mosaic.resolution == "half" else 1
        entries.append((frames.files, frames.variable, frames.channels_first, cell))
    for pattern, variable, channels_first, cell in entries:
        for path in pattern.find(tree, parts)[:1]:
            if header := read_header(path, variable):
                height, width, *_ = header[0][-2:] if channels_first else header[0]
                return height // cell, width // cell
    return None


def stream_entries(config: FolderConfig) -> Mapping[str, StreamEntry]:
    """Returns the entry of each stream, by the names that `read_streams` uses."""
    mosaic = dict.fromkeys(MOSAIC_STREAMS.values(), config.mosaic.frames) if config.mosaic else {}
    return {**config.streams, **mosaic}


def describe_channels(array: Array) -> str:
    """Formats the number of channels of an array for messages."""
    return f"{array.shape[2]} channel{'s' * (array.shape[2] > 1)}"


def _stream(entry: StreamEntry, files: ImageFiles) -> StreamFile:
    path = files.find(entry.files)
    picture = files.picture(path, entry.variable, stack=True)
    check_measured(path, picture)
    array = picture.array
    # An array of two axes has got its channel already.
    if entry.channels_first and array.shape[2] > 1:
        array = np.ascontiguousarray(np.moveaxis(array, 0, -1))
    if entry.channels is not None:
        if max(entry.channels) >= array.shape[2]:
            raise SampleError(
                f"{path}: has {describe_channels(array)}, but {entry.where} wants channel "
                f"{max(entry.channels)} (counted from 0); correct its 'channels'"
            )
        array = np.ascontiguousarray(array[..., list(entry.channels)])
    return StreamFile(path, array, array.dtype, str(path), picture.missing)


def _mosaic(entry: MosaicEntry, files: ImageFiles) -> dict[str, StreamFile]:
    frame = _stream(entry.frames, files)
    full = entry.resolution == "full"
    interpolation: Interpolation = "bilinear" if full else "none"
    place = f"{frame.path}" if full else f"{frame.path} (at half resolution)"
    try:
        pictures = split_mosaic(frame.array, entry.layout, interpolation=interpolation)
    except InputError as error:
        raise SampleError(f"{frame.path}: {error} ({entry.frames.where})") from None
    if full and frame.missing is not None and (frame.array == frame.missing).any():
        raise SampleError(
            f"{frame.path}: declares {frame.missing} to be no measurement, which would be averaged with its "
            f'neighbours; give resolution = "half" in {entry.frames.where}'
        )
    # Interpolated images are float32, or float64 for integers of more than 16 bits, exact up to 2**53.
    if full and frame.stored.kind in "iu" and int(np.abs(frame.array).max()) > 2**53:
        raise SampleError(
            f"{frame.path}: float64 cannot hold all of its {frame.stored} values; "
            f'give resolution = "half" in {entry.frames.where}'
        )
    return {
        name: replace(frame, array=np.ascontiguousarray(pictures[angle][..., None]), place=place)
        for angle, name in MOSAIC_STREAMS.items()
    }
