"""The comparison tables as Markdown and LaTeX. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aims.core.sizes import LARGE_NAME
from aims.report.runs.floors import DISC
from aims.report.tables.captions import percent
from aims.report.tables.comparison import Comparison, ComparisonRow
from aims.report.tables.comparison_words import (
    best_lines,
    best_notes,
    cell_interval,
    column_name,
    comparison_title,
    counts,
    difference_lines,
    has_seed_spread,
    large_text,
    mark,
    notes,
    reference_notes,
    seeds_text,
    size_columns,
    size_note,
    spread_note,
)
from aims.report.tables.cost import COSTS, cost_notes
from aims.report.tables.latex import LATEX, latex_text
from aims.report.tables.layout import Format, Layout, LayoutRow
from aims.report.tables.markdown import MARKDOWN, escape_markdown, markdown_lines, markdown_text

#: What stands in a cell: of a row and a column, in a format.
_Show = Callable[[ComparisonRow, str, Format], str]


def comparison_markdown(tables: Sequence[Comparison]) -> str:
    """All tables in Markdown, each with its paired tests and its spread over seeds."""
    lines = ["# Results by sensor", ""]
    lines += [] if tables else ["There is no finished run."]
    for table in tables:
        title = comparison_title(table)
        costs = {cost.name: cost.text for cost in COSTS}
        layout = _layout(table, MARKDOWN, _score, title=title, tail=_tail(table) | costs)
        lines += _with_notes(layout, f"{counts(table)}.", [*notes(table), *cost_notes(table)])
        if table.verdicts:
            layout = _layout(table, MARKDOWN, _from_best, title="Differences from the best of each column")
            lines += _with_notes(layout, "", best_notes())
        if table.tests:
            layout = _layout(table, MARKDOWN, _difference, title=f"Differences from {table.reference or ''}")
            lines += _with_notes(layout, "", reference_notes(table))
        if table.size_counts:
            lines += _with_notes(_sizes(table), "", [size_note(table)])
        if has_seed_spread(table):
            layout = _layout(table, MARKDOWN, _spread, title="Spread over seeds")
            lines += _with_notes(layout, "", [spread_note()])
    return markdown_text(lines)


def comparison_latex(tables: Sequence[Comparison]) -> str:
    """All tables in LaTeX, a `table` environment each of scores, differences and costs.

    They need booktabs alone.
    """
    return latex_text(
        layout for index, table in enumerate(tables, start=1) for layout in _latex_layouts(table, index)
    )


def _latex_layouts(table: Comparison, index: int) -> list[Layout]:
    """Scores, the tests behind their marks, and costs, which beside five sensors would not fit on a page."""
    title = comparison_title(table)
    caption = " ".join([f"{title}. {counts(table)}.", *notes(table)])
    label = f"tab:aims-comparison-{index}"
    layouts = [_layout(table, LATEX, _score, caption=caption, label=label, tail=_tail(table))]
    if table.verdicts:
        caption = " ".join([f"{title}: differences from the best of each column.", *best_notes()])
        layouts.append(_layout(table, LATEX, _from_best, caption=caption, label=f"tab:aims-paired-{index}"))
    caption = " ".join([f"{title}: what the methods cost.", *cost_notes(table)])
    tail = {cost.short: cost.text for cost in COSTS}
    label = f"tab:aims-cost-{index}"
    return [*layouts, _layout(table, LATEX, None, caption=caption, label=label, tail=tail)]


def _tail(table: Comparison) -> dict[str, Callable[[ComparisonRow], str]]:
    large = {LARGE_NAME: lambda row: large_text(row, table)} if table.large_count else {}
    return {**large, "seeds": seeds_text}


def _layout(
    table: Comparison,
    form: Format,
    show: _Show | None,
    *,
    title: str = "",
    caption: str = "",
    label: str = "",
    tail: Mapping[str, Callable[[ComparisonRow], str]] | None = None,
) -> Layout:
    """A table with a column for each of the comparison's that `show` fills, then those of `tail`."""
    columns = table.columns if show else ()
    tail = tail or {}
    # The tests in Markdown leave out the floors, of which nothing is said there.
    without_floors = show is _from_best and not form.is_latex
    rows = [
        LayoutRow(
            label=form.prose(row.label),
            cells=[
                *(show(row, column, form) for column in columns if show),
                *(text(row) if show else form.prose(text(row)) for text in tail.values()),
            ],
            block=row.is_floor,
        )
        for row in table.rows
        if not (row.is_floor and without_floors)
    ]
    names = [form.prose(column_name(name)) for name in columns]
    names += map(form.prose, tail) if form.is_latex else tail
    return Layout(title=title, caption=caption, label=label, corner="method", columns=names, rows=rows)


def _with_notes(layout: Layout, below: str, sentences: Sequence[str]) -> list[str]:
    """A table in Markdown: the heading of a part of a comparison, and paragraphs behind it."""
    heading, *rest = markdown_lines(layout, "##" if below else "###")
    between = ["", escape_markdown(below)] if below else []
    return [heading, *between, *rest, *(f"{escape_markdown(text)}\n" for text in sentences)]


def _score(row: ComparisonRow, column: str, form: Format) -> str:
    cell = row.cells.get(column)
    if cell is None:
        return ""
    score = form.ranks[cell.rank] % percent(cell.miou) + form.mark(mark(cell))
    word = "below" if form.is_latex else "BELOW"
    below = f"{word} {DISC} ({percent(cell.disc)})" if cell.below_disc else ""
    return form.stack([score, *filter(None, [cell_interval(cell), below])])


def _from_best(row: ComparisonRow, column: str, form: Format) -> str:
    return form.stack([*map(form.prose, best_lines(row.cells.get(column)))])


def _difference(row: ComparisonRow, column: str, form: Format) -> str:
    test = row.differences.get(column)
    return form.stack([*map(form.prose, difference_lines(test))]) if test else ""


def _spread(row: ComparisonRow, column: str, form: Format) -> str:
    cell = row.cells.get(column)
    return percent(cell.seed_sd) if cell else ""


def _sizes(table: Comparison) -> Layout:
    rows = [
        LayoutRow(label=escape_markdown(row.label), cells=[*map(percent, scores)])
        for row in table.rows
        if (scores := row.by_size(table.sized))
    ]
    return Layout(title="By size", caption="", corner="method", columns=size_columns(table), rows=rows)
