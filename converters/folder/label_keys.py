"""Reads the table `[labels]` of the description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from aims.core.errors import InputError
from aims.reading.patterns import Pattern
from aims.reading.pictures import LABEL_SUFFIXES

from ..reading.fields import Fields
from ..reading.objects import Label
from .classes import CodedClasses, coded_classes
from .file_keys import file_pattern, variable_name
from .objects import OBJECT_FORMATS, ObjectClasses, class_names, object_classes

_INSTANCE_KEYS = ("label_divisor", "class_files", "class_variable")
#: The part of the names of masks that is the class of their object.
_NAMED = ("class",)


@dataclass(frozen=True, kw_only=True)
class LabelsEntry:
    """`[labels]`: the files and their classes; None for COCO JSON, which names them itself.

    There, `crowd` says what to do with crowd regions (iscrowd 1); None as `keeps_crowds` finds it right.

    Attributes:
        one_each: whether each file is the mask of one object.
        names: class id of each text that stands for {class} in the names of masks; None without {class}.
        empty: whether an image without a mask shows no object.
        divisor: a number is that of its class times the divisor, plus that of the instance; or None.
        class_files: maps of the classes beside those of the instances; or None.
        class_variable: the array in these files.
    """

    files: Pattern
    variable: str | None
    classes: CodedClasses | ObjectClasses | None
    crowd: Literal["keep", "drop"] | None = None
    one_each: bool = False
    names: Mapping[Label, int] | None = None
    empty: bool = False
    divisor: int | None = None
    class_files: Pattern | None = None
    class_variable: str | None = None

    @property
    def holds_instances(self) -> bool:
        """Whether the files say which pixels are an instance, and of which class it is."""
        return self.one_each or self.divisor is not None or self.class_files is not None


def read_labels(table: Fields, classes: tuple[str, ...], parts: tuple[str, ...]) -> LabelsEntry:
    """Reads the table; `classes` and `parts` are the classes and the parts of names of the description."""
    table.only("files", "variable", "kind", "palette", "values", "void", "crowd", "empty", *_INSTANCE_KEYS)
    kinds = ("semantic", "instance", "masks", "coco", *OBJECT_FORMATS)
    kind = table.take("kind", " or ".join(f'"{name}"' for name in kinds), kinds.__contains__)
    for key in _INSTANCE_KEYS:
        if key in table and kind != "instance":
            raise InputError(f'{table.where}: {key!r} goes with kind = "instance" alone; leave it out')
    if "empty" in table and kind != "masks":
        raise InputError(f"{table.where}: 'empty' goes with kind = \"masks\" alone; leave it out")
    empty = table.optional("empty", table.boolean) or False
    if kind in OBJECT_FORMATS:
        files = file_pattern(table, (OBJECT_FORMATS[kind].suffix,), parts)
        return LabelsEntry(files=files, variable=None, classes=object_classes(table, kind, classes))
    if kind != "coco":
        if "crowd" in table:
            raise InputError(f"{table.where}: 'crowd' goes with kind = \"coco\" alone; leave it out")
        files = file_pattern(table, LABEL_SUFFIXES, parts, free=_NAMED * (kind == "masks"))
        if files.free:
            return LabelsEntry(
                files=files,
                variable=variable_name(table),
                classes=CodedClasses(drawn="instance", ids={0: 0}),
                one_each=True,
                names=class_names(table, classes),
                empty=empty,
            )
        divisor, class_files, class_variable = _instance_keys(table, parts)
        return LabelsEntry(
            files=files,
            variable=variable_name(table),
            classes=coded_classes(table, kind, classes),
            one_each=kind == "masks",
            empty=empty,
            divisor=divisor,
            class_files=class_files,
            class_variable=class_variable,
        )
    for key in ("variable", "palette", "values", "void"):
        if key in table:
            raise InputError(f'{table.where}: {key!r} does not go with kind = "coco"; leave it out')
    files = file_pattern(table, (".json",), parts, needs_id=False)
    if files.has_id():
        raise InputError(
            f"{files.where}: {files.text!r} has an {{id}}, but one JSON file describes all images of a split"
        )
    crowd = table.optional(
        "crowd", partial(table.take, wanted='"keep" or "drop"', fits=("keep", "drop").__contains__)
    )
    return LabelsEntry(files=files, variable=None, classes=None, crowd=crowd)


def _instance_keys(table: Fields, parts: tuple[str, ...]) -> tuple[int | None, Pattern | None, str | None]:
    """Reads the keys that tell the class of an instance: `label_divisor`, or `class_files`."""
    divisor = table.optional("label_divisor", table.integer)
    if divisor is not None and divisor < 2:
        raise InputError(f"{table.where}: 'label_divisor' is {divisor}; it must be 2 or more, such as 1000")
    if "class_files" not in table:
        if "class_variable" in table:
            raise InputError(f"{table.where}: 'class_variable' goes with 'class_files'; leave it out")
        return divisor, None, None
    if divisor is not None:
        raise InputError(f"{table.where}: give either 'label_divisor' or 'class_files', to tell classes")
    inner = {key.removeprefix("class_"): table.values[key] for key in _INSTANCE_KEYS[1:] if key in table}
    maps = Fields({"files": table.string("class_files"), **inner}, f"{table.where} class")
    return None, file_pattern(maps, LABEL_SUFFIXES, parts), variable_name(maps)
