"""Writers of TIFF stacks and MATLAB files; the same arrays give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import tifffile
from numpy.typing import NDArray

#: MATLAB's class names of the dtypes that it names differently from NumPy.
MATLAB_CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}
_TEXT = b"written by AIMS"
# Length of the header's text, which eight bytes of subsystem offset, the version and the byte order follow.
_TEXT_BYTES = 116
_USER_BLOCK = 512


def write_tiff_stack(path: Path, array: NDArray[Any]) -> None:
    """Writes an array (height, width[, channels]) as a TIFF with one page per channel."""
    planes = array[..., None] if array.ndim == 2 else array
    with tifffile.TiffWriter(path) as file:
        for channel in range(planes.shape[2]):
            file.write(planes[..., channel], photometric="minisblack", metadata=None, contiguous=False)


def write_mat5(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes the variables of a .mat file of version 5, compressed as MATLAB's `save -v7` does."""
    file = io.BytesIO()
    scipy.io.savemat(file, dict(arrays), do_compression=True)
    # scipy writes the time into the header's text, which would change the bytes.
    text = b"MATLAB 5.0 MAT-file, " + _TEXT
    path.write_bytes(text.ljust(_TEXT_BYTES) + file.getvalue()[_TEXT_BYTES:])


def write_mat73(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes the variables of a .mat file of version 7.3: HDF5 after a text header, with axes reversed."""
    with h5py.File(path, "w", userblock_size=_USER_BLOCK) as file:
        for name, array in arrays.items():
            # MATLAB keeps no third axis of length 1.
            plane = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
            stored = plane.astype(np.uint8) if plane.dtype == bool else plane
            item = file.create_dataset(name, data=np.ascontiguousarray(stored.T), compression="gzip")
            kind = MATLAB_CLASSES.get(plane.dtype.name, plane.dtype.name)
            item.attrs["MATLAB_class"] = np.bytes_(kind)
            if kind == "logical":
                item.attrs["MATLAB_int_decode"] = np.int32(1)
    text = b"MATLAB 7.3 MAT-file, " + _TEXT
    with path.open("r+b") as block:
        block.write(text.ljust(_TEXT_BYTES) + bytes(8) + b"\x00\x02IM")
