"""The columns of a dataset's Parquet files: their names, types and ranges, declared once.

What is stored, what is checked when a row is read, and which names a stream may not take follow from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Index = Annotated[int, msgspec.Meta(ge=0)]
#: Number of pixels, stored in 64 bits where other whole numbers take 32.
Area = Annotated[int, msgspec.Meta(ge=1, title="area")]
Shape = tuple[Positive, Positive, Positive]
Click = tuple[Index, Index]
#: An encoded picture. Not written as a class, in which the field would hide the type.
EncodedPicture = msgspec.defstruct("EncodedPicture", [("bytes", bytes)])


class Tensor(msgspec.Struct):
    """A stream of one image.

    Attributes:
        data: C-order little-endian bytes.
        dtype: NumPy's name of the dtype.
        shape: (height, width, channels).
    """

    data: bytes
    dtype: str
    shape: Shape


class Instance(msgspec.Struct):
    """One instance of an image, in pixels.

    Attributes:
        id: its number in the instance map, from 1.
        class_id: class `DatasetSpec.classes[class_id - 1]`.
        area: number of pixels.
        bbox: x, y, width, height.
        click_paper: x, y of the middle pixel (`aims.data.instances.paper_clicks`).
        click_strict: x, y of the innermost pixel (`aims.data.instances.strict_clicks`).
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
    """Types of all columns of a dataset with these streams, in the order in which they are stored."""
    return {**_BEFORE_STREAMS, **dict.fromkeys(streams, Tensor), **_AFTER_STREAMS}
