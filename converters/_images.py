"""Whole pictures and arrays from disk, or one `SampleError` that names the file and the reason.

Nothing is cast on the way: 16 bits stay 16 bits, floats stay floats, colours come in RGB order. A file that
is cut short is refused even where its decoder would hand over half a picture.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from aims.core.schema import Array, SampleError

PNG = (".png",)
JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
NPY = (".npy",)
#: Formats of a stream, of a label map (JPEG changes values), and of an RGB picture that is kept as a file.
STREAM_SUFFIXES = PNG + JPEG + TIFF + NPY
LABEL_SUFFIXES = PNG + TIFF + NPY
RGB_SUFFIXES = PNG + JPEG + TIFF + (".webp",)

_AGAIN = "copy or download it again"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6  # colour types of the PNG standard
_PNG_CHANNELS = {_GREY: [0], _RGB: [0, 1, 2], _GREY_ALPHA: [0, 3], _RGB_ALPHA: [0, 1, 2, 3]}
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = (None, 0, 1)
_LZW = 5
_MINISBLACK, _TIFF_RGB, _TIFF_PALETTE = 1, 2, 3


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    Attributes:
        array: (height, width, channels), in the file's own dtype.
        palette: (colours, 3) uint8 RGB where `array` holds indices into it.
    """

    array: Array
    palette: NDArray[np.uint8] | None = None


def load_picture(path: Path) -> Picture:
    """Reads a PNG, JPEG, TIFF or npy file; the suffix says which.

    Raises:
        SampleError: the file is absent, empty, cut short, of another format, or of a kind that has no plain
            reading (several pages, CMYK, turned by EXIF).
    """
    suffix = path.suffix.lower()
    data = read_bytes(path)
    if suffix in PNG:
        picture = _load_png(path, data)
    elif suffix in JPEG:
        picture = _load_jpeg(path, data)
    elif suffix in TIFF:
        picture = _load_tiff(path, data)
    elif suffix in NPY:
        picture = Picture(load_npy(path, data))
    else:
        raise SampleError(f"{path}: suffix {suffix!r} is not read; use {', '.join(STREAM_SUFFIXES)}")
    return Picture(_checked(path, picture.array), picture.palette)


def load_rgb(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Reads an RGB picture as the file's own bytes, once they have been decoded to the end.

    Returns:
        The bytes, and (height, width).
    """
    if path.suffix.lower() not in RGB_SUFFIXES:
        raise SampleError(f"{path}: an RGB picture is kept as it is; use {', '.join(RGB_SUFFIXES)}")
    data = read_bytes(path)
    formats = {".png": "PNG", ".webp": "WEBP", **dict.fromkeys(JPEG, "JPEG"), **dict.fromkeys(TIFF, "TIFF")}
    image = _decode(path, data, formats[path.suffix.lower()])
    return data, (image.height, image.width)


def read_bytes(path: Path) -> bytes:
    """Reads a file that must hold something."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SampleError(f"{path}: no such file; {_AGAIN}") from None
    except OSError as error:
        raise SampleError(f"{path}: not readable ({error.strerror}); check its rights") from error
    if not data:
        raise SampleError(f"{path}: empty (0 bytes); {_AGAIN}")
    return data


def load_npy(path: Path, data: bytes) -> Array:
    """Reads the bytes of an npy file. Pickled objects are never unpacked."""
    with _reasons(path, "npy"):
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def check_sizes(sizes: Collection[tuple[Path, tuple[int, int]]]) -> None:
    """Refuses files of one image that differ in height or width."""
    (first, size), *others = sizes
    for path, other in others:
        if other != size:
            raise SampleError(
                f"{path}: {other[0]} x {other[1]} (height x width), but {first} is {size[0]} x {size[1]}; "
                "all files of one image must have the same size"
            )


def _checked(path: Path, array: Array) -> Array:
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise SampleError(
            f"{path}: dtype {array.dtype} is not kept; use bool, integers or floats up to 64 bit"
        )
    if array.ndim not in (2, 3) or array.size == 0:
        raise SampleError(f"{path}: shape {array.shape} is no picture; save it as (height, width, channels)")
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return native if native.ndim == 3 else native[..., None]


@contextmanager
def _reasons(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a decoder raises into one line about the file."""
    try:
        yield
    except (SampleError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise SampleError(f"{path}: not a {kind} file, or cut short at its start; {_AGAIN}") from error
    except Image.DecompressionBombError as error:
        raise SampleError(f"{path}: too large for one picture ({error}); cut it into tiles") from error
    # Decoders raise what they meet: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SampleError(f"{path}: not a whole {kind} file ({reason}); {_AGAIN}") from error


def _decode(path: Path, data: bytes, kind: str) -> Image.Image:
    with _reasons(path, kind), warnings.catch_warnings():
        # Pillow warns about pictures above half its limit, which are fine; above the limit it raises.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        if kind == "PNG":
            Image.open(io.BytesIO(data), formats=[kind]).verify()  # checksums; loading skips them
        image = Image.open(io.BytesIO(data), formats=[kind])
        image.load()
        turned = image.getexif().get(_EXIF_ORIENTATION)
    if kind == "PNG" and _PNG_END not in data:
        raise SampleError(f"{path}: not a whole PNG file (its end is missing); {_AGAIN}")
    if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise _several_pages(path, int(getattr(image, "n_frames", 1)))
    _check_upright(path, turned)
    return image


def _check_upright(path: Path, orientation: object) -> None:
    # Viewers and the Hugging Face decoder turn such a picture, array readers do not.
    if orientation not in _UPRIGHT:
        raise SampleError(
            f"{path}: its orientation tag is {orientation}, so programs disagree on which side is up; "
            "save the picture upright, without the tag"
        )


def _several_pages(path: Path, pages: int) -> SampleError:
    return SampleError(f"{path}: holds {pages} pages; save the one that is meant as a file of its own")


def _load_png(path: Path, data: bytes) -> Picture:
    image = _decode(path, data, "PNG")
    bits, colour = data[24], data[25]  # in the header chunk, which comes first
    array: Array = np.asarray(image)
    if colour == _PALETTE:
        return Picture(
            array, _palette(path, array, np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3))
        )
    if bits == 16 and colour != _GREY:
        return Picture(_deep_colours(path, data)[..., _PNG_CHANNELS[colour]])
    if bits == 16:
        return Picture(array.astype(np.uint16))
    if bits in (2, 4):
        # Pillow stretches these to 0..255; the stored number is what labels and sensors mean.
        return Picture(array // np.uint8(255 // (2**bits - 1)))
    return Picture(array)


def _palette(path: Path, indices: Array, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if int(indices.max()) >= len(palette):
        raise SampleError(
            f"{path}: index {indices.max()} lies outside its palette of {len(palette)} colours; save it again"
        )
    return palette


def _deep_colours(path: Path, data: bytes) -> Array:
    """Decodes several 16-bit channels, which Pillow cannot keep, to RGB(A) order."""
    with _reasons(path, "16-bit"):
        array = cast("Array | None", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    if array is None:
        raise SampleError(f"{path}: OpenCV cannot decode it; {_AGAIN}")
    if array.ndim == 2:
        return array[..., None]
    return array[..., [2, 1, 0, 3][: array.shape[2]]]


def _load_jpeg(path: Path, data: bytes) -> Picture:
    image = _decode(path, data, "JPEG")
    if image.mode not in ("L", "RGB"):
        raise SampleError(f"{path}: JPEG of mode {image.mode} is not read; save it as grey or RGB")
    return Picture(np.asarray(image))


def _load_tiff(path: Path, data: bytes) -> Picture:
    with _reasons(path, "TIFF"), _heeding_tifffile(path), tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0] if len(file.pages) else None
        if page is None:
            raise SampleError(f"{path}: holds no page; {_AGAIN}")
        # ImageJ and tifffile itself can hide several pages behind one.
        pages = max(len(file.pages), file.series[0].size // max(page.size, 1))
        if pages > 1:
            raise _several_pages(path, pages)
        _check_extents(path, page, len(data))
        _check_upright(path, int(page.tags[274].value) if 274 in page.tags else None)
        array = _lzw_page(path, page, data) if int(page.compression) == _LZW else page.asarray()
        if page.axes not in ("YX", "YXS", "SYX"):
            raise SampleError(
                f"{path}: TIFF axes {page.axes} are not read; save one (height, width, channels)"
            )
        array = np.moveaxis(array, 0, -1) if page.axes == "SYX" else array
        if int(page.photometric) != _TIFF_PALETTE:
            return Picture(array)
        palette = (page.colormap >> 8).astype(np.uint8).T  # TIFF stores 16 bits a colour
        return Picture(array, _palette(path, array, palette))


@contextmanager
def _heeding_tifffile(path: Path) -> Iterator[None]:
    """Makes an error of what tifffile only logs: a tag it cannot read, after which it guesses the dtype."""
    said: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            said.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield
    finally:
        logger.removeFilter(collect)
    if said:
        raise SampleError(f"{path}: not a whole TIFF file ({' '.join(said[0].split())}); {_AGAIN}")


def _check_extents(path: Path, page: Any, size: int) -> None:
    extents = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if not extents or any(count == 0 or start + count > size for start, count in extents):
        raise SampleError(f"{path}: not a whole TIFF file (pixel data beyond its end or left out); {_AGAIN}")


def _lzw_page(path: Path, page: Any, data: bytes) -> Array:
    """Decodes LZW through OpenCV, as tifffile needs one more package for it; the header must agree."""
    plain = int(page.photometric) in (_MINISBLACK, _TIFF_RGB) and page.axes in ("YX", "YXS")
    array = _deep_colours(path, data) if plain else None
    if array is None or array.reshape(page.shape).dtype != page.dtype:
        raise SampleError(f"{path}: this kind of LZW TIFF is not read; save it uncompressed or with deflate")
    return cast(Array, array.reshape(page.shape))
