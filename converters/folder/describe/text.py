"""Formats values, tables and comments of TOML."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

from aims.core.files import toml_text

_WIDTH = 100
#: A value of TOML.
Value = str | int | float | Sequence["Value"] | Mapping[str, "Value"]


def toml(value: Value) -> str:
    """Formats a value in one line."""
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {toml(each)}' for key, each in value.items())} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else toml(key)


def entry(key: str, value: Value, why: str = "") -> str:
    """Formats a key and its value, with a comment behind it."""
    line = f"{_key(key)} = {toml(value)}"
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
