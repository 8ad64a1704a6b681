"""Validates rows of the Parquet files, types, ranges and consistency, before any value is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aims.core.columns import CLICKS, COLUMNS, OBJECT_FIELDS, Tensor
from aims.core.structs import locate_misfit
from aims.data.instances import count_pixels

#: Prefix of the Parquet path of a single field of `objects`, for reading that field alone.
OBJECT_FIELD = "objects.list.element."
# Ids that a message lists.
_SHOWN = 20


@lru_cache
def _row_type(columns: tuple[str, ...]) -> type[msgspec.Struct]:
    """Builds the struct type of a row with these columns; names outside the format are streams."""
    whole = [name for name in columns if not name.startswith(OBJECT_FIELD)]
    fields: list[tuple[str, Any]] = [(name, COLUMNS.get(name, Tensor)) for name in whole]
    names = [name.removeprefix(OBJECT_FIELD) for name in columns if name not in whole]
    if names:
        instance = msgspec.defstruct("Instance", [(name, OBJECT_FIELDS[name]) for name in names])
        fields.append(("objects", list[instance]))  # type: ignore[valid-type]
    return msgspec.defstruct("Row", fields)


def find_misfit(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, str] | None:
    """Finds a value that is missing, has the wrong type or is out of range.

    Args:
        row: values by column, as read from Parquet.
        columns: the required columns; a single field of "objects" is named by its Parquet path, such as
            "objects.list.element.id".

    Returns:
        The column and what is wrong, or None if the row is valid.
    """
    kind = _row_type(tuple(columns))
    try:
        msgspec.convert(row, kind)
    except msgspec.ValidationError:
        return locate_misfit(row, kind)
    return None


def find_wrong_object(row: Mapping[str, Any], classes: int) -> tuple[str, str] | None:
    """Finds an object with an id, class or click out of bounds, in a row that passes `find_misfit`.

    Args:
        row: values by column; the objects may lack fields.
        classes: number of classes of the dataset.

    Returns:
        The column and what is wrong, or None if all objects are valid.
    """
    for number, item in enumerate(row.get("objects", ()), start=1):
        if item.get("id", number) != number:
            ids = [entry["id"] for entry in row["objects"]]
            shown = str(ids) if len(ids) <= _SHOWN else f"{str(ids[:_SHOWN])[:-1]}, ...]"
            return "objects.id", f"ids {shown} are not 1..{len(ids)}"
        if item.get("class_id", 1) > classes:
            return "objects.class_id", f"class {item['class_id']} of the {classes} that the set lists"
        for name in CLICKS:
            x, y = item.get(name, (0, 0))
            if name in item and not (x < row["width"] and y < row["height"]):
                return f"objects.{name}", f"{[x, y]} of instance {number} lies outside the picture"
    return None


def find_wrong_instance(instances: NDArray[np.uint16], row: Mapping[str, Any]) -> tuple[str, str] | None:
    """Finds an instance that the map does not hold as `objects` says, in a row that passes the other checks.

    Args:
        instances: the decoded instance map.
        row: values by column.

    Returns:
        The column and what is wrong: the size of the map, its ids, or a click beside its instance; or None if
        all are valid.
    """
    size, objects = (row["height"], row["width"]), row["objects"]
    if instances.shape != size:
        return "instances", f"size is {instances.shape}, not {size}"
    # In linear time; `np.unique` would sort all pixels of every image read.
    found = count_pixels(instances)[1:]
    if not found.all():
        return "instances", f"ids are not dense 1..{np.count_nonzero(found)}"
    if len(found) != len(objects):
        return "objects", f"ids 1..{len(objects)} are not the map's 1..{len(found)}"
    for name in CLICKS:
        x, y = np.array([item[name] for item in objects], np.int64).reshape(-1, 2).T
        missed = np.flatnonzero(instances[y, x] != np.arange(1, len(objects) + 1))
        if missed.size:
            k = missed[0]
            return f"objects.{name}", f"click {objects[k][name]} of instance {k + 1} does not lie in it"
    return None
