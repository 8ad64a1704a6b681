"""Reads TIFF files: one image, or a stack whose pages become channels.

Samples come as they are stored, whatever the file says of their display: colours are not multiplied by
alpha, and a picture whose 0 is white is not inverted. Of TIFF's colour spaces (PhotometricInterpretation)
those are read whose samples are numbers of their own; the rest is refused.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from tifffile import COMPRESSION, EXTRASAMPLE, FILETYPE, PHOTOMETRIC

from aims.core.schema import Array, SampleError
from aims.reading.declared import tiff_no_data, tiff_remarks, zero_is_white
from aims.reading.decoding import AGAIN, Picture, check_upright, decoder_errors, several_pages, with_palette

_ORIENTATION = 274
_AXES = ("YX", "YXS", "SYX")
_ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
_MEASURED = frozenset(
    {
        *(PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE),
        *(PHOTOMETRIC.MASK, PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW, PHOTOMETRIC.DEPTH_MAP),
        PHOTOMETRIC.SEMANTIC_MASK,
    }
)
_JPEG = frozenset({COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_LOSSY})
# JPEG 2000 with a wavelet transform that rounds.
_ROUNDED = frozenset(
    {COMPRESSION.JPEG_2000_LOSSY, COMPRESSION.APERIO_JP2000_YCBC, COMPRESSION.APERIO_JP2000_RGB}
)
_CODING_STYLE, _TRANSFORM = b"\xff\x52", 13  # a marker of JPEG 2000, and the place of the transform after it
_WEBP_HEAD = 64  # bytes
_MAX_PIXELS = 1 << 30
_JPEG_END = b"\xff\xd9"


def load_tiff(path: Path, data: bytes, *, stack: bool) -> Picture:
    """Decodes a whole TIFF file.

    The pages of a stack become channels in the order of the file, whatever ImageJ or OME metadata call the
    axes; a page of several samples contributes all of them before the next page. Smaller copies of the first
    page (overviews, in pages or SubIFDs) are no channels and are left out.

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
        raising_logged_errors(path),
        tifffile.TiffFile(io.BytesIO(data), is_ome=False, is_mmstack=False, is_ndtiff=False) as file,
    ):
        found: list[Any] = list(file.pages)
        if not found:
            raise SampleError(f"{path}: holds no page; {AGAIN}")
        pages = [page for page in found if not _is_overview(page, found[0])]
        # ImageJ, MetaMorph and tifffile itself can store several pages behind the tags of one.
        count = max(len(pages), file.series[0].size // max(pages[0].size, 1))
        if count > 1 and not stack:
            raise several_pages(path, count)
        _check_pages(path, pages, data)
        if count > len(pages):
            planes = _hidden_pages(path, file, pages, count)
        else:
            planes = [_decode_page(path, page) for page in pages]
        missing, remarks = tiff_no_data(pages[0]), tuple(tiff_remarks(pages[0]))
    first = pages[0]
    if first.photometric == PHOTOMETRIC.PALETTE:
        if count > 1:
            raise SampleError(
                f"{path}: {count} palette pages, whose numbers measure nothing; convert them to grey"
            )
        palette = (first.colormap >> 8).astype(np.uint8).T  # TIFF stores 16 bits per colour
        picture = with_palette(path, planes[0], palette)
        return replace(picture, missing=missing, remarks=(*picture.remarks, *remarks))
    if first.axes == "SYX":
        planes = [np.moveaxis(plane, 0, -1) for plane in planes]
    return Picture(
        np.concatenate([np.atleast_3d(plane) for plane in planes], axis=-1) if count > 1 else planes[0],
        black=2**first.bitspersample - 1 if zero_is_white(first) else None,
        lossy=_is_lossy(first, data),
        alpha=count == 1 and bool(first.extrasamples) and first.extrasamples[-1] in _ALPHA,
        missing=missing,
        remarks=remarks,
    )


@contextmanager
def raising_logged_errors(path: Path) -> Iterator[None]:
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


def _is_lossy(page: Any, data: bytes) -> bool:
    """Returns whether the compression of a page changes values, as far as its first strip or tile says so."""
    if page.compression in _JPEG | _ROUNDED:
        return True
    first = data[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]]
    if page.compression == COMPRESSION.WEBP:
        return b"VP8L" not in first[:_WEBP_HEAD]
    if page.compression == COMPRESSION.JPEG2000:
        place = first.find(_CODING_STYLE)
        return place >= 0 and first[place + _TRANSFORM : place + _TRANSFORM + 1] == b"\0"
    return False


def _is_overview(page: Any, first: Any) -> bool:
    smaller = page.imagelength < first.imagelength or page.imagewidth < first.imagewidth
    return smaller and FILETYPE(page.subfiletype) == FILETYPE.REDUCEDIMAGE


def _check_pages(path: Path, pages: Sequence[Any], data: bytes) -> None:
    first = pages[0]
    for number, page in enumerate(pages, start=1):
        # A damaged size would be allocated before the data turn out to be less.
        if page.imagelength * page.imagewidth > _MAX_PIXELS:
            raise SampleError(
                f"{path}: too large for one picture ({page.imagelength} x {page.imagewidth} pixels); cut it "
                "into tiles"
            )
        extents = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        if not extents or any(count == 0 or start + count > len(data) for start, count in extents):
            raise SampleError(
                f"{path}: not a whole TIFF file (pixel data beyond its end or left out); {AGAIN}"
            )
        # A JPEG decoder fills in what is missing.
        ends = (data[start : start + count].rstrip(b"\0")[-2:] for start, count in extents)
        if page.compression in _JPEG and any(end != _JPEG_END for end in ends):
            raise SampleError(f"{path}: not a whole TIFF file (JPEG data without an end); {AGAIN}")
        check_upright(path, int(page.tags[_ORIENTATION].value) if _ORIENTATION in page.tags else None)
        _check_samples(path, page)
        # A camera's raw file has a thumbnail as its first page, and the picture in a SubIFD.
        alone = len(pages) == 1 and not page.subifds
        if not alone and FILETYPE(page.subfiletype) & (FILETYPE.REDUCEDIMAGE | FILETYPE.MASK):
            raise SampleError(
                f"{path}: page {number} of {len(pages)} is marked as a thumbnail or a mask; "
                "save the pages that are channels as a file of their own"
            )
        if _kind(page) != _kind(first):
            raise SampleError(
                f"{path}: page {number} is {_describe(page)}, but page 1 is {_describe(first)}; the pages of "
                "a stack become channels and must be alike: save them as files of their own"
            )


def _check_samples(path: Path, page: Any) -> None:
    """Raises if the samples of a page are no measurements, or not one number each."""
    if page.axes not in _AXES:
        raise SampleError(f"{path}: TIFF axes {page.axes} are not read; save one (height, width, channels)")
    # JPEG stores RGB pictures as YCbCr; its decoder returns RGB.
    ycbcr = page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG
    if page.photometric not in _MEASURED and not ycbcr:
        name = getattr(page.photometric, "name", page.photometric)
        raise SampleError(
            f"{path}: TIFF with colours in {name}, made for display or print, is no measurement; save it as "
            "grey or RGB"
        )
    # tifffile stretches samples of different depths, such as 5, 6 and 5 bits, to whole bytes.
    if isinstance(page.bitspersample, tuple):
        raise SampleError(
            f"{path}: TIFF with {', '.join(map(str, page.bitspersample))} bits a sample is not read; save "
            "channels of one depth"
        )


def _kind(page: Any) -> tuple[Any, ...]:
    return page.shape, page.dtype, page.axes, int(page.photometric), int(page.compression)


def _describe(page: Any) -> str:
    shape = " x ".join(map(str, page.shape))
    return f"{shape} {page.dtype} ({page.axes}, {page.photometric.name}, {page.compression.name})"


def _decode_page(path: Path, page: Any) -> Array:
    try:
        return cast(Array, page.asarray())
    except Exception as error:  # a ValueError, or whatever a codec that was not built raises
        if not any(word in str(error) for word in ("imagecodecs", "not supported", "not available")):
            raise
        compression = getattr(page.compression, "name", page.compression)
        raise SampleError(
            f"{path}: TIFF with compression {compression}, predictor {page.predictor} and "
            f"{page.bitspersample} bits a sample is not read; save it plain, with 8, 16, 32 or 64 bits"
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
