"""Reads the keys of `[labels]` that map numbers or colours of label files to classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from aims.core.errors import InputError, unknown_name

from ..reading.fields import Fields, is_list_of
from ..reading.label_maps import colour_code, show_colour, show_value

Drawn = Literal["palette", "values", "instance"]


@dataclass(frozen=True, kw_only=True)
class CodedClasses:
    """The coding of label files, and the class id of each number or colour code; class 0 is void.

    If every number or colour is an instance, `ids` lists only the numbers that are void, and `void_colours`
    the codes of such colours.
    """

    drawn: Drawn
    ids: Mapping[int, int]
    void_colours: frozenset[int] = frozenset({0})


def coded_classes(table: Fields, kind: str, classes: tuple[str, ...]) -> CodedClasses:
    """Reads the keys of a `[labels]` table of the kind "semantic", "instance" or "masks"."""
    given = [key for key in ("palette", "values") if key in table]
    told = [key for key in ("label_divisor", "class_files") if key in table]
    if kind == "instance" and not told:
        if given:
            raise InputError(
                f'{table.where}: {given[0]!r} does not go with kind = "instance"; leave it out, or give '
                "'label_divisor' (one number of class and instance) or 'class_files' (a second map)"
            )
        if len(classes) != 1:
            raise InputError(
                f"{table.where}: kind = \"instance\" tells no classes apart; 'classes' has {len(classes)}: "
                "give one class; or 'values' with label_divisor = 1000, if numbers are class * 1000 + "
                "instance; or 'class_files', a second map; or kind = \"semantic\""
            )
    if (kind == "instance" and not told) or (kind == "masks" and not given and len(classes) == 1):
        return _void_of_instances(table)
    if told == ["label_divisor"] and "palette" in given:
        raise InputError(f"{table.where}: 'label_divisor' divides numbers; give 'values', not 'palette'")
    if len(given) != 1:
        raise InputError(f"{table.where}: needs either 'palette' or 'values', to tell which class is which")
    entries = table.table(given[0])
    for name in entries.values:
        if name not in classes:
            raise unknown_name("class", name, classes, where=entries.where)
    palette = given[0] == "palette"
    ids = _class_ids(entries, classes, _palette_codes if palette else _value_codes)
    void = _void(table, _void_colours if palette else _value_codes)
    for code in void:
        if code in ids:
            name, shown = classes[ids[code] - 1], (show_colour if palette else show_value)(code)
            raise InputError(f"{table.where}: {shown} is 'void' and {name!r}; give it one meaning")
    # Black or 0 is void unless a class uses it.
    return CodedClasses(drawn=cast(Drawn, given[0]), ids={0: 0, **dict.fromkeys(void, 0), **ids})


def _void_of_instances(table: Fields) -> CodedClasses:
    """Reads which numbers, or which colours, are no instance."""
    given = table.values.get("void")
    if not isinstance(given, list) or not any(isinstance(each, list) for each in given):
        return CodedClasses(drawn="instance", ids=dict.fromkeys([0, *_void(table, _value_codes)], 0))
    colours = _void(table, _void_colours)
    # Maps whose three channels are equal everywhere are read as numbers.
    greys = [code & 255 for code in colours if code == colour_code((code & 255,) * 3)]
    return CodedClasses(
        drawn="instance", ids=dict.fromkeys([0, *greys], 0), void_colours=frozenset({0, *colours})
    )


def _void(table: Fields, codes: Callable[[Fields, str], list[int]]) -> list[int]:
    return codes(table, "void") if "void" in table else []


def _class_ids(
    entries: Fields, classes: tuple[str, ...], codes: Callable[[Fields, str], list[int]]
) -> dict[int, int]:
    ids: dict[int, int] = {}
    for class_id, name in enumerate(classes, start=1):
        for code in codes(entries, name):
            if ids.get(code, class_id) != class_id:
                other = classes[ids[code] - 1]
                raise InputError(
                    f"{entries.where}: {other!r} and {name!r} have the same entry; give each its own"
                )
            ids[code] = class_id
    return ids


def _is_colour(value: Any) -> bool:
    return is_list_of(int)(value) and len(value) == 3 and all(0 <= level <= 255 for level in value)


def _palette_codes(entries: Fields, name: str) -> list[int]:
    red, green, blue = entries.take(name, "a colour [red, green, blue] of numbers 0 to 255", _is_colour)
    return [colour_code((red, green, blue))]


def _void_colours(table: Fields, name: str) -> list[int]:
    def fits(value: Any) -> bool:
        return _is_colour(value) or (isinstance(value, list) and value != [] and all(map(_is_colour, value)))

    value = table.take(name, "a colour [red, green, blue] or a list of them", fits)
    colours = [value] if _is_colour(value) else value
    return [colour_code((red, green, blue)) for red, green, blue in colours]


def _value_codes(entries: Fields, name: str) -> list[int]:
    def fits(value: Any) -> bool:
        return type(value) is int or (is_list_of(int)(value) and len(value) > 0)

    value = entries.take(name, "a whole number or a list of them", fits)
    return value if isinstance(value, list) else [value]
