"""Reads a few files of a family, to describe what they hold."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
import scipy.io

from aims.core.errors import AimsError
from aims.core.isolation import isolated
from aims.core.schema import Array, SampleError, StreamSpec
from aims.data.meters import Stray, StreamMeter
from aims.reading.decoding import Picture, decoder_errors
from aims.reading.patterns import Tree
from aims.reading.pictures import (
    ARCHIVE_SUFFIXES,
    JPEG,
    MAT,
    NPY,
    NPZ,
    check_measured,
    load_picture,
    load_rgb,
)

from ..files import ImageFiles
from ..labels import load_labels
from .families import Family
from .text import texts

T = TypeVar("T")

#: Files of a stream that are read.
STREAM_SAMPLES = 12
# Labels: at most this many values, of which most pixels equal their neighbour.
_FEW_VALUES = 64
_FLAT = 0.8
_MOST_CHANNELS = 32
_MOST_VARIABLES = 24
_MOST_BYTES = 256 << 20  # after which no further file of a stream is read
_BAND = 512  # rows
_TRIED = 3  # files, as the first ones may be damaged
#: Suffixes of arrays, whose channels may come first.
ARRAYS = frozenset({*NPY, *ARCHIVE_SUFFIXES})


@dataclass
class Content:
    """What some files of a family hold.

    Attributes:
        family: the files.
        variable: the array in npz, mat and HDF5 files.
        shape: shape of the first array, as stored.
        read: number of files that were read.
        dtype: NumPy name; "" if no file could be read.
        channels: number of channels.
        channels_first: whether arrays are (channels, height, width).
        sizes: (height, width) of the files, each once.
        low: smallest value.
        high: largest value.
        strays: values far from all others.
        missing: the value that the files declare to be no measurement.
        looks_labelled: whether there are few values, in flat regions.
        fits_rgb: whether the files can be kept as RGB pictures.
        remarks: what the files say about their numbers.
        problem: why the first file that could not be read was not.
        differing: a file of another dtype or number of channels.
    """

    family: Family
    variable: str | None = None
    shape: tuple[int, ...] = ()
    read: int = 0
    dtype: str = ""
    channels: int = 0
    channels_first: bool = False
    sizes: list[tuple[int, int]] = field(default_factory=list)
    low: float | None = None
    high: float | None = None
    strays: Sequence[Stray] = ()
    missing: float | None = None
    looks_labelled: bool = False
    fits_rgb: bool = False
    remarks: list[str] = field(default_factory=list)
    problem: str = ""
    differing: str = ""

    @property
    def is_stream(self) -> bool:
        """Whether the files can be a stream."""
        return bool(self.dtype)

    @property
    def is_colour(self) -> bool:
        """Whether the files can be kept as RGB pictures and have colours."""
        return self.fits_rgb and self.channels in (0, 3, 4)


def spread(items: Sequence[T], most: int) -> list[T]:
    """Returns at most so many items, evenly spread, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def read_content(root: Path, family: Family) -> list[Content]:
    """Reads some files of a family; returns a description of all, or of each array in them."""
    paths = [root / path for path in spread(family.paths, STREAM_SAMPLES)]
    if family.suffix not in ARCHIVE_SUFFIXES:
        return [_read(paths, Content(family))]
    for path in paths:
        with suppress(AimsError), decoder_errors(path, "file of arrays"):
            names = array_names(path)
            contents = [_read(paths, Content(family, variable=name)) for name in names[:_MOST_VARIABLES]]
            _refuse_other_sizes(contents)
            return contents or [Content(family, problem=f"{path}: holds no array of numbers")]
    return [Content(family, problem=f"{paths[0]}: not readable")]


def _refuse_other_sizes(contents: Sequence[Content]) -> None:
    """Takes the arrays that are not as large as the largest ones for no pictures."""
    sizes = [size for content in contents for size in content.sizes]
    largest = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    for content in contents:
        if content.is_stream and largest not in content.sizes:
            content.problem = f"{content.variable} is an array of {' x '.join(map(str, content.shape))}"
            content.dtype, content.sizes = "", []


def with_channels_first(root: Path, content: Content) -> Content:
    """Reads the files again, as arrays of the shape (channels, height, width)."""
    paths = [root / path for path in spread(content.family.paths, STREAM_SAMPLES)]
    return _read(paths, Content(content.family, variable=content.variable, channels_first=True))


def array_names(path: Path) -> list[str]:
    """Returns the names of the arrays of an npz, mat or HDF5 file, sorted."""
    if path.suffix.lower() in NPZ:
        with zipfile.ZipFile(path) as archive:
            return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    return isolated(_names, path.absolute(), "." if path.suffix.lower() in MAT else "/")


def _names(path: Path, separator: str) -> list[str]:
    if h5py.is_hdf5(path):
        names: list[str] = []
        with h5py.File(path, "r") as file:
            file.visititems(
                lambda name, item: (
                    names.append(name.replace("/", separator))
                    if isinstance(item, h5py.Dataset) and item.ndim > 1 and not name.startswith("#")
                    else None
                )
            )
        return sorted(names)
    return sorted(name for name, _, _ in scipy.io.whosmat(io.BytesIO(path.read_bytes())))


def _read(paths: Sequence[Path], content: Content) -> Content:
    meter: StreamMeter | None = None
    flat, values, size = [], set[float](), 0
    for path in paths:
        if size > _MOST_BYTES:
            break
        try:
            picture = load_picture(path, variable=content.variable, stack=True)
            flat.append(_flatness(picture.array))
            values |= _some_values(picture.array) if len(values) <= _FEW_VALUES else set()
            check_measured(path, picture)
        except SampleError as error:
            content.problem = content.problem or str(error)
            content.sizes = content.sizes or _rgb_size(path)
            continue
        size += picture.array.nbytes
        if meter is None:
            _begin(path, picture, content)
            meter = StreamMeter(StreamSpec(channels=content.channels, unit="any", missing=content.missing))
        _measure(path, picture, content, meter)
    if meter is not None:
        summary = meter.summary(derived=False)
        content.low, content.high, content.strays = summary.all.minimum, summary.all.maximum, summary.strays
    whole = all(float(value).is_integer() for value in values)
    content.looks_labelled = bool(flat) and whole and len(values) <= _FEW_VALUES and min(flat) >= _FLAT
    content.fits_rgb = any(_fits_rgb(path, content) for path in paths[:_TRIED])
    return content


def _begin(path: Path, picture: Picture, content: Content) -> None:
    """Takes over what all files of a stream must have in common from the first one."""
    content.shape, content.missing = picture.array.shape, picture.missing
    content.channels_first |= path.suffix.lower() in ARRAYS and _is_first(picture.array)
    array = _last(picture.array, content)
    content.dtype, content.channels = array.dtype.name, array.shape[2]


def _measure(path: Path, picture: Picture, content: Content, meter: StreamMeter) -> None:
    array = _last(picture.array, content)
    if (array.dtype.name, array.shape[2]) != (content.dtype, content.channels):
        has = f"{texts(array.shape[2], 'channel', 'channels')} of {array.dtype}"
        others = f"{texts(content.channels, 'channel', 'channels')} of {content.dtype}"
        content.differing = content.differing or f"{path} has {has}, others have {others}"
        return
    for top in range(0, array.shape[0], _BAND):
        meter.add(array[top : top + _BAND])
    content.read += 1
    content.sizes = sorted({*content.sizes, (array.shape[0], array.shape[1])})
    content.remarks += [text for text in picture.remarks if text not in content.remarks]


def _flatness(array: Array) -> float:
    """Returns the share of pixels that equal the one to their right."""
    if array.shape[1] < 2:
        return 0.0
    return float((array[:, 1:] == array[:, :-1]).all(axis=2).mean())


def _some_values(array: Array) -> set[float]:
    """Returns the values of at most so many rows."""
    return set(np.unique(array[:: -(-array.shape[0] // _BAND)]).tolist())


def _is_first(array: Array) -> bool:
    """Returns whether the first axis is the one of channels: a few, beside two long ones."""
    return array.ndim == 3 and array.shape[0] <= _MOST_CHANNELS < min(array.shape[1:])


def _last(array: Array, content: Content) -> Array:
    return np.moveaxis(array, 0, -1) if content.channels_first and array.shape[2] > 1 else array


def _rgb_size(path: Path) -> list[tuple[int, int]]:
    with suppress(SampleError):
        return [load_rgb(path)[1]]
    return []


def _fits_rgb(path: Path, content: Content) -> bool:
    if content.variable is not None or content.dtype not in ("", "uint8"):
        return False
    return bool(_rgb_size(path))


def is_lossy(family: Family) -> bool:
    """Returns whether the files are JPEG, which holds no labels."""
    return family.suffix in JPEG


def load_label(root: Path, path: str, variable: str | None) -> Picture:
    """Reads a label file as the converter does; raises SampleError."""
    return load_labels(root / path, variable, ImageFiles(Tree(root), "", {}))
