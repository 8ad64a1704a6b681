"""A TOML file whose every key is checked, with messages that say where it stands."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from aims.core.errors import InputError, unknown_name

T = TypeVar("T")


class Table:
    """A TOML table that knows where it stands.

    Args:
        values: its keys and values.
        where: the file and the table, for messages.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def only(self, *known: str) -> Table:
        """Refuses keys that are not known; gives itself."""
        for key in self.values:
            if key not in known:
                raise unknown_name("key", key, known, where=self.where)
        return self

    def take(self, key: str, wanted: str, fits: Callable[[Any], bool]) -> Any:
        """The value of a key that must be there and must fit; `wanted` says how, in words."""
        if key not in self.values:
            raise InputError(f"{self.where}: needs {key!r} ({wanted})")
        if not fits(self.values[key]):
            raise InputError(f"{self.where}: {key!r} is {self.values[key]!r}; it must be {wanted}")
        return self.values[key]

    def optional(self, key: str, read: Callable[[str], T]) -> T | None:
        """What `read` makes of a key, or None where it is absent."""
        return read(key) if key in self else None

    def string(self, key: str) -> str:
        """A text that is not empty."""
        return cast(str, self.take(key, "a text", lambda value: isinstance(value, str) and value != ""))

    def strings(self, key: str) -> list[str]:
        """A list of texts."""
        return cast("list[str]", self.take(key, "a list of texts", is_list_of(str)))

    def number(self, key: str) -> float:
        """A finite number, as it is written."""
        return cast(float, self.take(key, "a finite number", is_number))

    def bounds(self, key: str) -> tuple[float, float]:
        """Two finite numbers, the lower one first."""

        def fits(value: Any) -> bool:
            return (
                isinstance(value, list)
                and len(value) == 2
                and all(map(is_number, value))
                and value[0] <= value[1]
            )

        low, high = self.take(key, "two numbers [lowest, highest]", fits)
        return float(low), float(high)

    def table(self, key: str, *, optional: bool = False) -> Table:
        """An inner table; an empty one where it is absent and optional."""
        parent, _, inner = self.where.partition(" [")
        where = f"{parent} [{inner[:-1]}.{key}]" if inner else f"{parent} [{key}]"
        if optional and key not in self:
            return Table({}, where)
        return Table(self.take(key, "a table", lambda value: isinstance(value, dict)), where)


def read_toml(path: Path) -> Table:
    """Reads a TOML file.

    Raises:
        InputError: the file is missing, not readable, or not TOML.
    """
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write one like examples/cwfid.toml") from None
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}); check the path and its rights") from error
    except ValueError as error:
        raise InputError(f"{path}: not TOML ({error}); correct that line") from error


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return type(value) in (int, float) and math.isfinite(value)


def is_list_of(kind: type) -> Callable[[Any], bool]:
    """A check for lists of one type."""
    return lambda value: isinstance(value, list) and all(type(item) is kind for item in value)
