"""Reads arrays of HDF5 files, and of MATLAB's files of version 7.3, which are HDF5 with conventions."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from aims.core.errors import unknown_name
from aims.core.isolation import isolated
from aims.core.schema import Array, SampleError
from aims.reading.declared import attribute_no_data, attribute_remarks
from aims.reading.decoding import Picture, decoder_errors

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_WHOLE = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
#: MATLAB's classes that are numbers.
NUMBERS = frozenset({"double", "single", "logical", *_WHOLE})


def load_hdf5(path: Path, data: bytes, variable: str) -> Picture:
    """Decodes one dataset of an HDF5 file, axes as stored.

    A child process decodes it, because a damaged file can crash HDF5. Attributes by netCDF's conventions say
    what is no measurement (`_FillValue`, `missing_value`); its scale, offset and units become remarks.

    Args:
        path: the file, for messages.
        data: its bytes.
        variable: path of the dataset in the file, "depth" or "camera/depth".

    Raises:
        SampleError: the file is damaged or is not HDF5; the dataset is missing, is a group or link, or lies
            in other files.
    """
    with decoder_errors(path, "HDF5"):
        return isolated(_load_hdf5, path, data, variable)


def _load_hdf5(path: Path, data: bytes, variable: str) -> Picture:
    with decoder_errors(path, "HDF5"), h5py.File(io.BytesIO(data), "r") as file:
        item = hdf5_dataset(path, file, variable)
        array = np.asarray(item[()])
        attributes = {name: item.attrs[name] for name in item.attrs}
    return Picture(
        array,
        missing=attribute_no_data(attributes, array.dtype),
        remarks=tuple(attribute_remarks(attributes)),
    )


def load_mat73(path: Path, data: bytes, variable: str) -> Array:
    """Decodes one variable of a MATLAB file of version 7.3, axes as in MATLAB; see `load_mat`."""
    with decoder_errors(path, "MATLAB 7.3"), h5py.File(io.BytesIO(data), "r") as file:
        item = mat73_dataset(path, file, variable)
        kind = _class(item)
        if kind not in NUMBERS:
            raise refused(path, variable, f"of class {kind}")
        if "MATLAB_empty" in item.attrs:
            raise refused(path, variable, "empty")
        array = np.asarray(item[()])
    if kind == "logical" and array.dtype == np.uint8:
        array = array.astype(bool)
    # MATLAB stores arrays in column-major order, so HDF5 has the axes in reverse.
    return array.T


def hdf5_dataset(path: Path, file: Any, variable: str) -> Any:
    """Finds a dataset by its path, in the open file alone; raises SampleError as `load_hdf5` does."""
    return _dataset(path, file, variable.strip("/"), "/", _closed, group="a group")


def mat73_dataset(path: Path, file: Any, variable: str) -> Any:
    """Finds a variable or field of a struct, in the open file alone; raises SampleError if there is none."""
    return _dataset(path, file, variable, ".", _closed_in_matlab, group="of class struct")


def refused(path: Path, variable: str, what: str) -> SampleError:
    """Returns the error for a variable that is no array of numbers."""
    return SampleError(
        f"{path}: variable {variable!r} is {what}; name a numeric or logical array, one in another as "
        '"struct.field" (MATLAB) or "group/name" (HDF5)'
    )


def check_known(path: Path, name: str, names: Iterable[str]) -> None:
    """Raises SampleError if a file holds no variable of this name, with those that it holds."""
    names = list(names)
    if name not in names:
        raise SampleError(str(unknown_name("variable", name, names, where=str(path))))


def _dataset(
    path: Path,
    file: Any,
    variable: str,
    separator: str,
    closed: Callable[[Any], str | None],
    *,
    group: str,
) -> Any:
    """Finds a dataset that lies in the file itself.

    `closed` says why an item holds no others, or returns None; `group` is what one that does is called.
    """
    item, name = file, ""
    for field in variable.split(separator):
        if name and (why := closed(item)):
            raise refused(path, name, why)
        prefix = f"{name}{separator}" if name else ""
        check_known(path, prefix + field, (prefix + known for known in item if not known.startswith("#")))
        name = prefix + field
        # Soft and external links could lead to other files.
        if not isinstance(item.get(field, getlink=True), h5py.HardLink):
            raise refused(path, name, "a link")
        item = item[field]
    if not isinstance(item, h5py.Dataset):
        raise refused(path, name, closed(item) or group)
    if item.external or item.is_virtual:
        raise refused(path, name, "stored in other files")
    return item


def _closed(item: Any) -> str | None:
    return None if isinstance(item, h5py.Group) else "an array, and holds no others"


def _closed_in_matlab(item: Any) -> str | None:
    kind = _class(item)
    return None if isinstance(item, h5py.Group) and kind == "struct" else f"of class {kind}, no single struct"


def _class(item: Any) -> str:
    """Returns the MATLAB class of a variable; structs and sparse matrices are both HDF5 groups."""
    value = item.attrs.get("MATLAB_class")
    if "MATLAB_sparse" in item.attrs:
        return "sparse"
    if value is None:
        return "unknown (no MATLAB_class: MATLAB has not written it, so the order of its axes is unknown)"
    return value.decode() if isinstance(value, bytes) else str(value)
