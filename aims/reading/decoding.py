"""Helpers of all decoders: reading files, keeping values as stored, one-line errors for damaged files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from aims.core.errors import InputError, OutOfMemory
from aims.core.files import regular_file
from aims.core.schema import Array, SampleError

AGAIN = "copy or download it again"
_UPRIGHT = (None, 0, 1)


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    Attributes:
        array: (height, width, channels) as stored, in the file's own dtype.
        palette: (colours, 3) uint8 RGB where `array` holds indices into it.
        black: the highest number that a sample can hold, where the file says that 0 is white; else None.
        lossy: whether the file's compression changes values.
        alpha: whether the file says that the last channel is its alpha channel.
        missing: the number that the file declares to be no measurement, beside NaN; None if it declares none.
        remarks: what the file says about its numbers that is not applied to them.
    """

    array: Array
    palette: NDArray[np.uint8] | None = None
    black: int | None = None
    lossy: bool = False
    alpha: bool = False
    missing: float | None = None
    remarks: tuple[str, ...] = ()


def read_bytes(path: Path) -> bytes:
    """Reads the bytes of a file; raises SampleError if it is missing, no file, unreadable or empty."""
    try:
        data = regular_file(path).read_bytes()
    except FileNotFoundError:
        raise SampleError(f"{path}: no such file; {AGAIN}") from None
    except InputError as error:
        raise SampleError(str(error)) from None
    except OSError as error:
        raise SampleError(f"{path}: not readable ({error.strerror}); check its rights") from error
    if not data:
        raise SampleError(f"{path}: empty (0 bytes); {AGAIN}")
    return data


@contextmanager
def decoder_errors(path: Path, kind: str) -> Iterator[None]:
    """Context manager that turns any exception of a decoder into a one-line SampleError about the file."""
    try:
        yield
    except (SampleError, OutOfMemory):
        raise
    except MemoryError:
        raise OutOfMemory(str(path)) from None
    except UnidentifiedImageError as error:
        raise SampleError(f"{path}: not a {kind} file, or cut short at its start; {AGAIN}") from error
    except Image.DecompressionBombError as error:
        raise SampleError(f"{path}: too large for one picture ({error}); cut it into tiles") from error
    # Decoders raise many types: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SampleError(f"{path}: not a whole {kind} file ({reason}); {AGAIN}") from error


def as_picture(path: Path, array: Array) -> Array:
    """Returns an array as (height, width, channels) in native byte order; raises if it is not an image."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise SampleError(
            f"{path}: dtype {array.dtype} is not kept; use bool, integers or floats up to 64 bit"
        )
    if array.ndim not in (2, 3) or array.size == 0:
        raise SampleError(f"{path}: shape {array.shape} is no picture; save it as (height, width, channels)")
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return native if native.ndim == 3 else native[..., None]


def check_upright(path: Path, orientation: object) -> None:
    """Raises if EXIF rotates the image, which viewers and Hugging Face apply, but array readers do not."""
    if orientation not in _UPRIGHT:
        raise SampleError(
            f"{path}: its orientation tag is {orientation}, so programs disagree on which side is up; "
            "save the picture upright, without the tag"
        )


def several_pages(path: Path, pages: int) -> SampleError:
    """Returns the error for a file of several pages where one image is expected."""
    return SampleError(f"{path}: holds {pages} pages; save the one that is meant as a file of its own")


def with_palette(path: Path, indices: Array, palette: NDArray[np.uint8]) -> Picture:
    """Returns a palette image after checking that all indices lie in its palette."""
    used = np.unique(indices)
    if int(used[-1]) >= len(palette):
        raise SampleError(
            f"{path}: index {used[-1]} lies outside its palette of {len(palette)} colours; save it again"
        )
    shown = palette[used].astype(int)
    inverted = len(used) > 1 and bool((np.diff(shown, axis=0) < 0).all())
    remark = f"its palette shows {used[0]} as the brightest: the numbers are kept, not inverted"
    return Picture(indices, palette, remarks=(remark,) * inverted)
