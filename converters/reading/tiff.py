"""Reads TIFF files: one image, or a stack whose pages become channels."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import tifffile

from aims.core.schema import Array, SampleError

from .decoding import (
    AGAIN,
    Picture,
    check_upright,
    decoder_errors,
    deep_colours,
    rgb_order,
    several_pages,
    with_palette,
)

_LZW = 5
_MINISBLACK, _RGB, _PALETTE = 1, 2, 3
_ORIENTATION = 274
_AXES = ("YX", "YXS", "SYX")
_THUMBNAIL_OR_MASK = 1 | 4  # bits of the tag NewSubfileType


def load_tiff(path: Path, data: bytes, *, stack: bool) -> Picture:
    """Decodes a whole TIFF file.

    The pages of a stack become channels in the order of the file, whatever ImageJ or OME metadata call the
    axes; a page of several samples contributes all of them before the next page.

    Args:
        path: the file, for messages.
        data: its bytes.
        stack: allow several pages, which must agree in size, dtype and kind.

    Raises:
        SampleError: the file is truncated, of an unsupported kind, or has pages that do not match.
    """
    # OME and Micro-Manager metadata may refer to other files, which tifffile would open.
    with (
        decoder_errors(path, "TIFF"),
        _raising_logged_errors(path),
        tifffile.TiffFile(io.BytesIO(data), is_ome=False, is_mmstack=False, is_ndtiff=False) as file,
    ):
        pages: list[Any] = list(file.pages)
        if not pages:
            raise SampleError(f"{path}: holds no page; {AGAIN}")
        # ImageJ, MetaMorph and tifffile itself can store several pages behind the tags of one.
        count = max(len(pages), file.series[0].size // max(pages[0].size, 1))
        if count > 1 and not stack:
            raise several_pages(path, count)
        _check_pages(path, pages, len(data))
        if count > len(pages):
            planes = _hidden_pages(path, file, pages, count)
        elif int(pages[0].compression) == _LZW:
            planes = _lzw_pages(path, pages, data)
        else:
            planes = [_plain_page(path, page) for page in pages]
    first = pages[0]
    if int(first.photometric) == _PALETTE:
        if count > 1:
            raise SampleError(
                f"{path}: {count} palette pages, whose numbers measure nothing; convert them to grey"
            )
        palette = (first.colormap >> 8).astype(np.uint8).T  # TIFF stores 16 bits per colour
        return with_palette(path, planes[0], palette)
    if first.axes == "SYX":
        planes = [np.moveaxis(plane, 0, -1) for plane in planes]
    return Picture(np.concatenate([np.atleast_3d(plane) for plane in planes], axis=-1))


@contextmanager
def _raising_logged_errors(path: Path) -> Iterator[None]:
    """Raises what tifffile only logs, such as a tag it cannot read, after which it guesses the dtype."""
    errors: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            errors.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield
    finally:
        logger.removeFilter(collect)
    if errors:
        raise SampleError(f"{path}: not a whole TIFF file ({' '.join(errors[0].split())}); {AGAIN}")


def _check_pages(path: Path, pages: Sequence[Any], size: int) -> None:
    first = pages[0]
    for number, page in enumerate(pages, start=1):
        extents = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        if not extents or any(count == 0 or start + count > size for start, count in extents):
            raise SampleError(
                f"{path}: not a whole TIFF file (pixel data beyond its end or left out); {AGAIN}"
            )
        check_upright(path, int(page.tags[_ORIENTATION].value) if _ORIENTATION in page.tags else None)
        if page.axes not in _AXES:
            raise SampleError(
                f"{path}: TIFF axes {page.axes} are not read; save one (height, width, channels)"
            )
        if len(pages) > 1 and int(page.subfiletype) & _THUMBNAIL_OR_MASK:
            raise SampleError(
                f"{path}: page {number} of {len(pages)} is marked as a thumbnail or a mask; "
                "save the pages that are channels as a file of their own"
            )
        if _kind(page) != _kind(first):
            raise SampleError(
                f"{path}: page {number} is {_describe(page)}, but page 1 is {_describe(first)}; the pages of "
                "a stack become channels and must be alike: save them as files of their own"
            )


def _kind(page: Any) -> tuple[Any, ...]:
    return page.shape, page.dtype, page.axes, int(page.photometric), int(page.compression)


def _describe(page: Any) -> str:
    shape = " x ".join(map(str, page.shape))
    return f"{shape} {page.dtype} ({page.axes}, {page.photometric.name}, {page.compression.name})"


def _plain_page(path: Path, page: Any) -> Array:
    try:
        return cast(Array, page.asarray())
    except Exception as error:  # ValueError, or whatever the stub of the missing imagecodecs raises
        if "imagecodecs" not in str(error):
            raise
        raise SampleError(
            f"{path}: TIFF with compression {page.compression.name}, predictor {page.predictor} and "
            f"{page.bitspersample} bits a sample is not read; save it uncompressed, with 8, 16, 32 or 64 bits"
        ) from error


def _hidden_pages(path: Path, file: Any, pages: Sequence[Any], count: int) -> list[Array]:
    """Reads pages stored contiguously after the first, without tags of their own."""
    series, first = file.series[0], pages[0]
    if len(pages) > 1 or series.dataoffset is None or series.size != count * first.size:
        raise SampleError(
            f"{path}: its metadata promise {count} pages, but only {len(pages)} can be found; "
            "save it again as a plain stack"
        )
    return list(series.asarray().reshape(count, *first.shape))


def _lzw_pages(path: Path, pages: Sequence[Any], data: bytes) -> list[Array]:
    """Decodes LZW with OpenCV, as tifffile would need imagecodecs; size and dtype must match the tags."""
    first = pages[0]
    arrays: Sequence[Array] = ()
    if int(first.photometric) in (_MINISBLACK, _RGB) and first.axes in ("YX", "YXS"):
        if len(pages) == 1:
            arrays = [deep_colours(path, data)]
        else:
            _, found = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            arrays = [rgb_order(array) for array in found]
    if len(arrays) != len(pages) or any(
        array.size != first.size or array.dtype != first.dtype for array in arrays
    ):
        raise SampleError(f"{path}: this kind of LZW TIFF is not read; save it uncompressed or with deflate")
    return [array.reshape(first.shape) for array in arrays]
