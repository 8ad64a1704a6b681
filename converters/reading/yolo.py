"""Reads YOLO's text files of segmentation: a line an object, its class number and a polygon.

The coordinates are parts of the picture's width and height, from 0 to 1. supervision's loader draws them
rounded to whole pixels; here they are filled as COCO's polygons are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aims.core.files import regular_file
from aims.core.schema import SampleError

from .fields import shorten
from .masks import RLE, MaskError, Size, encode_polygons
from .objects import LabelledObject, ObjectFile

#: Numbers above this are pixels, or 2 for the visibility of a keypoint, and no parts of a side.
_LARGEST = 1.5


def read_yolo(path: Path) -> ObjectFile:
    """Reads one file; an empty one has no objects.

    Raises:
        SampleError: the file is not readable as text, or a line does not begin with the number of a class.
    """
    try:
        lines = regular_file(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SampleError(f"{path}: not readable as text ({error}); copy it again") from None
    objects = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            label, *texts = line.split()
            if not label.removesuffix(".0").isdecimal():
                raise SampleError(
                    f"{path}, line {number}: begins with {shorten(label)}; a line is the number of a class "
                    "and a polygon: 0 0.5 0.5 0.6 0.5 0.6 0.7"
                )
            part = _Polygon(texts)
            objects.append(LabelledObject(f"line {number}", int(label.removesuffix(".0")), [part.encode]))
    return ObjectFile(None, objects)


class _Polygon:
    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def encode(self, size: Size) -> RLE:
        """Encodes the polygon in a picture of this size."""
        try:
            parts = [float(text) for text in self._texts]
        except ValueError:
            raise MaskError(f"coordinates {shorten(' '.join(self._texts))} are no numbers") from None
        if len(parts) == 4:
            raise MaskError("a box (x, y, width, height) is no mask")
        if not all(-_LARGEST <= value <= _LARGEST for value in parts):
            raise MaskError(f"coordinate {max(parts, key=abs)}; it must be a part of the side, 0 to 1")
        sides = size[::-1]
        return encode_polygons([[part * sides[k % 2] for k, part in enumerate(parts)]], size)
