"""What the page's script computes with: the scores, styles and tests of every table, as plain types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aims.reports.comparison.descriptions import column_name, scores_table
from aims.reports.comparison.finding import find
from aims.reports.comparison.pairs import Pairs
from aims.reports.comparison.table import Comparison, ComparisonRow
from aims.reports.figures.row_styles import RowStyles
from aims.reports.runs.floors import DISC
from aims.reports.statistics.paired import Difference
from aims.reports.tables.latex import latex_text


def board(table: Comparison, number: int, pairs: Mapping[str, Pairs], styles: RowStyles) -> dict[str, Any]:
    """One table.

    Args:
        table: the comparison.
        number: its number in `comparison.tex`.
        pairs: the tests of its columns, from `aims.reports.comparison.pairs.pair_tests`.
        styles: colours and markers of the report's rows.
    """
    findings = {column: find(table, column, pairs[column]) for column in table.columns}
    return {
        "dataset": table.dataset,
        "columns": [[column, column_name(column)] for column in table.columns],
        "main": table.main_column,
        "findings": {column: [found.text, found.basis] for column, found in findings.items() if found},
        "rows": [_row(row, styles) for row in table.rows],
        "pairs": {
            column: [[*places, *_test(test)] for places, test in tests.items()]
            for column, tests in pairs.items()
        },
        "latex": latex_text([scores_table(table, number=number)]),
    }


def _row(row: ComparisonRow, styles: RowStyles) -> dict[str, Any]:
    style = styles(row)
    return {
        "label": row.label,
        "floor": row.is_floor,
        "disc": row.method == DISC,
        "colour": style.colour,
        "marker": style.marker,
        "hollow": style.hollow,
        "scores": {
            column: [_short(100 * number) for number in (cell.value, *(cell.interval or ()))]
            for column, cell in row.cells.items()
        },
    }


def _test(test: Difference) -> list[float | str | None]:
    """Difference and interval in percentage points, p, Holm's p, and the verdict of the pair alone.

    The ends of the interval are None where there is none, for a single group of images.
    """
    ends = [_short(100 * number) for number in test.interval] if test.interval else [None, None]
    p = [_digits(test.p), _digits(test.p_holm or 0)]
    return [_short(100 * test.value), *ends, *p, str(test.verdict)]


def _short(number: float) -> float:
    return round(number, 2)


def _digits(p: float) -> float:
    return float(f"{p:.2g}")
