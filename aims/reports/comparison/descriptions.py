"""Describes a comparison as printable tables: scores, paired tests, sizes, spread over seeds, and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aims.core.checks import LEVELS
from aims.core.sizes import LARGE_NAME, SIZES
from aims.reports.comparison.captions import (
    best_notes,
    comparison_title,
    counts,
    large_note,
    notes,
    reference_notes,
    size_note,
)
from aims.reports.comparison.costs import COSTS, Cost, cost_notes
from aims.reports.comparison.table import MEAN, Comparison, ComparisonRow
from aims.reports.runs.costs import Costs
from aims.reports.statistics.paired import Difference
from aims.reports.tables.everything import HEADINGS, MEANING
from aims.reports.tables.latex import latex_text
from aims.reports.tables.markdown import markdown_lines, markdown_text
from aims.reports.tables.marks import NOT_CHECKED, STAR, UNCHECKED, check_words, verdict_words
from aims.reports.tables.numbers import interval, listed, p_value, percent, points, span
from aims.reports.tables.scores import Score
from aims.reports.tables.table import Cell, Column, Row, Table


def comparison_markdown(tables: Sequence[Comparison]) -> str:
    """All comparisons in Markdown, each with its paired tests and its spread over seeds."""
    lines = ["# Results by sensor", ""]
    lines += [] if tables else ["There is no finished run."]
    for table in tables:
        lines += markdown_lines(scores_table(table, costs=True))
        lines += [line for part in detail_tables(table) for line in markdown_lines(part, "###")]
    return markdown_text(lines)


def comparison_latex(tables: Sequence[Comparison]) -> str:
    """All comparisons in LaTeX: one `table` environment each for scores, differences and costs.

    The only package needed is booktabs.
    """
    found: list[Table] = []
    for number, table in enumerate(tables, start=1):
        found.append(scores_table(table, number=number))
        found += [best_table(table, number=number)] if table.verdicts else []
        # A separate table: next to the scores of five modalities, costs would not fit on a page.
        found.append(cost_table(table, number=number))
    return latex_text(found)


def detail_tables(table: Comparison) -> list[Table]:
    """The tables of paired tests, sizes and spread over seeds, those of them that have content."""
    spread = any(cell.seed_sd is not None for row in table.rows for cell in row.cells.values())
    found = (
        (table.verdicts, best_table),
        (table.tests, reference_table),
        (table.size_counts, size_table),
        (spread, spread_table),
    )
    return [describe(table) for holds, describe in found if holds]


def scores_table(table: Comparison, *, costs: bool = False, number: int = 0) -> Table:
    """The table of scores, methods by modalities.

    Args:
        table: the comparison.
        costs: whether to add the cost columns.
        number: number of the table, which makes its LaTeX label unique.
    """
    shown = COSTS if costs else ()
    columns = _columns(table)
    columns += [Column(name=LARGE_NAME, meaning=large_note(table)[0])] if table.large_count else []
    everything = HEADINGS if table.has_everything else {}
    columns += [Column(name=heading, meaning=MEANING) for heading in everything.values()]
    columns += [
        Column(name="seeds", meaning="Number of runs that differ in the seed alone"),
        Column(name="check", meaning=check_words({row.check.level for row in table.rows})),
        *(Column(name=cost.name, short=cost.short, meaning=cost.meaning) for cost in shown),
    ]

    def cells(row: ComparisonRow) -> list[Cell]:
        large, objects = row.large(table.sized), row.everything(table.sized)
        return [
            *(score.cell() if (score := row.cells.get(name)) else Cell() for name in table.columns),
            *[Cell(lines=(percent(large),), value=large)] * bool(table.large_count),
            *(Cell(lines=(percent(objects.get(name)),), value=objects.get(name)) for name in everything),
            Cell(lines=(span(*row.seeds, str),), value=row.seeds[1]),
            Cell(lines=(row.check.level,), value=row.check.rank, verdict=LEVELS[row.check.level]),
            *(_cost(cost, row.costs) for cost in shown),
        ]

    return Table(
        title=comparison_title(table),
        label=f"tab:aims-comparison-{number}",
        caption=f"{counts(table)}.",
        corner="method",
        columns=columns,
        rows=[_row(row, cells(row)) for row in table.rows],
        notes=[*notes(table), *(cost_notes(table) if costs else ())],
    )


def _cost(cost: Cost, costs: Costs) -> Cell:
    text = cost.text(costs)
    return Cell(
        lines=(text,), value=cost.value(costs), verdict=NOT_CHECKED if text.endswith(UNCHECKED) else ""
    )


def best_table(table: Comparison, *, number: int = 0) -> Table:
    """The table of paired tests of each score against the best of its column."""
    return _by_column(
        table,
        "Differences from the best of each column",
        lambda row, column: _beside_best(row.cells.get(column)),
        [row for row in table.rows if not row.is_floor],
        best_notes(),
        label=f"tab:aims-paired-{number}",
    )


def reference_table(table: Comparison) -> Table:
    """The table of paired tests against the reference row, Holm-corrected together."""
    return _by_column(
        table,
        f"Differences from {table.reference}",
        lambda row, column: _difference(test) if (test := row.differences.get(column)) else Cell(),
        [row for row in table.rows if row.differences],
        reference_notes(table),
    )


def spread_table(table: Comparison) -> Table:
    """The table of standard deviations over seeds."""

    def cell(row: ComparisonRow, column: str) -> Cell:
        spread = score.seed_sd if (score := row.cells.get(column)) else None
        return Cell(lines=(percent(spread),), value=spread)

    note = "Standard deviation of mIoU over seeds (n - 1), in percentage points."
    return _by_column(table, "Spread over seeds", cell, table.rows, [note])


def size_table(table: Comparison) -> Table:
    """The table of scores by size class."""
    found = [(row, scores) for row in table.rows if (scores := row.by_size(table.sized))]
    return Table(
        title="By size",
        name=comparison_title(table),
        corner="method",
        columns=[
            Column(name=f"{name} ({number:,})") for name, number in zip(SIZES, table.size_counts, strict=True)
        ],
        rows=[
            _row(row, [Cell(lines=(percent(score),), value=score) for score in scores])
            for row, scores in found
        ],
        notes=[size_note(table)],
    )


def cost_table(table: Comparison, *, number: int = 0) -> Table:
    """The table of costs."""
    return Table(
        title="What the methods cost",
        name=comparison_title(table),
        label=f"tab:aims-cost-{number}",
        corner="method",
        columns=[Column(name=cost.short) for cost in COSTS],
        rows=[_row(row, [Cell(lines=(cost.text(row.costs),)) for cost in COSTS]) for row in table.rows],
        notes=cost_notes(table),
    )


def _by_column(
    table: Comparison,
    title: str,
    show: Callable[[ComparisonRow, str], Cell],
    rows: Sequence[ComparisonRow],
    notes: Sequence[str],
    *,
    label: str = "",
) -> Table:
    """A table with the columns of the comparison."""
    return Table(
        title=title,
        name=comparison_title(table),
        label=label,
        corner="method",
        columns=_columns(table),
        rows=[_row(row, [show(row, column) for column in table.columns]) for row in rows],
        notes=notes,
    )


def _columns(table: Comparison) -> list[Column]:
    return [Column(name=column_name(name), key=name, meaning=_meaning(table, name)) for name in table.columns]


def _meaning(table: Comparison, column: str) -> str:
    over = f"the mean over {listed(table.mean_over)}" if column == MEAN else f"with {column}"
    return f"mIoU in percent, {over}, and its 95 % interval"


def column_name(column: str) -> str:
    """Heading of a column: the modality, or "mean" for `MEAN`."""
    return "mean" if column == MEAN else column


def _row(row: ComparisonRow, cells: Sequence[Cell]) -> Row:
    return Row(label=row.label, cells=cells, block="floors" if row.is_floor else "methods")


def _beside_best(score: Score | None) -> Cell:
    if score is None or (score.verdict is None and score.rank != "best"):
        return Cell()
    if score.test is None:
        return Cell(lines=(str(score.verdict or "the best"),), value=0)
    return _difference(score.test)


def _difference(test: Difference) -> Cell:
    """A cell with a difference: value, interval, n and p-values, verdict."""
    star = f" {STAR}" if test.stands_in_family else ""
    lines = [
        points(test.value) + star,
        interval(test.interval, points),
        f"n {test.groups}, p {p_value(test.p)}",
        "" if test.p_holm is None else f"Holm's p {p_value(test.p_holm)}",
        verdict_words(test),
    ]
    return Cell(lines=[*filter(None, lines)], value=test.value)
