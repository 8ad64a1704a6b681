"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aims.core.texts import escape_markdown, markdown_code
from aims.reports.tables.table import Cell, Table

_RANKS = {"best": "**%s**", "second": "<u>%s</u>", "": "%s"}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    """Lines of a Markdown table; the first `left` columns are left-aligned, the others right-aligned."""
    rule = ["---" if index < left else "---:" for index in range(len(header))]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def markdown_lines(table: Table, heading: str = "##") -> list[str]:
    """Lines of a table: heading, caption, rows, footnotes and notes; empty parts are left out."""
    lines = [f"{heading} {escape_markdown(table.title)}", ""]
    lines += [escape_markdown(table.caption), ""] if table.caption else []
    letters = table.footnotes
    names = (f"{column.group}, {column.name}" if column.group else column.name for column in table.columns)
    header = [*map(escape_markdown, [table.corner, *names])]
    rows = [
        [
            escape_markdown(row.label),
            *(
                markdown_code(cell.lines[0]) if column.code else _cell(cell, letters)
                for column, cell in zip(table.columns, row.cells, strict=True)
            ),
        ]
        for row in table.rows
    ]
    lines += [*markdown_table(header, rows, table.texts), ""]
    lines += [f"({letter}) {escape_markdown(note)}\n" for note, letter in letters.items()]
    return lines + [f"{escape_markdown(note)}\n" for note in table.notes]


def _cell(cell: Cell, letters: dict[str, str]) -> str:
    first, *below = [*map(escape_markdown, cell.lines)] or [""]
    parts = [
        _RANKS[cell.rank] % first,
        escape_markdown(cell.mark),
        f"({letters[cell.footnote]})" if cell.footnote else "",
    ]
    return "<br>".join(filter(None, [" ".join(filter(None, parts)), *below, escape_markdown(cell.warning)]))


def markdown_text(lines: Iterable[str]) -> str:
    """Joins lines into the content of a file, which ends with one newline."""
    return "\n".join(lines).rstrip("\n") + "\n"
