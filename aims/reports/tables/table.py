"""The description of a printed table; `aims.reports.tables.markdown`, `.latex` and the page render it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_lowercase
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell, in plain text.

    Attributes:
        lines: the value, then further lines that are set smaller.
        rank: "best" (set bold), "second" (underlined), or empty.
        mark: sign of the verdict, behind the value (`aims.reports.tables.marks.MARKS`).
        verdict: the mark, or what the text stands for, in words.
        warning: last line of the cell, such as "BELOW disc (40.00)"; empty for none.
        footnote: text of the value's footnote; empty for none.
        value: number that the page sorts by, or None.
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
    """One column to the right of the row labels.

    Attributes:
        name: heading.
        group: heading that spans adjacent columns of the same group; empty for none.
        key: value that the page filters columns by; empty for a column that is always shown.
        short: shorter heading, for narrow tables; empty to use `name`.
        code: whether Markdown sets its cells as code.
        meaning: what its numbers are, which the page says on pointing at the heading; empty for none.
    """

    name: str
    group: str = ""
    key: str = ""
    short: str = ""
    code: bool = False
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        label: heading of the row.
        cells: one per column.
        block: a horizontal rule is drawn between rows whose blocks differ.
    """

    label: str
    cells: Sequence[Cell]
    block: object = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that is ready to be rendered, in plain text.

    Attributes:
        title: heading, which distinguishes it from the other tables of its file.
        name: text that LaTeX puts before the title, because there is no heading above a floating table.
        label: LaTeX label.
        caption: text above the table.
        notes: paragraphs below the table.
        corner: heading of the row labels.
        columns: the columns to the right of the labels.
        rows: the rows.
        texts: number of left-aligned columns, the labels included; the others are right-aligned.
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
        """The letter of each distinct footnote text, in reading order."""
        texts = dict.fromkeys(cell.footnote for row in self.rows for cell in row.cells if cell.footnote)
        return {text: (1 + k // 26) * ascii_lowercase[k % 26] for k, text in enumerate(texts)}

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The group headings, each with the number of columns that it spans."""
        return [
            (name, len(list(columns))) for name, columns in groupby(self.columns, lambda each: each.group)
        ]


def text_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1, **rest: Any
) -> Table:
    """Builds a table whose cells are single lines of text.

    Args:
        title: heading.
        header: headings of all columns, that of the labels first.
        rows: the texts of each row, its label first.
        texts: number of left-aligned columns.
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
