"""Reads the JSON files of LabelMe, which tools such as X-AnyLabeling write as well.

The keys are those of labelme's `LabelFile`, which is not imported because it needs Qt. Polygons are filled as
COCO's are, as which LabelMe exports them.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from aims.core.names import composed
from aims.core.schema import SampleError
from aims.core.structs import read_struct

from .masks import RLE, MaskError, Size, encode_polygons
from .objects import LabelledObject, ObjectFile, place_mask, read_png_mask, read_points, unread_shape

#: Labels that LabelMe itself takes for no class.
VOID = ("_background_", "__ignore__")


class _Shape(msgspec.Struct):
    label: str
    points: Any
    shape_type: str | None = None
    group_id: int | str | None = None
    mask: str | None = None

    def encode(self, size: Size) -> RLE:
        """Encodes the shape; raises MaskError if it has no area or cannot be drawn."""
        match self.shape_type or "polygon":
            case "polygon" | "rotation" | "oriented_rectangle":
                return _encode_polygon(read_points(self.points, size, at_least=3), size)
            case "rectangle":
                corners = read_points(self.points, size, at_least=2)
                if len(corners) == 2:
                    (left, top), (right, bottom) = corners
                    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
                return _encode_polygon(corners, size)
            case "circle":
                centre, rim = read_points(self.points, size, at_least=2)[:2]
                square = float(((rim - centre) ** 2).sum())
                low = np.floor(np.maximum(centre - square**0.5, 0)).astype(int)
                high = np.ceil(np.minimum(centre + square**0.5, size[::-1])).astype(int)
                # Of the centres of the pixels, those within the radius.
                rows, columns = np.ogrid[low[1] : high[1], low[0] : high[0]]
                far = (columns + 0.5 - centre[0]) ** 2 + (rows + 0.5 - centre[1]) ** 2
                return place_mask(far <= square, int(low[0]), int(low[1]), size)
            case "mask":
                x, y = read_points(self.points, size, at_least=1)[0]
                try:
                    data = base64.b64decode(self.mask or "", validate=True)
                except ValueError as error:
                    raise MaskError(f"a mask that is no base64 ({error})") from None
                return place_mask(read_png_mask(data, size), int(x), int(y), size)
            case other:
                raise unread_shape(other)


class _File(msgspec.Struct, rename="camel"):
    shapes: list[_Shape]
    image_height: int | None = None
    image_width: int | None = None


def read_labelme(path: Path) -> ObjectFile:
    """Reads one file; the shapes of one label and group id are one object.

    Raises:
        InputError: the file is missing, no JSON, or not LabelMe's.
    """
    content = read_struct(path, _File, what="a LabelMe file")
    height, width = content.image_height, content.image_width
    if any(side is not None and side < 1 for side in (height, width)):
        raise SampleError(f"{path}: imageHeight, imageWidth are {height}, {width}; correct them")
    groups: dict[object, list[int]] = {}
    for k, shape in enumerate(content.shapes):
        groups.setdefault(k if shape.group_id is None else (shape.label, shape.group_id), []).append(k)
    objects = [
        LabelledObject(
            "shape " + ", ".join(str(k + 1) for k in members),
            composed(content.shapes[members[0]].label),
            [content.shapes[k].encode for k in members],
        )
        for members in groups.values()
    ]
    return ObjectFile((height, width) if height and width else None, objects)


def _encode_polygon(points: Any, size: Size) -> RLE:
    return encode_polygons([points.ravel().tolist()], size)
