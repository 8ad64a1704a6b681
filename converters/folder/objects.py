"""Labels of the folder converter in files that outline the objects of one image by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aims.core.errors import InputError, unknown_name
from aims.core.names import composed

from ..reading.fields import Fields, is_list_of
from ..reading.labelme import VOID, read_labelme
from ..reading.objects import Label, ObjectFile
from ..reading.supervisely import read_supervisely
from ..reading.yolo import read_yolo


@dataclass(frozen=True)
class ObjectFormat:
    """A format: the suffix of its files, its reader, the type of its labels, and those that are void."""

    suffix: str
    read: Callable[[Path], ObjectFile]
    label: type = str
    void: tuple[str, ...] = ()


#: The formats by `kind`.
OBJECT_FORMATS: Mapping[str, ObjectFormat] = {
    "labelme": ObjectFormat(".json", read_labelme, void=VOID),
    "yolo": ObjectFormat(".txt", read_yolo, label=int),
    "supervisely": ObjectFormat(".json", read_supervisely),
}


@dataclass(frozen=True, kw_only=True)
class ObjectClasses:
    """The format of label files, and the class id of each label in them; class 0 is void."""

    format: ObjectFormat
    ids: Mapping[Label, int]


def object_classes(table: Fields, kind: str, classes: tuple[str, ...]) -> ObjectClasses:
    """Reads `values` and `void` of a `[labels]` table of one of these kinds.

    Without `values`, labels are the names of the classes, or, where they are numbers, their places from 0.
    """
    for key in ("variable", "palette", "crowd"):
        if key in table:
            raise InputError(f'{table.where}: {key!r} does not go with kind = "{kind}"; leave it out')
    form = OBJECT_FORMATS[kind]
    ids = class_names(table, classes, form.label)
    return ObjectClasses(format=form, ids={**dict.fromkeys(form.void, 0), **ids})


def class_names(table: Fields, classes: tuple[str, ...], kind: type = str) -> dict[Label, int]:
    """Returns the class id of each label that a `[labels]` table names in `values` and `void`; 0 is void."""
    if "palette" in table:
        raise InputError(f"{table.where}: 'palette' does not go with names of classes; give 'values'")
    names: list[tuple[str, Label]] = [(name, name) for name in classes]
    if kind is int:
        names = [(name, number) for number, name in enumerate(classes)]
    if "values" in table:
        entries = table.table("values")
        for name in entries.values:
            if name not in classes:
                raise unknown_name("class", name, classes, where=entries.where)
        names = [(name, label) for name in classes for label in _labels(entries, name, kind)]
    void = _labels(table, "void", kind) if "void" in table else []
    ids: dict[Label, int] = {}
    known = [(label, classes.index(name) + 1) for name, label in names]
    for label, class_id in [*known, *((label, 0) for label in void)]:
        if ids.setdefault(composed(label) if isinstance(label, str) else label, class_id) != class_id:
            raise InputError(f"{table.where}: label {label!r} has two meanings; give it one")
    return ids


def _labels(table: Fields, key: str, kind: type) -> list[Label]:
    def fits(value: Any) -> bool:
        return type(value) is kind or (is_list_of(kind)(value) and len(value) > 0)

    value = table.take(key, f"a {'text' if kind is str else 'whole number'} or a list of them", fits)
    return list(value) if isinstance(value, list) else [value]
