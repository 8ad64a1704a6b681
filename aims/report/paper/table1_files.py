"""Table 1 as Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aims.report.paper.published import TABLE1_METHODS, PublishedTable1
from aims.report.paper.table1 import Cell, Row, Section
from aims.report.runs.floors import FLOORS
from aims.report.tables.captions import (
    capital,
    caption,
    cell_lines,
    footnote_marks,
    percent,
    published_text,
    title,
)
from aims.report.tables.latex import LATEX, latex_text
from aims.report.tables.layout import Format, Layout, LayoutRow
from aims.report.tables.markdown import MARKDOWN, markdown_lines, markdown_text
from aims.report.tables.results_table import (
    RESULT_FIELDS,
    condition_fields,
    result_fields,
    write_csv,
)


def table1_markdown(sections: Sequence[Section], published: PublishedTable1) -> str:
    """Table 1 in Markdown, one heading a section."""
    lines = ["# Table 1: training from scratch and SimCMF", ""]
    for section in sections:
        heading = capital(title(section.condition))
        lines += markdown_lines(
            _layout(section, MARKDOWN, title=heading, caption=caption(section, published))
        )
    return markdown_text(lines)


def table1_latex(sections: Sequence[Section], published: PublishedTable1) -> str:
    """Table 1 in LaTeX, one `table` environment a section."""
    texts = [f"Scratch and SimCMF: {title(each.condition)}. {caption(each, published)}" for each in sections]
    return latex_text(
        _layout(section, LATEX, caption=text, label=f"tab:aims-table1-{index}", corner="modality")
        for index, (section, text) in enumerate(zip(sections, texts, strict=True), start=1)
    )


def _layout(
    section: Section, form: Format, *, caption: str, title: str = "", corner: str = "", label: str = ""
) -> Layout:
    names = form.escape if form.is_latex else str
    groups: list[tuple[str, Sequence[str]]] = [
        (names(name), ("published", "ours")) for name in TABLE1_METHODS.values()
    ]
    marks = footnote_marks(section)
    return Layout(
        title=title,
        corner=corner,
        groups=[*groups, *((names(name), ("ours",)) for name in FLOORS)],
        rows=[_row(row, marks, form) for row in section.rows],
        footnotes=marks,
        notes=(*section.notes, section.floor_note),
        small=False,
        caption=caption,
        label=label,
    )


def _row(row: Row, marks: dict[str, str], form: Format) -> LayoutRow:
    label = form.escape(row.label)
    cells = []
    for method, cell in row.cells.items():
        mark = form.footnote(marks[cell.footnote]) if cell.footnote else ""
        cells += [] if method in FLOORS else [published_text(cell) + mark]
        cells.append(form.stack(cell_lines(cell, form.escape)))
    bold = row.kind == "average" and not form.is_latex
    return LayoutRow(label=f"**{label}**" if bold else label, cells=cells, block=row.kind)


def table1_csv(sections: Sequence[Section]) -> str:
    """Table 1 in long form, one line a cell; `weights` is the section's, `cell_weights` the runs' own."""
    section_fields = ("protocol", "backbone", "limit", "weights")
    rows = [
        {
            **condition_fields(section.condition),
            **_cell_fields(row, method, cell),
        }
        for section in sections
        for row in section.rows
        for method, cell in row.cells.items()
        # An empty cell of a row of ours, or of a floor, says nothing.
        if cell.miou is not None or (row.kind != "other" and method not in FLOORS)
    ]
    return write_csv((*section_fields, "row", *RESULT_FIELDS, "cell_weights", "published"), rows)


def _cell_fields(row: Row, method: str, cell: Cell) -> dict[str, Any]:
    return {
        "dataset": row.dataset,
        "modality": row.modality,
        "method": method,
        "miou": percent(cell.miou),
        **result_fields(cell.result),
        "row": row.kind,
        "cell_weights": cell.result.config.weights if cell.result else "",
        "published": published_text(cell),
    }
