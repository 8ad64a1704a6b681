"""Formats entries and comments of TOML."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from aims.core.files import toml_key, toml_value

_WIDTH = 100
#: A value of TOML.
Value = str | int | float | Sequence["Value"] | Mapping[str, "Value"]


def entry(key: str, value: Value, why: str = "") -> str:
    """Formats a key and its value, with a comment behind it."""
    line = f"{toml_key(key)} = {toml_value(value)}"
    return f"{line}{' ' * max(1, 44 - len(line))}# {plain(why)}" if why else line


def comment(text: str) -> str:
    """Formats a comment in lines of at most 100 characters."""
    wrapped = textwrap.wrap(plain(text), _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in wrapped)


def plain(text: str) -> str:
    """Returns text in one line, without characters that TOML forbids in comments."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def texts(count: int, one: str, several: str) -> str:
    """Formats a number with the word that it counts."""
    return f"{count:,} {one if count == 1 else several}"
