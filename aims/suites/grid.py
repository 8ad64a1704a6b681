"""Grids of run configurations: checked fields, their products, and exclusions."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aims.core.config import SETTINGS
from aims.core.errors import InputError, unknown_name
from aims.core.settings import Setting

Value = bool | int | float | str

#: Settings that a suite may contain, by their names on the command line.
RUN_FIELDS: Mapping[str, Setting] = {setting.option: setting for setting in SETTINGS.values()}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of a suite as written in the file, before datasets and weights are resolved.

    Attributes:
        where: file and table of the run, for messages.
        fields: fields by name in the order of the file; others have the defaults of `aims run`.
    """

    where: str
    fields: Mapping[str, Value]

    @property
    def arguments(self) -> dict[str, Any]:
        """The fields as keyword arguments of `aims.engine.plan.plan`."""
        run = {_underscored(name): value for name, value in self.fields.items() if name in RUN_FIELDS}
        others = {_underscored(name): value for name, value in self.fields.items() if name not in RUN_FIELDS}
        return {**run, "options": others}

    @property
    def command(self) -> str:
        """The command line that computes this run."""
        words = (word for name, value in self.fields.items() for word in (f"--{name}", str(value)))
        return shlex.join(("aims", "run", *words))

    def matches(self, wanted: Mapping[str, Sequence[Value]]) -> bool:
        """Returns whether this entry has every wanted field, with one of the wanted values."""
        return all(self.fields.get(name) in values for name, values in wanted.items())


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of fields with at least one value each; `where` names it in messages."""

    where: str
    values: Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The allowed fields of a table, and their values.

    Attributes:
        names: allowed names, by field, for fields with a registry.
        options: parsers of the options of methods and tunings, by name with hyphens; a parser raises
            InputError for a value that no method and no tuning accepts.
    """

    names: Mapping[str, Collection[str]]
    options: Mapping[str, Callable[[object], object]]

    def read(self, table: Mapping[str, Any], where: str) -> dict[str, tuple[Value, ...]]:
        """Checks a table in which every field is a value or a list of values.

        Returns:
            The values of every field.

        Raises:
            InputError: a field or a name is unknown, a list is empty, or a value has the wrong type.
        """
        return {
            name: tuple(self._value(name, value, where) for value in self._listed(name, given, where))
            for name, given in table.items()
        }

    def parse(self, assignments: Sequence[str], where: str) -> dict[str, tuple[Value, ...]]:
        """Parses assignments of the form `key=value`; a repeated key collects all its values."""
        table: dict[str, list[Value]] = {}
        for text in assignments:
            name, equals, word = text.partition("=")
            if not equals or not word:
                raise InputError(f"{where} {text!r}: write key=value, such as method=simcmf")
            table.setdefault(name, []).append(self._value(name, self._number(name, word), where))
        return {name: tuple(values) for name, values in table.items()}

    def _listed(self, name: str, given: Any, where: str) -> Sequence[Any]:
        values = given if isinstance(given, list) else [given]
        if not values:
            raise InputError(f"{where}: {name!r} is an empty list; give a value, or leave it out")
        return values

    def _value(self, name: str, value: Any, where: str) -> Value:
        known = (*RUN_FIELDS, *self.options)
        if name not in known:
            raise unknown_name("field", name, known, where=where)
        if name in self.options:
            return self._option(name, value, where)
        try:
            read: Value = RUN_FIELDS[name].read(value)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if self.names.get(name) and read not in self.names[name]:
            raise unknown_name(name, str(read), self.names[name], where=where)
        return read

    def _option(self, name: str, value: Any, where: str) -> Value:
        """Checks the value of an option, and returns it as it is written."""
        if not isinstance(value, bool | int | float | str):
            raise InputError(f"{where}: {name!r} is {value!r}; give a number, a text, true or false")
        try:
            self.options[name](value)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        return value

    def _number(self, name: str, word: str) -> Value:
        if name in RUN_FIELDS and RUN_FIELDS[name].kind is str:
            return word
        for kind in (int, float):
            try:
                return kind(word)
            except ValueError:
                continue
        return word


def expand(
    defaults: Table, grids: Sequence[Table], excludes: Sequence[Table], *, where: str
) -> tuple[Entry, ...]:
    """Expands every grid, completed by the defaults, into the product of its values, without exclusions.

    Grids keep their order. Within a grid the last field changes fastest, and fields of the defaults precede.

    Args:
        defaults: fields of all grids that do not set them.
        grids: grids to expand.
        excludes: tables; a run is dropped if it matches all fields of one of them.
        where: name of the file, for messages.

    Raises:
        InputError: there is no grid, a grid has no run, an exclusion drops no run, or a run has no method, no
            modality or a duplicate.
    """
    if not grids:
        raise InputError(f"{where}: needs at least one [[grid]] table")
    first: dict[frozenset[tuple[str, Value]], str] = {}
    entries: list[Entry] = []
    dropped: set[str] = set()
    for grid in grids:
        kept = 0
        for entry in _product(defaults, grid):
            matching = {table.where for table in excludes if entry.matches(table.values)}
            dropped |= matching
            if matching:
                continue
            key = frozenset(entry.fields.items())
            if key in first:
                earlier = first[key].removeprefix(f"{where} ")
                raise InputError(f"{grid.where}: `{entry.command}` stands in {earlier} already")
            first[key] = grid.where
            entries.append(entry)
            kept += 1
        if not kept:
            raise InputError(f"{grid.where}: no run is left of it; the [[exclude]] tables drop all")
    for table in excludes:
        if table.where not in dropped:
            raise InputError(f"{table.where}: drops no run; correct it or leave it out")
    return tuple(entries)


def _product(defaults: Table, grid: Table) -> list[Entry]:
    values = {**defaults.values, **grid.values}
    for name in ("method", "modality"):
        if name not in values:
            raise InputError(f"{grid.where}: needs a {name!r}, here or in [defaults]")
    return [
        Entry(where=grid.where, fields=dict(zip(values, combination, strict=True)))
        for combination in itertools.product(*values.values())
    ]


def _underscored(name: str) -> str:
    return name.replace("-", "_")
