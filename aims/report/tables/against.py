"""Every number that the paper prints, ours beside it: what `aims report --against paper` adds."""

from __future__ import annotations

from collections.abc import Sequence

from aims.report.paper.cells import FilledCell, FilledTable
from aims.report.paper.published import PAPER_BACKBONE, PAPER_PROTOCOL
from aims.report.paper.texts import cell_fields, number, paper_name
from aims.report.tables.captions import condition_title
from aims.report.tables.markdown import (
    escape_markdown,
    markdown_table,
    markdown_text,
)
from aims.report.tables.results_table import write_csv

#: Where its curves end is Figure 4: Figure 7 prints no numbers of its own.
_WITHOUT = ("figure7",)
_FIELDS = ("exhibit", "row", "column", "unit", "published", "ours", "low", "high", "difference", "inside")
_SETTING = ("protocol", "backbone", "limit", "weights", "dataset", "modality", "method", "tuning", "options")
_REST = ("lr", "epochs", "seeds", "instances", "images", "footnote", "command")


def against_markdown(paper_tables: Sequence[Sequence[FilledTable]]) -> str:
    """The list in Markdown.

    Args:
        paper_tables: every table and figure, each under all its conditions.
    """
    lines = [
        "# Every published number",
        "",
        "Published: printed in the SimCMF paper (SAM ViT-B, protocol paper), not measured by this project. "
        "Ours: with its 95 % interval (bootstrap over images); inside: whether the published number lies in "
        "it. A number is comparable where ours was made with the same protocol and backbone from pretrained "
        "weights: other conditions stand in parts of their own. The command makes the cell.",
        "",
    ]
    tables = _with_numbers(paper_tables)
    lines += [f"{_counts(tables)}.", ""]
    for table in tables:
        lines += [
            f"## {paper_name(table.paper)}: {escape_markdown(condition_title(table.condition))}",
            "",
        ]
        header = [
            table.paper.corner,
            "",
            "published",
            "ours",
            "95 % interval",
            "difference",
            "inside",
            "command",
        ]
        cells = [cell for cell in table.cells.values() if cell.cell.published is not None]
        lines += [*markdown_table(header, [_line(table, cell) for cell in cells], left=2), ""]
        lines += [f"({mark}) {escape_markdown(text)}\n" for text, mark in table.footnotes.items()]
        lines += [f"Note: {escape_markdown(text)}\n" for text in (*table.paper.notes, *table.notes)]
    return markdown_text(lines)


def against_csv(paper_tables: Sequence[Sequence[FilledTable]]) -> str:
    """The list in long form, one line a number and condition."""
    fields = (*_FIELDS, *_SETTING, *_REST)
    rows = (
        {name: value for name, value in cell_fields(table, cell).items() if name in fields}
        for table in _with_numbers(paper_tables)
        for cell in table.cells.values()
        if cell.cell.published is not None
    )
    return write_csv(fields, rows)


def _with_numbers(paper_tables: Sequence[Sequence[FilledTable]]) -> list[FilledTable]:
    return [
        table
        for tables in paper_tables
        for table in tables
        if table.paper.key not in _WITHOUT
        and any(cell.cell.published is not None for cell in table.cells.values())
    ]


def _counts(tables: Sequence[FilledTable]) -> str:
    """How many numbers the paper prints, and for how many there is a comparable one of ours."""
    printed = {
        (table.paper.key, *place)
        for table in tables
        for place, cell in table.cells.items()
        if cell.cell.published is not None
    }
    comparable = [
        (table.paper.key, *place)
        for table in tables
        if _is_comparable(table)
        for place, cell in table.cells.items()
        if cell.difference is not None
    ]
    return f"{len(printed)} published numbers; comparable runs for {len(set(comparable))} of them"


def _is_comparable(table: FilledTable) -> bool:
    condition = table.condition
    return (
        condition is not None
        and (condition.protocol, condition.backbone) == (PAPER_PROTOCOL, PAPER_BACKBONE)
        and condition.limit is None
        and condition.weights != "random"
    )


def _line(table: FilledTable, filled: FilledCell) -> list[str]:
    cell = filled.cell
    mark = f" ({table.footnotes[cell.note]})" if cell.note else ""
    difference = "" if filled.difference is None else f"{filled.difference:+.2f}"
    return [
        escape_markdown(cell.row),
        escape_markdown(cell.column),
        number(cell.published) + mark,
        number(filled.value),
        "[{}, {}]".format(*map(number, filled.interval)) if filled.interval else "",
        difference,
        {True: "yes", False: "no", None: ""}[filled.inside],
        f"`{cell.command}`",
    ]
