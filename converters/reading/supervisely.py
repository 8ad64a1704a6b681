"""Reads the annotation files of Supervisely, `ann/PICTURE.json`.

Coordinates are indices of pixels, so that the outline belongs to the object: polygons are filled by OpenCV,
as Supervisely's own program does.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from aims.core.names import composed
from aims.core.schema import SampleError
from aims.core.structs import read_struct

from .fields import shorten
from .masks import RLE, MaskError, Size, encode_mask
from .objects import LabelledObject, ObjectFile, place_mask, read_png_mask, read_points, unread_shape

# A PNG of a mask is smaller than its pixels, but for what stands before them.
_HEAD = 1 << 16


class _Outline(msgspec.Struct):
    exterior: Any
    interior: Any = ()


class _Bitmap(msgspec.Struct):
    data: str
    origin: Any


class _Object(msgspec.Struct, rename="camel"):
    class_title: str
    geometry_type: str | None = None
    points: _Outline | None = None
    bitmap: _Bitmap | None = None

    def encode(self, size: Size) -> RLE:
        """Encodes the object; raises MaskError if it has no area or cannot be drawn."""
        kind = self.geometry_type or ("bitmap" if self.bitmap else "polygon")
        if kind == "bitmap" and self.bitmap is not None:
            x, y = read_points([self.bitmap.origin], size, at_least=1)[0]
            return place_mask(read_png_mask(_unpack(self.bitmap.data, size), size), int(x), int(y), size)
        if kind not in ("polygon", "rectangle"):
            raise unread_shape(kind)
        if self.points is None:
            raise MaskError(f"a {kind} without points")
        mask = np.zeros(size, np.uint8)
        if kind == "rectangle":
            first, second = _pixels(self.points.exterior, size, at_least=2)[:2].tolist()
            cv2.rectangle(mask, first, second, 1, cv2.FILLED)
            return encode_mask(mask)
        cv2.fillPoly(mask, [_pixels(self.points.exterior, size, at_least=3)], 1)
        holes = self.points.interior or ()
        if not isinstance(holes, list | tuple):
            raise MaskError(f"interior {shorten(holes)}; it must be a list of outlines")
        for hole in holes:
            cv2.fillPoly(mask, [_pixels(hole, size, at_least=3)], 0)
        return encode_mask(mask)


class _Size(msgspec.Struct):
    height: int
    width: int


class _File(msgspec.Struct):
    size: _Size
    objects: list[_Object]


def read_supervisely(path: Path) -> ObjectFile:
    """Reads one file.

    Raises:
        InputError: the file is missing, no JSON, or not Supervisely's.
    """
    content = read_struct(path, _File, what="an annotation of Supervisely")
    size = (content.size.height, content.size.width)
    if min(size) < 1:
        raise SampleError(f"{path}: 'size' is {size[0]} x {size[1]} (height x width); correct it")
    objects = [
        LabelledObject(f"object {k}", composed(entry.class_title), [entry.encode])
        for k, entry in enumerate(content.objects, start=1)
    ]
    return ObjectFile(size, objects)


def _pixels(value: Any, size: Size, *, at_least: int) -> NDArray[np.int32]:
    return np.rint(read_points(value, size, at_least=at_least)).astype(np.int32)


def _unpack(text: str, size: Size) -> bytes:
    """Unpacks base64 of zlib; what is longer than a mask of the picture can be is refused."""
    most = _HEAD + 4 * size[0] * size[1]
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), most + 1)
    except (ValueError, zlib.error) as error:
        raise MaskError(f"a bitmap that cannot be unpacked ({error})") from None
    if len(data) > most:
        raise MaskError("a bitmap that unpacks to more than the picture holds")
    return data
