"""The list of all published numbers with ours, which `aims report --against paper` adds."""

from __future__ import annotations

from collections.abc import Sequence

from aims.core.config import RANDOM_WEIGHTS
from aims.reports.paper.cells import FilledCell, FilledTable
from aims.reports.paper.layout import cell_fields, paper_name, yes_no
from aims.reports.paper.published import PAPER_BACKBONE, PAPER_PROTOCOL
from aims.reports.tables.captions import condition_title
from aims.reports.tables.markdown import markdown_lines, markdown_text
from aims.reports.tables.numbers import decimals, interval
from aims.reports.tables.results_table import CONDITION_FIELDS, write_csv
from aims.reports.tables.table import Cell, Column, Row, Table

#: Figure 7 prints no numbers: the ends of its curves are those of Figure 4, which would be listed twice.
_WITHOUT = ("figure7",)
_FIELDS = ("exhibit", "row", "column", "unit", "published", "ours", "low", "high", "difference", "inside")
_SETTING = (*CONDITION_FIELDS, "dataset", "modality", "method", "tuning", "options")
_REST = ("lr", "epochs", "seeds", "instances", "images", "footnote", "command")


def against_markdown(paper_tables: Sequence[Sequence[FilledTable]]) -> str:
    """The list in Markdown.

    Args:
        paper_tables: from `aims.reports.paper.files.fill_all`: for each table or figure, one per condition.
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
    return markdown_text([*lines, *(line for table in tables for line in markdown_lines(_table(table)))])


def against_csv(paper_tables: Sequence[Sequence[FilledTable]]) -> str:
    """The list as CSV in long form, one line per number and condition."""
    cells = ((table, cell) for table in _with_numbers(paper_tables) for cell in _printed(table))
    return write_csv((*_FIELDS, *_SETTING, *_REST), (cell_fields(table, cell) for table, cell in cells))


def _printed(table: FilledTable) -> list[FilledCell]:
    return [cell for cell in table.cells.values() if cell.cell.published is not None]


def _with_numbers(paper_tables: Sequence[Sequence[FilledTable]]) -> list[FilledTable]:
    return [
        table
        for tables in paper_tables
        for table in tables
        if table.paper.key not in _WITHOUT and _printed(table)
    ]


def _counts(tables: Sequence[FilledTable]) -> str:
    """A sentence with the number of published numbers, and of those that have a comparable run."""
    printed = [(table, cell) for table in tables for cell in _printed(table)]
    places = {(table.paper.key, cell.cell.row, cell.cell.column) for table, cell in printed}
    comparable = {
        (table.paper.key, cell.cell.row, cell.cell.column)
        for table, cell in printed
        if _is_comparable(table) and cell.difference is not None
    }
    return f"{len(places)} published numbers; comparable runs for {len(comparable)} of them"


def _is_comparable(table: FilledTable) -> bool:
    condition = table.condition
    return (
        condition is not None
        and (condition.protocol, condition.backbone) == (PAPER_PROTOCOL, PAPER_BACKBONE)
        and condition.limit is None
        and condition.weights != RANDOM_WEIGHTS
    )


def _table(table: FilledTable) -> Table:
    header = ("", "published", "ours", "95 % interval", "difference", "inside", "command")
    return Table(
        title=f"{paper_name(table.paper)}: {condition_title(table.condition)}",
        corner=table.paper.corner,
        columns=[Column(name=name, code=name == "command") for name in header],
        rows=[Row(label=filled.cell.row, cells=_cells(filled)) for filled in _printed(table)],
        notes=[f"Note: {text}" for text in (*table.paper.notes, *table.notes)],
        texts=2,
    )


def _cells(filled: FilledCell) -> list[Cell]:
    cell, difference = filled.cell, filled.difference
    texts = [
        decimals(filled.value),
        interval(filled.interval, decimals),
        "" if difference is None else f"{difference:+.2f}",
        yes_no(filled.inside),
        cell.command,
    ]
    published = Cell(lines=(decimals(cell.published),), footnote=cell.note)
    return [Cell(lines=(cell.column,)), published, *(Cell(lines=(text,)) for text in texts)]
