"""Compares what the headers of an image's files announce, before a large one is unpacked."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import scipy.io
import tifffile
from PIL import Image

from aims.core.files import regular_file
from aims.core.isolation import isolated
from aims.core.schema import SampleError
from aims.reading.arrays import npy_header
from aims.reading.hdf5 import hdf5_dataset, mat73_dataset
from aims.reading.pictures import HDF5, MAT, NPY, NPZ, RGB_SUFFIXES, TIFF
from aims.reading.tiff import raising_logged_errors

# Smaller arrays are unpacked whatever their shape: their sizes are compared afterwards.
_LARGE_BYTES = 256 << 20

#: Shape and bytes that a file announces.
Announced = tuple[tuple[int, ...], int]


def check_headers(
    files: Mapping[Path, str | None], *, sizes: Mapping[str, tuple[int, int]] = MappingProxyType({})
) -> None:
    """Checks that no large array of an image has another size than the image's other files.

    Args:
        files: the files of one image, each with the variable that is read of it.
        sizes: further (height, width) of the image, by the place that states them.

    Raises:
        SampleError: one announces more than 256 MiB, and its shape holds the height and width of another
            neither as they are nor doubled, as a mosaic at half resolution has them.
    """
    announced = {path: read_header(path, files[path]) for path in files}
    shapes: dict[object, tuple[int, ...]] = {path: found[0] for path, found in announced.items() if found}
    shapes.update(sizes)
    for path, found in announced.items():
        if found is None or found[1] < _LARGE_BYTES:
            continue
        for other, shape in shapes.items():
            if other != path and not _holds(found[0], shape):
                raise SampleError(
                    f"{path}: announces {' x '.join(map(str, found[0]))} ({found[1] / 2**30:.1f} GiB), but "
                    f"{other} is {' x '.join(map(str, shape))}; all files of one image must have the same "
                    "size"
                )


def _holds(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Returns whether a shape holds another's height and width, whichever axis its channels are."""
    pairs = [other[:2], other[-2:]]
    return any(all(side in shape or 2 * side in shape for side in pair) for pair in pairs)


def read_header(path: Path, variable: str | None) -> Announced | None:
    """Reads what the header of a file announces; None of formats without one, and of damaged ones."""
    suffix = path.suffix.lower()
    with suppress(Exception):
        regular_file(path)
        if suffix in NPY:
            with path.open("rb") as file:
                return npy_header(file)
        if suffix in NPZ:
            with zipfile.ZipFile(path) as archive, archive.open(f"{variable}.npy") as member:
                return npy_header(member)
        if suffix in MAT + HDF5 and variable is not None:
            return isolated(_mat if suffix in MAT else _hdf5, path.absolute(), variable)
        if suffix in TIFF:
            with (
                raising_logged_errors(path),
                tifffile.TiffFile(path, is_ome=False, is_mmstack=False, is_ndtiff=False) as tiff,
            ):
                first: Any = tiff.pages[0]
                return first.shape, first.nbytes * len(tiff.pages)
        if suffix in RGB_SUFFIXES:
            return _picture(path)
    return None


def _hdf5(path: Path, variable: str) -> Announced:
    with h5py.File(path, "r") as file:
        item = hdf5_dataset(path, file, variable)
        return item.shape, item.nbytes


def _mat(path: Path, variable: str) -> Announced:
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            item = mat73_dataset(path, file, variable)
            return item.shape[::-1], item.nbytes
    # As doubles, to which scipy converts what is stored in fewer bits.
    shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
    shape = shapes[variable]
    return shape, math.prod(shape) * 8


def _picture(path: Path) -> Announced:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            # One byte a sample; the few with two are taken for half their size.
            return (image.height, image.width), image.height * image.width * len(image.getbands())
