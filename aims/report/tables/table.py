"""The description of a printed table; `aims.report.tables.markdown`, `.latex` and the page render it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in one place of a table, in plain text.

    Attributes:
        lines: the first is the value, those below are set smaller.
        rank: "best" or "second" among its rivals, else empty.
        mark: behind the value, the sign of its verdict (`aims.report.tables.marks.MARKS`).
        verdict: the mark in words.
        warning: a line below the others that must not be missed; empty for none.
        footnote: what a reader must know about the value; empty for nothing.
        value: what the page sorts by; None for nothing.
    """

    lines: Sequence[str] = ()
    rank: str = ""
    mark: str = ""
    verdict: str = ""
    warning: str = ""
    footnote: str = ""
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column behind the labels.

    Attributes:
        name: heading.
        group: heading above this and its neighbours of the same group; empty for none.
        key: what the page filters by; empty for a column that always stays.
        short: heading where there is little room; empty for `name`.
        code: whether Markdown sets its texts as code.
    """

    name: str
    group: str = ""
    key: str = ""
    short: str = ""
    code: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        label: in front.
        cells: one a column.
        block: where it changes from one row to the next, a rule is drawn.
    """

    label: str
    cells: Sequence[Cell]
    block: object = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that is ready to be rendered, in plain text.

    Attributes:
        title: heading: what tells it from the other tables of its file.
        name: what LaTeX says in front of it, where nothing stands above a table.
        label: what LaTeX refers to.
        caption: what a reader must know, above the table.
        notes: the same below it, a paragraph each.
        corner: heading of the labels.
        columns: those behind the labels.
        rows: the rows.
        texts: how many columns stand to the left, the labels among them; the others stand to the right.
        small: whether LaTeX sets it in small type.
    """

    title: str
    name: str = ""
    label: str = ""
    caption: str = ""
    notes: Sequence[str] = ()
    corner: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    texts: int = 1
    small: bool = True

    @property
    def footnotes(self) -> dict[str, str]:
        """The letters of the footnotes by their text, in the order in which they are read."""
        texts = dict.fromkeys(cell.footnote for row in self.rows for cell in row.cells if cell.footnote)
        return {text: chr(ord("a") + place) for place, text in enumerate(texts)}

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The headings above the columns, and how many columns each has below it."""
        return [
            (name, len(list(columns))) for name, columns in groupby(self.columns, lambda each: each.group)
        ]


def text_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1, **rest: Any
) -> Table:
    """A table of single lines.

    Args:
        title: heading.
        header: of all columns, that of the labels first.
        rows: a text a column.
        texts: how many columns stand to the left.
        rest: further attributes of `Table`.
    """
    return Table(
        title=title,
        corner=header[0],
        columns=[Column(name=name) for name in header[1:]],
        rows=[Row(label=label, cells=[Cell(lines=(text,)) for text in cells]) for label, *cells in rows],
        texts=texts,
        **rest,
    )
