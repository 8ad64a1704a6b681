"""Reads images and arrays, or raises a `SampleError` that names the file and the reason.

Values are never cast: 16 bits stay 16 bits, floats stay floats, colours come in RGB order. A truncated file
is refused even if its decoder would return a partial image.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aims.core.remarks import remark
from aims.core.schema import Array, SampleError
from aims.data.format import decode_rgb
from aims.reading.arrays import load_mat, load_npy, load_npz
from aims.reading.declared import png_chunks, png_no_data, png_remarks, thermogram_maker
from aims.reading.decoding import (
    AGAIN,
    Picture,
    as_picture,
    check_upright,
    decoder_errors,
    read_bytes,
    several_pages,
    with_palette,
)
from aims.reading.hdf5 import load_hdf5
from aims.reading.tiff import load_tiff

__all__ = ["Picture", "check_measured", "check_sizes", "load_measurement", "load_picture", "load_rgb"]

PNG = (".png",)
JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
BMP = (".bmp",)
NPY = (".npy",)
NPZ = (".npz",)
MAT = (".mat",)
HDF5 = (".h5", ".hdf5")
#: Files that hold arrays by name.
ARCHIVE_SUFFIXES = NPZ + MAT + HDF5
#: Formats of a stream, of a label map (not JPEG, which changes values), and of an RGB image kept as a file.
STREAM_SUFFIXES = PNG + JPEG + TIFF + BMP + NPY + ARCHIVE_SUFFIXES
LABEL_SUFFIXES = PNG + TIFF + BMP + NPY + ARCHIVE_SUFFIXES
RGB_SUFFIXES = PNG + JPEG + TIFF + BMP + (".webp",)

# Pillow's names of formats that suffixes do not name.
_KINDS = {".jpg": "JPEG", ".tif": "TIFF"}

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_GREY, _PNG_PALETTE, _PNG_ALPHA = 0, 3, (4, 6)  # colour types of the PNG standard
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_BMP_OS2, _BMP_FEW_BITS = 12, 16  # the size of its header; bits a pixel
_EXIF_ORIENTATION = 0x0112
_BAND = 256  # rows
_NOT_RGB = ("CMYK", "LAB", "HSV", "YCbCr", "F", "I")


@contextmanager
def _large_pictures() -> Iterator[None]:
    """Accepts images above Pillow's limit, of which it warns; above twice the limit it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def load_picture(path: Path, *, variable: str | None = None, stack: bool = False) -> Picture:
    """Reads a PNG, JPEG, TIFF, BMP, npy, npz, .mat or HDF5 file; the suffix determines the format.

    Args:
        path: the file.
        variable: the array of an npz, .mat or HDF5 file; None for the other formats, which hold one image.
        stack: allow a TIFF of several pages, whose pages become channels.

    Raises:
        SampleError: the file is missing, empty, truncated, of another format, or of an unsupported kind
            (several pages, print colours, rotated by EXIF), or it lacks the variable.
    """
    suffix = path.suffix.lower()
    if suffix not in STREAM_SUFFIXES:
        raise SampleError(f"{path}: suffix {suffix!r} is not read; use {', '.join(STREAM_SUFFIXES)}")
    if (variable is not None) != (suffix in ARCHIVE_SUFFIXES):
        raise SampleError(
            f"{path}: holds one picture and no variable {variable!r}; leave 'variable' out"
            if variable is not None
            else f"{path}: holds arrays by name; say which one with 'variable'"
        )
    data = read_bytes(path)
    if suffix in PNG:
        picture = _load_png(path, data)
    elif suffix in JPEG:
        picture = _load_jpeg(path, data)
    elif suffix in TIFF:
        picture = load_tiff(path, data, stack=stack)
    elif suffix in BMP:
        picture = _load_bmp(path, data)
    elif variable is None:
        picture = Picture(load_npy(path, data))
    elif suffix in HDF5:
        picture = load_hdf5(path, data, variable)
    else:
        picture = Picture((load_npz if suffix in NPZ else load_mat)(path, data, variable))
    for text in picture.remarks:
        remark(path, text)
    return replace(picture, array=as_picture(path, picture.array))


def load_measurement(path: Path, *, missing: float | None = None) -> Array:
    """Reads the (height, width, channels) array of one picture whose numbers are measurements.

    Args:
        path: the file.
        missing: the stream's missing value; another that the file declares is named in a remark.

    Raises:
        SampleError: see `load_picture`; or the file has a palette.
    """
    picture = load_picture(path)
    check_measured(path, picture)
    if picture.missing not in (None, missing) and (picture.array == picture.missing).any():
        remark(path, f"declares {picture.missing} to be no measurement; it is kept as one")
    return picture.array


def check_measured(path: Path, picture: Picture) -> None:
    """Raises SampleError if the numbers of a picture are the places of colours in its palette."""
    if picture.palette is not None:
        raise SampleError(
            f"{path}: a palette picture, whose numbers measure nothing; convert it to grey or RGB"
        )


def load_rgb(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Reads the bytes of an RGB image file, after decoding it completely as a check.

    The bytes are decoded later, by `aims.data.format.decode_rgb` and by Pillow (Hugging Face's reader), so
    both must see the same picture now.

    Returns:
        The bytes, and (height, width).

    Raises:
        SampleError: the file is missing, truncated, rotated by EXIF, of a format that is not kept, or of a
            kind that programs show differently (floats, inks, 16-bit grey, TIFF with alpha).
    """
    suffix = path.suffix.lower()
    if suffix not in RGB_SUFFIXES:
        raise SampleError(f"{path}: an RGB picture is kept as it is; use {', '.join(RGB_SUFFIXES)}")
    data = read_bytes(path)
    image = _decode(path, data, _KINDS.get(suffix, suffix[1:].upper()))
    if image.mode in _NOT_RGB or not _seen_alike(image, data):
        raise SampleError(
            f"{path}: programs show different pictures of it (Pillow's mode {image.mode}); save it as 8-bit "
            "grey or RGB, or describe it as a stream"
        )
    if maker := thermogram_maker(image):
        remark(path, f"radiometric JPEG of {maker}: kept as the coloured picture that it shows")
    return data, (image.height, image.width)


@_large_pictures()
def _seen_alike(image: Image.Image, data: bytes) -> bool:
    """Returns whether OpenCV sees the RGB picture that Pillow has decoded."""
    try:
        seen = decode_rgb(data)
    except ValueError:
        return False
    # In bands, as converting a large picture at once would take its memory twice more.
    tops = range(0, image.height, _BAND)
    boxes = ((0, top, image.width, min(top + _BAND, image.height)) for top in tops)
    bands = (np.asarray(image.crop(box).convert("RGB")) for box in boxes)
    return seen.shape[:2] == (image.height, image.width) and all(
        np.array_equal(band, seen[top : top + _BAND]) for top, band in zip(tops, bands, strict=True)
    )


def check_sizes(sizes: Collection[tuple[Path | str, tuple[int, int]]]) -> None:
    """Raises SampleError if the files of one image differ in (height, width)."""
    (first, size), *others = sizes
    for path, other in others:
        if other != size:
            raise SampleError(
                f"{path}: {other[0]} x {other[1]} (height x width), but {first} is {size[0]} x {size[1]}; "
                "all files of one image must have the same size"
            )


def _decode(path: Path, data: bytes, kind: str) -> Image.Image:
    with decoder_errors(path, kind), _large_pictures():
        if kind == "PNG":
            Image.open(io.BytesIO(data), formats=[kind]).verify()  # checks the CRCs, which loading skips
        image = Image.open(io.BytesIO(data), formats=[kind])
        image.load()
        turned = image.getexif().get(_EXIF_ORIENTATION)
    if kind == "PNG" and _PNG_END not in data:
        raise SampleError(f"{path}: not a whole PNG file (its end is missing); {AGAIN}")
    if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise several_pages(path, int(getattr(image, "n_frames", 1)))
    check_upright(path, turned)
    return image


@_large_pictures()
def _as_array(image: Image.Image) -> Array:
    """Returns the pixels of a decoded picture, band by band, as Pillow copies what it converts twice."""
    first = np.asarray(image.crop((0, 0, image.width, min(_BAND, image.height))))
    array = np.empty((image.height, *first.shape[1:]), first.dtype)
    for top in range(0, image.height, _BAND):
        bottom = min(top + _BAND, image.height)
        array[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return array


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)


def _load_png(path: Path, data: bytes) -> Picture:
    image = _decode(path, data, "PNG")
    bits, colour = data[24], data[25]  # of the IHDR chunk, which always comes first
    array = _as_array(image)
    if colour == _PNG_PALETTE:
        return with_palette(path, array, _palette(image))
    chunks = png_chunks(data)
    missing, remarks = png_no_data(chunks), tuple(png_remarks(chunks, bits))
    if bits == 16 and colour == _PNG_GREY:
        # Pillow may decode it to int32 (mode I).
        array = array.astype(np.uint16, copy=False)
    elif bits == 16:
        # Pillow has reduced colours to 8 bits.
        with decoder_errors(path, "PNG"):
            deep = np.atleast_3d(imagecodecs.png_decode(data))
        # A transparent colour (tRNS) may have become a channel.
        array = deep[..., : _PNG_CHANNELS[colour]]
    if bits in (2, 4):
        # Pillow stretches these to 0..255; labels and sensors mean the stored numbers.
        array = array // np.uint8(255 // (2**bits - 1))
    return Picture(array, alpha=colour in _PNG_ALPHA, missing=missing, remarks=remarks)


def _load_jpeg(path: Path, data: bytes) -> Picture:
    image = _decode(path, data, "JPEG")
    if image.mode not in ("L", "RGB"):
        raise SampleError(f"{path}: JPEG of mode {image.mode} is not read; save it as grey or RGB")
    if maker := thermogram_maker(image):
        raise SampleError(
            f"{path}: a radiometric JPEG of {maker}: its pixels are a coloured picture, its temperatures are "
            "metadata; export them as TIFF or npy (with the maker's program, or flyr), or keep it as [rgb]"
        )
    return Picture(_as_array(image), lossy=True)


def _load_bmp(path: Path, data: bytes) -> Picture:
    image = _decode(path, data, "BMP")
    # Bits a pixel, which the header of OS/2 has elsewhere than all later ones.
    at = 24 if data[14] == _BMP_OS2 else 28
    if data[at] == _BMP_FEW_BITS:
        raise SampleError(
            f"{path}: holds 5 or 6 bits a colour, which programs stretch to 8 in different ways; save it "
            "with 24 bits a pixel"
        )
    if image.mode == "P":
        return with_palette(path, _as_array(image), _palette(image))
    return Picture(_as_array(image), alpha=image.mode == "RGBA")
