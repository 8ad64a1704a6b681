"""The columns of a dataset's Parquet files: their names, types and ranges, declared once.

The Arrow schema, the checks of rows that are read, and the reserved names of streams derive from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Index = Annotated[int, msgspec.Meta(ge=0)]
#: Number of pixels, stored as int64; other integers are stored as int32.
Area = Annotated[int, msgspec.Meta(ge=1, title="area")]
Shape = tuple[Positive, Positive, Positive]
Click = tuple[Index, Index]
#: An encoded image. `defstruct`, because in a class body the field `bytes` would shadow the type.
EncodedPicture = msgspec.defstruct("EncodedPicture", [("bytes", bytes)])


class Tensor(msgspec.Struct):
    """A stream of one image.

    Attributes:
        data: array in C order as little-endian bytes.
        dtype: name of the NumPy dtype.
        shape: (height, width, channels).
    """

    data: bytes
    dtype: str
    shape: Shape


class Instance(msgspec.Struct):
    """One instance of an image; coordinates are in pixels of the image.

    Attributes:
        id: id in the instance map, from 1.
        class_id: id of the class `DatasetSpec.classes[class_id - 1]`.
        area: number of pixels.
        bbox: (x, y, width, height).
        click_paper: (x, y) of the middle pixel in row-major order (`aims.data.instances.paper_clicks`).
        click_strict: (x, y) of the pixel farthest from the boundary (`aims.data.instances.strict_clicks`).
    """

    id: Positive
    class_id: Positive
    area: Area
    bbox: tuple[Index, Index, Positive, Positive]
    click_paper: Click
    click_strict: Click


_BEFORE_STREAMS: Mapping[str, Any] = MappingProxyType(
    {"image_id": str, "group": str, "height": Positive, "width": Positive, "rgb": EncodedPicture | None}
)
_AFTER_STREAMS: Mapping[str, Any] = MappingProxyType({"instances": EncodedPicture, "objects": list[Instance]})
#: Types of the columns that every dataset has.
COLUMNS: Mapping[str, Any] = MappingProxyType({**_BEFORE_STREAMS, **_AFTER_STREAMS})
#: Types of the fields of `objects`.
OBJECT_FIELDS: Mapping[str, Any] = MappingProxyType(get_type_hints(Instance, include_extras=True))
#: The fields of `objects` that hold clicks.
CLICKS = ("click_paper", "click_strict")


def column_types(streams: Iterable[str]) -> dict[str, Any]:
    """Returns the types of all columns of a dataset with the given streams, in storage order."""
    return {**_BEFORE_STREAMS, **dict.fromkeys(streams, Tensor), **_AFTER_STREAMS}
