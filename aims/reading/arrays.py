"""Reads arrays of npy files, npz archives and MATLAB's .mat files.

Nothing is unpickled or executed: of MATLAB's classes, numbers, logicals and fields of a struct are read.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadWarning

from aims.core.isolation import isolated
from aims.core.schema import Array, SampleError
from aims.reading.decoding import AGAIN, decoder_errors
from aims.reading.hdf5 import NUMBERS, SIGNATURE, check_known, load_mat73, refused

_USER_BLOCK = 512  # MATLAB writes a text header of this size before the HDF5 content
# Version 1.0, and "MI" as a 16-bit number, which shows the byte order.
_BYTE_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
_HEADER = 128


def load_npy(path: Path, data: bytes, kind: str = "npy") -> Array:
    """Decodes the bytes of an npy file; `kind` names it in messages.

    Raises:
        SampleError: the file is damaged, holds Python objects, or goes on after its array.
    """
    with decoder_errors(path, kind):
        file = io.BytesIO(data)
        if _read_npy_header(file)[1].hasobject:
            raise SampleError(
                f"{path}: {kind} of Python objects, which are not unpickled; save the numbers as an array"
            )
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
        if left := len(data) - file.tell():
            raise SampleError(
                f"{path}: {kind} with {left} bytes after its array; save each array as a file of its own"
            )
        return array


def load_npz(path: Path, data: bytes, variable: str) -> Array:
    """Decodes one array of an npz file and verifies its checksum. Pickled objects are refused.

    Raises:
        SampleError: the file is damaged or is not npz, or it lacks the array.
    """
    with decoder_errors(path, "npz"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        check_known(path, variable, names)
        if names.count(variable) > 1:
            raise SampleError(f"{path}: holds variable {variable!r} twice; save it again")
        with archive.open(f"{variable}.npy") as member:
            _, size = npy_header(member)
            end = member.tell() + size
        if size and archive.getinfo(f"{variable}.npy").file_size > end:
            raise SampleError(f"{path}: variable {variable!r} is longer than its header says; save it again")
        # Read to the end, because zipfile verifies the checksum only then.
        content = archive.read(f"{variable}.npy")
    return load_npy(path, content, f"npz ({variable!r})")


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """Reads the header of an npy file; returns the shape that it announces, and the bytes of all numbers."""
    shape, dtype = _read_npy_header(file)
    return shape, 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize


def _read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def load_mat(path: Path, data: bytes, variable: str) -> Array:
    """Decodes one variable of a .mat file of MATLAB version 5 (also 6 and 7) or 7.3, axes as in MATLAB.

    A child process decodes it, because a damaged file can crash scipy's reader or HDF5. The dtype is that of
    the MATLAB class, although version 5 may store integral doubles in fewer bits.

    Args:
        path: the file, for messages.
        data: its bytes.
        variable: name of a numeric or logical array; `a.b` is field b of the struct a.

    Raises:
        SampleError: the file is damaged or is not .mat; the variable is missing or of another class.
    """
    with decoder_errors(path, "MATLAB"):
        return isolated(_load_mat, path, data, variable)


def _load_mat(path: Path, data: bytes, variable: str) -> Array:
    if SIGNATURE in (data[: len(SIGNATURE)], data[_USER_BLOCK : _USER_BLOCK + len(SIGNATURE)]):
        return load_mat73(path, data, variable)
    order = _BYTE_ORDERS.get(data[_HEADER - 4 : _HEADER])
    if order is None:
        raise SampleError(
            f"{path}: not a MATLAB file of version 5 to 7.3, or cut short at its start; save it with -v7 or "
            f"-v7.3, or {AGAIN}"
        )
    with decoder_errors(path, "MATLAB 5"):
        _check_elements(path, data, order)
        return _mat5(path, data, variable)


def _check_elements(path: Path, data: bytes, order: str) -> None:
    """Checks that the last element of a version 5 file is complete; scipy reads only what it needs."""
    position = _HEADER
    while position + 8 <= len(data):
        _, size = struct.unpack_from(f"{order}II", data, position)
        position += 8 + size
    if position != len(data):
        raise SampleError(
            f"{path}: not a whole MATLAB 5 file (it should go on after its {len(data)} bytes); {AGAIN}"
        )


def _mat5(path: Path, data: bytes, variable: str) -> Array:
    name, *fields = variable.split(".")
    kinds = [(found, kind) for found, _, kind in scipy.io.whosmat(io.BytesIO(data))]
    check_known(path, name, (found for found, _ in kinds))
    kind, *others = (kind for found, kind in kinds if found == name)
    if others:
        raise SampleError(f"{path}: holds variable {name!r} twice; save it again")
    if kind not in NUMBERS and not (kind == "struct" and fields):
        raise refused(path, name, f"of class {kind}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", MatReadWarning)  # content left over
            # scipy would discard the imaginary part.
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            value: Any = scipy.io.loadmat(io.BytesIO(data), variable_names=[name], mat_dtype=True)[name]
    except np.exceptions.ComplexWarning:
        raise refused(path, variable, "complex, or beside complex numbers in its struct") from None
    for field in fields:
        # Subclasses of ndarray stand for MATLAB objects and functions.
        if type(value) is not np.ndarray or value.dtype.names is None or value.size != 1:
            raise refused(path, name, "no single struct")
        check_known(path, f"{name}.{field}", (f"{name}.{known}" for known in value.dtype.names))
        name, value = f"{name}.{field}", value[field].item()
    if type(value) is not np.ndarray or value.dtype.kind not in "biufc":
        raise refused(path, name, "no array of numbers (a struct, cell, text, sparse matrix or object)")
    return value
