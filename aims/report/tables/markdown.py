"""Tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aims.report.tables.layout import Format, Layout

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape_markdown(text: str) -> str:
    """Makes text mean itself in Markdown, in a table's cell too."""
    text = re.sub(r"[\\`*_\[\]|~$#]", lambda match: "\\" + match[0], text)
    return re.sub(r"[&<>]", lambda match: _ENTITIES[match[0]], text)


MARKDOWN = Format(
    escape=escape_markdown,
    prose=escape_markdown,
    ranks={"best": "**%s**", "second": "<u>%s</u>", "": "%s"},
    mark=lambda mark: f" {escape_markdown(mark)}" if mark else "",
    footnote=lambda letter: f" ({letter})",
    stack="<br>".join,
    is_latex=False,
)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    """Lines of a Markdown table: the first `left` columns to the left, the others to the right."""
    rule = ["---" if index < left else "---:" for index in range(len(header))]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def markdown_lines(table: Layout, heading: str = "##") -> list[str]:
    """Lines of a table: heading, caption, rows, footnotes and notes; what it lacks is left out."""
    lines = [f"{heading} {escape_markdown(table.title)}", ""] if table.title else []
    lines += [escape_markdown(table.caption), ""] if table.caption else []
    header = [table.corner, *table.columns]
    header += [f"{name}, {kind}" for name, kinds in table.groups for kind in kinds]
    lines += [*markdown_table(header, ([row.label, *row.cells] for row in table.rows), table.left), ""]
    lines += [f"({letter}) {escape_markdown(note)}\n" for note, letter in table.footnotes.items()]
    return lines + [f"Note: {escape_markdown(note)}\n" for note in table.notes]


def markdown_text(lines: Iterable[str]) -> str:
    """Lines as the text of a file."""
    return "\n".join(lines).rstrip("\n") + "\n"
