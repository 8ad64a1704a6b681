"""What a row of the Parquet files may hold; checked before any value is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aims.core.columns import CLICKS, COLUMNS, OBJECT_FIELDS, Tensor
from aims.core.structs import locate_misfit

#: Before the name of a field of `objects` that is read without the others.
OBJECT_FIELD = "objects.list.element."


@lru_cache
def _row_type(columns: tuple[str, ...]) -> type[msgspec.Struct]:
    """The class of rows with these columns; what is no column of the format is a stream."""
    whole = [name for name in columns if not name.startswith(OBJECT_FIELD)]
    fields: list[tuple[str, Any]] = [(name, COLUMNS.get(name, Tensor)) for name in whole]
    names = [name.removeprefix(OBJECT_FIELD) for name in columns if name not in whole]
    if names:
        instance = msgspec.defstruct("Instance", [(name, OBJECT_FIELDS[name]) for name in names])
        fields.append(("objects", list[instance]))  # type: ignore[valid-type]
    return msgspec.defstruct("Row", fields)


def find_misfit(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, str] | None:
    """Looks for a cell that is empty, of another type, or out of every range.

    Args:
        row: values by column, as Parquet gives them.
        columns: the columns that it must have; of "objects" also single fields, such as
            "objects.list.element.id".

    Returns:
        The column and what is wrong, or None.
    """
    kind = _row_type(tuple(columns))
    try:
        msgspec.convert(row, kind)
    except msgspec.ValidationError:
        return locate_misfit(row, kind)
    return None


def find_wrong_object(row: Mapping[str, Any], classes: int) -> tuple[str, str] | None:
    """Looks for an object that the picture or the set cannot have, in a row without a misfit.

    Args:
        row: values by column, "objects" with all or some of their fields among them.
        classes: number of classes of the set.

    Returns:
        The column and what is wrong, or None.
    """
    for number, item in enumerate(row.get("objects", ()), start=1):
        if item.get("id", number) != number:
            ids = [entry["id"] for entry in row["objects"]]
            return "objects.id", f"ids {ids} are not 1..{len(ids)}"
        if item.get("class_id", 1) > classes:
            return "objects.class_id", f"class {item['class_id']} of the {classes} that the set lists"
        for name in CLICKS:
            x, y = item.get(name, (0, 0))
            if name in item and not (x < row["width"] and y < row["height"]):
                return f"objects.{name}", f"{[x, y]} of instance {number} lies outside the picture"
    return None


def check_instances(instances: NDArray[np.uint16], row: Mapping[str, Any]) -> None:
    """Checks that a map has the row's size, and that its instances are those of `objects`.

    Raises:
        ValueError: it has another size, or other ids.
    """
    size, count = (row["height"], row["width"]), len(row["objects"])
    if instances.shape != size:
        raise ValueError(f"instances: size is {instances.shape}, not {size}")
    found = np.bincount(instances.ravel(), minlength=1)[1:]
    if len(found) != count or not found.all():
        raise ValueError(f"instances: the ids are not those of the {count} objects, 1..{count}")
