"""Reading and checking the TOML file of a suite (docs/suites.md)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec

from aims.core.errors import InputError, unknown_name
from aims.core.files import read_toml
from aims.core.structs import convert_struct
from aims.suites.grid import Entry, Fields, Table, expand

#: Allowed beginnings of a command in `make`, because suites may come from other people.
_PROGRAMS = ("aims synth ", "aims convert ", "python -m aims.benchmarks.")


_Text = Annotated[str, msgspec.Meta(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class _File:
    """The tables of a suite as written in the file."""

    title: _Text
    question: _Text
    found: str
    cost: _Text
    command: _Text
    data: list[dict[str, Any]] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    grid: list[dict[str, Any]] = field(default_factory=list)
    exclude: list[dict[str, Any]] = field(default_factory=list)

    def located(self, name: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
        """Returns the tables of an array, each with its place in the file, counted from 1."""
        return [(f"{path} [[{name}]] {number}", table) for number, table in enumerate(getattr(self, name), 1)]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a dataset of the suite: a `[[data]]` table.

    Attributes:
        dataset: name of the dataset.
        make: commands in order. `{data}` stands for the folder of converted datasets, `{raw}` for that of raw
            recordings, `{made}` for that of generated raw data, `{suite}` for the folder of the suite.
        images: required number of images by split; empty for no check.
    """

    dataset: _Text
    make: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    images: dict[str, Annotated[int, msgspec.Meta(gt=0)]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for command in self.make:
            if not command.startswith(_PROGRAMS):
                known = ", ".join(f"`{program.strip()}`" for program in _PROGRAMS)
                raise InputError(f"{command!r} is not run; a command here begins with one of {known}")
        try:
            self.commands(data=Path(), raw=Path(), made=Path(), suite=Path())
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(
                f"a command of 'make' cannot be read ({error}); in braces stand {{data}}, {{raw}}, {{made}} "
                "or {suite}"
            ) from None

    def commands(self, **folders: Path) -> list[list[str]]:
        """Returns the commands as lists of words, with `data`, `raw`, `made` and `suite` filled in.

        Commands are split before the paths are filled in, so that a path with spaces stays one word.
        """
        return [[word.format(**folders) for word in shlex.split(command)] for command in self.make]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite: its question, and its runs in order.

    Attributes:
        path: path of the file.
        title: title.
        question: question that the runs answer.
        found: finding of the paper; empty if it has none.
        cost: cost of the runs, measured or estimated as the text says.
        command: command line that computes the suite.
        recipes: recipes of its datasets.
        entries: runs, expanded from the grids.
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
    """Returns the path of a suite: a packaged one by name, or any path that ends in ".toml".

    Raises:
        InputError: there is no such file or name.
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
    """Returns the paths of the suites that come with AIMS, sorted by name."""
    return sorted(Path(str(resources.files("aims.benchmarks"))).glob("*.toml"))


def read_suite(path: Path, fields: Fields) -> Suite:
    """Reads a suite and expands its grids.

    Args:
        path: TOML file.
        fields: allowed fields of a grid.

    Raises:
        InputError: the file is missing or not TOML; a table, a field or a name is unknown; a value has the
            wrong type; a grid is empty; or a run occurs twice.
    """
    content = read_toml(path, otherwise="give a suite by name or a TOML file")
    file = convert_struct(content, _File, where=str(path))

    def read(table: Mapping[str, Any], where: str) -> Table:
        return Table(where=where, values=fields.read(table, where))

    return Suite(
        path=path,
        title=file.title,
        question=file.question,
        found=file.found,
        cost=file.cost,
        command=file.command,
        recipes=tuple(
            convert_struct(table, Recipe, where=where) for where, table in file.located("data", path)
        ),
        entries=expand(
            read(file.defaults, f"{path} [defaults]"),
            [read(table, where) for where, table in file.located("grid", path)],
            [read(table, where) for where, table in file.located("exclude", path)],
            where=str(path),
        ),
    )
