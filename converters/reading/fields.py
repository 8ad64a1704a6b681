"""Access to the keys of a TOML table or a JSON object, each validated; messages name file and place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from aims.core.errors import InputError, unknown_name
from aims.core.files import read_toml

T = TypeVar("T")
_LONGEST = 60


class Fields:
    """A TOML table or JSON object with its place in the file.

    All methods raise InputError if a value is missing or invalid.

    Args:
        values: its keys and values.
        where: the file and the place in it, for messages.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def only(self, *known: str) -> Fields:
        """Raises if a key is not known; returns itself."""
        for key in self.values:
            if key not in known:
                raise unknown_name("key", key, known, where=self.where)
        return self

    def take(self, key: str, wanted: str, fits: Callable[[Any], bool]) -> Any:
        """Returns the value of a required key that satisfies `fits`; `wanted` describes such values."""
        if key not in self.values:
            raise InputError(f"{self.where}: needs {key!r} ({wanted})")
        if not fits(self.values[key]):
            raise InputError(f"{self.where}: {key!r} is {shorten(self.values[key])}; it must be {wanted}")
        return self.values[key]

    def optional(self, key: str, read: Callable[[str], T]) -> T | None:
        """Returns `read(key)`, or None if the key is absent."""
        return read(key) if key in self else None

    def string(self, key: str) -> str:
        """Returns a string that is not empty."""
        return cast(str, self.take(key, "a text", lambda value: isinstance(value, str) and value != ""))

    def integer(self, key: str) -> int:
        """Returns an integer; booleans are refused."""
        return cast(int, self.take(key, "a whole number", lambda value: type(value) is int))

    def boolean(self, key: str) -> bool:
        """Returns a boolean."""
        return cast(bool, self.take(key, "true or false", lambda value: type(value) is bool))

    def number(self, key: str) -> float:
        """Returns a finite number, an int or a float as written."""
        return cast(float, self.take(key, "a finite number", _is_number))

    def bounds(self, key: str) -> tuple[float, float]:
        """Returns two finite numbers, the lower one first."""

        def fits(value: Any) -> bool:
            pair = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
            return pair and value[0] <= value[1]

        low, high = self.take(key, "two numbers [lowest, highest]", fits)
        return float(low), float(high)

    def table(self, key: str, *, optional: bool = False) -> Fields:
        """Returns an inner table; an empty one if it is absent and optional."""
        parent, _, inner = self.where.partition(" [")
        where = f"{parent} [{inner[:-1]}.{key}]" if inner else f"{parent} [{key}]"
        if optional and key not in self:
            return Fields({}, where)
        return Fields(self.take(key, "a table", lambda value: isinstance(value, dict)), where)


def read_description(path: Path) -> Fields:
    """Reads the TOML file that describes a folder.

    Raises:
        InputError: the file is missing, not readable, or not TOML.
    """
    return Fields(read_toml(path, otherwise="let `aims init FOLDER` write one"), str(path))


def is_list_of(kind: type) -> Callable[[Any], bool]:
    """Returns a predicate for lists whose items are exactly of one type, so not bool for int."""
    return lambda value: isinstance(value, list) and all(type(item) is kind for item in value)


def shorten(value: Any) -> str:
    """Returns the repr of a value, truncated to 60 characters."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
