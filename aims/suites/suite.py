"""The TOML form of a suite (docs/suites.md), read and checked key by key."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from aims.core.errors import InputError, unknown_name
from aims.suites.grid import Entry, Fields, Table, expand

_HEAD = ("title", "question", "found", "cost", "command")
_TABLES = ("data", "defaults", "grid", "exclude")
#: How a step of `make` may begin: suites come from others too.
_PROGRAMS = ("aims synth ", "aims convert ", "python -m aims.benchmarks.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a dataset of the suite comes into being: a `[[data]]` table.

    Attributes:
        dataset: its name.
        images: how many images it must hold, by split; empty if that is not said.
        make: commands that make it, in order. `{data}` stands for the folder of converted datasets, `{raw}`
            for that of raw recordings, `{made}` for that of raw sets that are made, `{suite}` for the one
            that the suite lies in.
    """

    dataset: str
    images: Mapping[str, int]
    make: tuple[str, ...]

    def commands(self, **folders: Path) -> list[list[str]]:
        """The commands as words, with the folders `data`, `raw`, `made` and `suite` filled in.

        They are filled in word by word, so that a path with spaces stays one word.
        """
        return [[word.format(**folders) for word in shlex.split(command)] for command in self.make]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite: what it asks, and its runs in order.

    Attributes:
        path: its file.
        title: what it is called.
        question: what it answers.
        found: what the paper found; empty where it did not ask.
        cost: what it takes, measured or estimated (the file says which).
        command: the command that makes it.
        recipes: how its datasets are made.
        entries: its runs as they are written, expanded.
    """

    path: Path
    title: str
    question: str
    found: str
    cost: str
    command: str
    recipes: tuple[Recipe, ...]
    entries: tuple[Entry, ...]


def find_suite(name: str) -> Path:
    """The file of a suite: one that comes with AIMS by its name, or any file that ends in ".toml".

    Raises:
        InputError: there is none.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{path}: no such file; give a suite by name or a TOML file")
        return path
    known = {path.stem: path for path in packaged_suites()}
    if name not in known:
        raise unknown_name("suite", name, known)
    return known[name]


def packaged_suites() -> list[Path]:
    """The files of the suites that come with AIMS, in order of name."""
    return sorted(Path(str(resources.files("aims.benchmarks"))).glob("*.toml"))


def read_suite(path: Path, fields: Fields) -> Suite:
    """Reads a suite and expands its grids.

    Args:
        path: the file.
        fields: what may stand in a grid.

    Raises:
        InputError: the file is missing or not TOML; a table, a field or a name is unknown; a value is of
            the wrong type; a grid is empty; a run stands there twice.
    """
    content = _read(path)
    for key in content:
        if key not in (*_HEAD, *_TABLES):
            raise unknown_name("key", key, (*_HEAD, *_TABLES), where=str(path))
    defaults = content.get("defaults", {})
    if not isinstance(defaults, dict):
        raise InputError(f"{path}: 'defaults' must be one table, [defaults]")

    def read(table: Mapping[str, Any], where: str) -> Table:
        return Table(where=where, values=fields.read(table, where))

    return Suite(
        path=path,
        recipes=tuple(_recipe(table, where) for where, table in _tables(content, "data", path)),
        entries=expand(
            read(defaults, f"{path} [defaults]"),
            [read(table, where) for where, table in _tables(content, "grid", path)],
            [read(table, where) for where, table in _tables(content, "exclude", path)],
            where=str(path),
        ),
        **{key: _text(content, key, str(path)) for key in _HEAD},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a suite by name or a TOML file") from None
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}); check the path and its rights") from None
    except ValueError as error:
        raise InputError(f"{path}: not TOML ({error}); correct that line") from None


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or (not value and key != "found"):
        raise InputError(f"{where}: needs a text {key!r}, has {value!r}")
    return value


def _tables(content: Mapping[str, Any], name: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The tables of an array and where each stands, counted from 1."""
    tables = content.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{path}: {name!r} must be tables, each written below [[{name}]]")
    return [(f"{path} [[{name}]] {number}", table) for number, table in enumerate(tables, 1)]


def _recipe(table: Mapping[str, Any], where: str) -> Recipe:
    for key in table:
        if key not in ("dataset", "images", "make"):
            raise unknown_name("key", key, ("dataset", "images", "make"), where=where)
    images, make = table.get("images", {}), table.get("make", [])
    if not isinstance(images, dict) or not all(type(count) is int and count > 0 for count in images.values()):
        raise InputError(f"{where}: 'images' is {images!r}; give numbers by split, {{ train = 100, ... }}")
    if not isinstance(make, list) or not make or not all(isinstance(command, str) for command in make):
        raise InputError(f"{where}: 'make' is {make!r}; give a list of commands that make the dataset")
    recipe = Recipe(dataset=_text(table, "dataset", where), images=images, make=tuple(make))
    for command in make:
        if not command.startswith(_PROGRAMS):
            known = ", ".join(f"`{program.strip()}`" for program in _PROGRAMS)
            raise InputError(f"{where}: {command!r} is not run; a command here begins with one of {known}")
    try:
        recipe.commands(data=Path(), raw=Path(), made=Path(), suite=Path())
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{where}: a command of 'make' cannot be read ({error}); in braces stand {{data}}, {{raw}}, "
            "{made} or {suite}"
        ) from None
    return recipe
