"""What a picture file says about its numbers beside them: no-data values, scales, calibrations.

A no-data value is used; the rest becomes remarks, as the numbers are kept as stored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from aims.data.meters import show_number

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_PHOTOMETRIC, _MAX_SAMPLE_VALUE, _EXTRA_SAMPLES, _PIXEL_SCALE = 262, 281, 338, 33550
_DESCRIPTION, _GDAL_METADATA, _GDAL_NODATA = 270, 42112, 42113
# LERC, JPEG XR, JPEG XL: what they were told to change stands nowhere that is read.
_PERHAPS_CHANGED = (34887, 34934, 50002, 52546)
_UNITS = {2: "inch", 3: "cm"}
_MULTIPLIED_ALPHA, _WHITE_IS_ZERO = 1, 0
_PNG_SIGNATURE = 8  # bytes
# What programs write that know of no resolution, in pixels an inch.
_SCREENS = (1, 72, 96)

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# ImageJ's calibration is c0 + c1 * number.
_SCALES = re.compile(
    r"\b(rescale[ _]?slope|rescale[ _]?intercept|scale[ _]?factor|scale|add_offset|offset|c0|c1)"
    rf"[\"']?\s*[:=]\s*[\"']?({_NUMBER})",
    re.IGNORECASE,
)
_GDAL_ITEM = re.compile(
    r"<Item\b[^>]*\bname=[\"'](SCALE|OFFSET|UNITTYPE)[\"'][^>]*>\s*([^<]*?)\s*</Item>", re.IGNORECASE
)
_SHORTENED = 1e-5
# Attributes by netCDF's conventions.
_NO_DATA_ATTRIBUTES, _SCALES_OF = ("_FillValue", "missing_value"), ("scale_factor", "add_offset", "units")
_NEUTRAL = {
    "scale": 1,
    "offset": 0,
    "rescaleslope": 1,
    "rescaleintercept": 0,
    "scalefactor": 1,
    "addoffset": 0,
}


def no_data(text: str, dtype: np.dtype[Any]) -> float | None:
    """Returns the number that marks pixels without a measurement, as `dtype` holds it.

    Args:
        text: the number, as GDAL writes it.
        dtype: dtype of the samples.

    Returns:
        None if the text is NaN, which always means missing, or if no sample can hold the number.
    """
    try:
        number = float(text.strip().rstrip("\0"))
    except ValueError:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            number = float(dtype.type(number))
        # Programs shorten the lowest and highest numbers of a dtype, as to -3.40282e+38.
        limit = float(np.finfo(dtype).max)
        if abs(number) != limit and math.isclose(abs(number), limit, rel_tol=_SHORTENED):
            number = math.copysign(limit, number)
        return number if math.isfinite(number) else None
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return int(number) if math.isfinite(number) and number.is_integer() and low <= number <= high else None


def tiff_no_data(page: Any) -> float | None:
    """Returns the no-data value of a page, of GDAL's tag; see `no_data`."""
    tag = page.tags.get(_GDAL_NODATA)
    return None if tag is None else no_data(str(tag.value), page.dtype)


def attribute_no_data(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> float | None:
    """Returns the no-data value that the attributes of an HDF5 dataset give, as netCDF names it."""
    given = (attributes[name] for name in _NO_DATA_ATTRIBUTES if name in attributes)
    return next((number for value in given if (number := no_data(_plain(value), dtype)) is not None), None)


def attribute_remarks(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the attributes of an HDF5 dataset say about its numbers and is not applied to them."""
    if scales := _scales([(name, _plain(attributes[name])) for name in _SCALES_OF if name in attributes]):
        yield f"its attributes give {scales}"


def _plain(value: Any) -> str:
    """Returns an attribute's text, or that of its first number."""
    first = np.ravel(value)[:1].tolist()
    return first[0].decode("utf-8", "replace") if first and isinstance(first[0], bytes) else str(*first)


def zero_is_white(page: Any) -> bool:
    """Returns whether the numbers of a page were written to show 0 as white.

    tifffile, and scikit-image through it, marks boolean arrays so, but writes their values as they are.
    """
    tag = page.tags.get(_PHOTOMETRIC)
    as_given = page.bitspersample == 1 and str(page.software).startswith("tifffile")
    return tag is not None and tag.value == _WHITE_IS_ZERO and not as_given


def tiff_remarks(page: Any) -> Iterator[str]:
    """Yields what the tags of a page say about its numbers and is not applied to them."""
    tags = {code: page.tags[code].value for code in _KNOWN if code in page.tags}
    nodata = tags.get(_GDAL_NODATA)
    if nodata is not None and tiff_no_data(page) is None and "nan" not in str(nodata).lower():
        yield f"GDAL_NODATA is {str(nodata).strip()!r}, which no {page.dtype} pixel can hold"
    items = _GDAL_ITEM.findall(str(tags.get(_GDAL_METADATA, "")))
    if scales := _scales(items):
        yield f"GDAL_METADATA gives {scales}"
    if scales := _scales(_SCALES.findall(str(tags.get(_DESCRIPTION, "")))):
        yield f"ImageDescription gives {scales}"
    if page.compression in _PERHAPS_CHANGED:
        yield f"compressed by {page.compression.name}, which may have changed its numbers"
    bits = page.bitspersample
    if page.dtype.kind in "iu" and isinstance(bits, int) and bits < 8 * page.dtype.itemsize:
        yield f"has {bits} bits a sample, fewer than {page.dtype}; 'valid_range' can say so"
    highest = np.max(tags.get(_MAX_SAMPLE_VALUE, 0))
    if 0 < highest < 2 ** min(np.atleast_1d(bits)) - 1 and page.dtype.kind in "iu":
        yield f"MaxSampleValue is {highest}, below the range of {page.dtype}; 'valid_range' can say so"
    if _MULTIPLIED_ALPHA in np.atleast_1d(tags.get(_EXTRA_SAMPLES, 0)):
        yield "ExtraSamples says that its colours were multiplied by alpha"
    if zero_is_white(page):
        yield "0 is white (WhiteIsZero): streams keep its numbers, labels are inverted as viewers show them"
    elif tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        yield "0 is white (WhiteIsZero), as tifffile marks boolean arrays: labels are kept as written"
    yield from _resolutions(tags)


def png_chunks(data: bytes) -> dict[bytes, bytes]:
    """Returns the chunks of a whole PNG by name, without its pixels; of several with one name, the last."""
    chunks, position = {}, _PNG_SIGNATURE
    while position + 8 <= len(data):
        size, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if name != b"IDAT":
            chunks[name] = data[position + 8 : position + 8 + size]
        position += size + 12  # with name, length and checksum
    return chunks


def png_no_data(chunks: dict[bytes, bytes]) -> int | None:
    """Returns the grey value that a PNG declares transparent, by which GDAL marks missing pixels."""
    transparent = chunks.get(b"tRNS", b"")
    return int.from_bytes(transparent, "big") if len(transparent) == 2 else None


def png_remarks(chunks: dict[bytes, bytes], bits: int) -> Iterator[str]:
    """Yields what the chunks of a PNG say about its numbers and is not applied to them."""
    if len(colour := chunks.get(b"tRNS", b"")) == 6:
        yield f"tRNS declares the colour {np.frombuffer(colour, '>u2').tolist()} transparent"
    significant = chunks.get(b"sBIT", b"")
    if significant and min(significant) < bits:
        yield f"sBIT says that {min(significant)} of {bits} bits are significant; 'valid_range' can say so"
    for name in (b"pCAL", b"sCAL"):
        if name in chunks:
            text = chunks[name].replace(b"\0", b" ").decode("latin-1")
            yield f"{name.decode()} calibrates it: {''.join(filter(str.isprintable, text))[:80]!r}"


def thermogram_maker(image: Image.Image) -> str | None:
    """Returns who made a JPEG that shows temperatures in false colours and keeps them in its metadata."""
    for marker, content in getattr(image, "applist", ()):
        if marker == "APP1" and content.startswith(b"FLIR\0"):
            return "FLIR"
        if marker == "APP4" and content.startswith(b"\xaa\x55"):
            return "DJI"
        if marker == "APP2" and content[4:10] == b"IJPEG\0":
            return "InfiRay"
    return None


def _scales(found: list[tuple[str, str]]) -> str:
    """Formats scales, offsets and units; empty if none changes a number."""
    kept = [
        f"{name.lower()} {value}"
        for name, value in found
        if not re.fullmatch(_NUMBER, value)
        or float(value) != _NEUTRAL.get(re.sub("[ _]", "", name.lower()), math.nan)
    ]
    return ", ".join(dict.fromkeys(kept))


def _resolutions(tags: dict[int, Any]) -> Iterator[str]:
    unit = _UNITS.get(int(tags.get(_RESOLUTION_UNIT, 0)))
    if unit and {_X_RESOLUTION, _Y_RESOLUTION} <= tags.keys():
        pairs = (tags[_X_RESOLUTION], tags[_Y_RESOLUTION])
        across, down = (over / max(under, 1) for over, under in pairs)
        if {across, down} - set(_SCREENS):
            yield f"XResolution and YResolution are {show_number(across)} and {show_number(down)} a {unit}"
    elif match := re.search(r"^unit=(\S+)", str(tags.get(_DESCRIPTION, "")), re.MULTILINE):
        yield f"ImageJ gives its resolution in {match[1]!r}"
    if _PIXEL_SCALE in tags:
        sides = " x ".join(show_number(float(side)) for side in tags[_PIXEL_SCALE][:2])
        yield f"ModelPixelScale gives a pixel of {sides}"


_KNOWN = (
    _PHOTOMETRIC,
    *(_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _MAX_SAMPLE_VALUE, _EXTRA_SAMPLES, _PIXEL_SCALE),
    *(_DESCRIPTION, _GDAL_METADATA, _GDAL_NODATA),
)
