"""Reads `[splits]`: which images each split has, as a list, a pattern, a share, or a column of a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aims.core.errors import InputError, unknown_name
from aims.core.files import inside, regular_file
from aims.core.schema import SPLIT_PATTERN
from aims.reading.patterns import read_ids

from ..reading.fields import Fields, is_list_of
from ..reading.tables import read_rows

_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_SEED = "seed"


@dataclass(frozen=True)
class Rest:
    """`"*"`: all images that no other split has."""


@dataclass(frozen=True)
class Share:
    """`"20%"`: a share of the images that no list or pattern has, in whole groups."""

    percent: float


@dataclass(frozen=True)
class Matching:
    """`"scene7/*"`: the images whose names fit."""

    text: str

    def fits(self, name: str) -> bool:
        """Whether a name fits; `*` stands for any text, `?` for one letter."""
        wild = {"*": ".*", "?": "."}
        pieces = (wild.get(piece) or re.escape(piece) for piece in re.split(r"([*?])", self.text))
        return bool(re.fullmatch("".join(pieces), name, re.DOTALL))


@dataclass(frozen=True)
class Names:
    """`["a", "b"]`: the names themselves."""

    names: tuple[str, ...]

    def listed(self, roots: Sequence[Path], where: str) -> Iterator[tuple[str, str]]:
        """Yields the names with the place that lists them."""
        yield from ((name.replace("\\", "/"), where) for name in self.names)


@dataclass(frozen=True)
class ListFile:
    """`"train.txt"`: a text file with a name a line."""

    file: str

    def listed(self, roots: Sequence[Path], where: str) -> Iterator[tuple[str, str]]:
        """Yields the names with the place that lists them; see `read_ids`."""
        yield from read_ids(find_list(roots, self.file, where), self.file, where=where)


@dataclass(frozen=True)
class TableColumn:
    """`{ file = "meta.csv", column = "fold", value = [1, 2] }`: rows with one of the values in the column.

    Attributes:
        file: the table, with column names in its first line.
        names: the column with the names of images; None for the first one.
        column: the column to look at.
        values: its values in this split.
    """

    file: str
    names: str | None
    column: str
    values: tuple[str, ...]

    def listed(self, roots: Sequence[Path], where: str) -> Iterator[tuple[str, str]]:
        """Yields the names with the place that lists them.

        Raises:
            InputError: the file is missing or no table, or lacks a column.
        """
        path = find_list(roots, self.file, where)
        (_, head), *rows = [*table_rows(path, self.file, where)] or [(0, [""])]
        if rows and self.names is None and not head[0] and _are_counted(row[0] for _, row in rows):
            raise InputError(
                f"{path}: its first column counts rows and has no name; say with 'names' in {where} which "
                f"column has the names of images (known: {', '.join(head[1:])})"
            )
        places = []
        for column in (self.names if self.names is not None else head[0], self.column):
            if column not in head:
                raise unknown_name("column", column, head, where=str(path))
            places.append(head.index(column))
        for line, row in rows:
            if len(row) <= max(places):
                raise InputError(
                    f"{path}, line {line}: {len(row)} columns, but the first line has {len(head)}"
                )
            if row[places[1]] in self.values and row[places[0]]:
                yield row[places[0]].replace("\\", "/"), f"{path}, line {line}"


Source = Rest | Share | Matching | Names | ListFile | TableColumn


def read_splits(table: Fields) -> tuple[Mapping[str, Source], int]:
    """Reads `[splits]`; returns the source of each split, and the seed of shares."""
    seed = table.values.get(_SEED, 0)
    sources = {
        name: _source(table, name)
        for name in table.values
        if name != _SEED or type(table.values[name]) is not int
    }
    if not sources:
        raise InputError(f'{table.where}: needs at least one split, such as train = "*"')
    shares = [source.percent for source in sources.values() if isinstance(source, Share)]
    whole = any(isinstance(source, Rest) for source in sources.values())
    if shares and (sum(shares) > 100 or (sum(shares) < 100 and not whole)):
        raise InputError(
            f'{table.where}: the shares sum to {sum(shares):g} %; give 100 %, or less and "*" to one split'
        )
    return sources, seed if type(seed) is int else 0


def find_list(roots: Sequence[Path], name: str, where: str) -> Path:
    """Returns a file in the raw folder, or else beside the description."""
    paths = [inside(root, name, where=where) for root in roots]
    return next((path for path in paths if os.path.lexists(path)), paths[0])


def _are_counted(cells: Iterable[str]) -> bool:
    """Returns whether cells are the numbers of rows from 0, which pandas writes before its columns."""
    return all(cell == str(number) for number, cell in enumerate(cells))


def _source(table: Fields, name: str) -> Source:
    if not SPLIT_PATTERN.fullmatch(name):
        raise InputError(f"{table.where}: split name {name!r}; use lower-case letters, digits and '_'")
    value = table.values[name]
    if isinstance(value, dict):
        return _column(table.table(name).only("file", "names", "column", "value"), name)
    if not isinstance(value, str) or not value:
        wanted = 'a list of image ids (texts), "*", a pattern, a share ("20%"), or the name of a text file'
        return Names(tuple(table.take(name, wanted, is_list_of(str))))
    if value == "*":
        return Rest()
    if share := _SHARE.fullmatch(value):
        return Share(float(share[1]))
    return Matching(value.replace("\\", "/")) if set(value) & set("*?") else ListFile(value)


def _column(table: Fields, split: str) -> TableColumn:
    def fits(value: object) -> bool:
        return type(value) in (str, int) or (
            isinstance(value, list) and value != [] and all(type(item) in (str, int) for item in value)
        )

    value = (
        table.take("value", "a text, a whole number, or a list of them", fits) if "value" in table else split
    )
    return TableColumn(
        file=table.string("file"),
        names=table.optional("names", table.string),
        column=table.string("column"),
        values=tuple(map(str, value if isinstance(value, list) else [value])),
    )


def table_rows(path: Path, name: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Returns the line numbers and cells of a table's rows; columns are separated by ",", ";" or tabs."""
    try:
        text = regular_file(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{where}: {name!r} names no file ({path}); give a table") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as UTF-8 text ({error}); save it as CSV in UTF-8") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    return read_rows(path, text, separator=separator)
