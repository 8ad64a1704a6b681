"""The comparison tables as CSV, in long form. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aims.report.statistics.paired import Difference, fewest_images
from aims.report.tables.captions import percent
from aims.report.tables.comparison import MEAN, Comparison, ComparisonCell, ComparisonRow
from aims.report.tables.comparison_words import column_name
from aims.report.tables.results_table import (
    COST_FIELDS,
    RESULT_FIELDS,
    SETTING_FIELDS,
    condition_fields,
    cost_fields,
    result_fields,
    write_csv,
)

_PLACE = ("protocol", "backbone", "limit", "weights", "dataset", "fingerprint")


def comparison_csv(tables: Sequence[Comparison]) -> str:
    """All tables in long form, one line a cell; `weights` is the table's, `cell_weights` the runs' own."""
    fields = (*_PLACE, *(name for name in RESULT_FIELDS if name not in _PLACE))
    fields += ("seed_sd", "groups", "rank", "verdict", "mean_over", *COST_FIELDS, "cell_weights")
    return write_csv(fields, _lines(tables, _cell_line))


def paired_csv(tables: Sequence[Comparison]) -> str:
    """All paired tests in long form: each score with the best of its column, and with the reference.

    Scores and differences are in percentage points. `p_holm` is adjusted for the `tests` comparisons with the
    reference; `groups_needed` is how many images or groups of them it takes for `p`, and there for `p_holm`,
    to fall below the level.
    """
    fields = (
        *(*_PLACE, *SETTING_FIELDS, "modality", "mean_over", "against", "reference", "miou", "seed_sd"),
        *("difference", "low", "high", "groups", "p", "verdict", "p_holm", "tests", "groups_needed"),
    )
    lines = [
        line for table in tables for make in (_best_line, _reference_line) for line in _lines([table], make)
    ]
    return write_csv(fields, lines)


def _lines(
    tables: Sequence[Comparison], make: Callable[[Comparison, ComparisonRow, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {**_place(table), **found}
        for table in tables
        for row in table.rows
        for column in table.columns
        if (found := make(table, row, column))
    ]


def _place(table: Comparison) -> dict[str, Any]:
    return {
        **condition_fields(table.condition),
        "dataset": table.dataset,
        "fingerprint": table.fingerprint,
    }


def _setting(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    """What a row is, and the column that a line is about."""
    fields = result_fields(row.results[0])
    mean_over = " ".join(table.mean_over) if column == MEAN else ""
    return {name: fields[name] for name in SETTING_FIELDS} | {
        "modality": column_name(column),
        "mean_over": mean_over,
    }


def _cell_line(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    cell = row.cells.get(column)
    if cell is None:
        return {}
    low, high = cell.interval or (None, None)
    result = cell.result
    return {
        **(result_fields(result) if result else {}),
        **_setting(table, row, column),
        "miou": percent(cell.miou),
        "low": percent(low),
        "high": percent(high),
        "seed_sd": percent(cell.seed_sd),
        "disc": percent(cell.disc),
        "below_disc": "yes" if cell.below_disc else "",
        "rank": cell.rank,
        "verdict": cell.verdict or "",
        "groups": len(result.counts) if result else "",
        **cost_fields(result),
        "cell_weights": result.config.weights if result else "",
    }


def _best_line(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    cell = row.cells.get(column)
    if cell is None or cell.verdict is None:
        return {}
    beside = {"against": "best", "reference": table.best(column), "verdict": cell.verdict}
    return {
        **_setting(table, row, column),
        **beside,
        **_test_fields(cell, cell.test),
        "groups_needed": fewest_images(),
    }


def _reference_line(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    test = row.differences.get(column)
    if test is None:
        return {}
    return {
        **_setting(table, row, column),
        "against": "reference",
        "reference": table.reference,
        "verdict": test.verdict,
        **_test_fields(row.cells[column], test),
        "p_holm": f"{test.p_holm:.6g}",
        "tests": table.tests,
        "groups_needed": fewest_images(table.tests),
    }


def _test_fields(cell: ComparisonCell, test: Difference | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"miou": percent(cell.miou), "seed_sd": percent(cell.seed_sd)}
    if test is None:
        return fields
    low, high = test.interval or (None, None)
    return fields | {
        "difference": percent(test.value),
        "low": percent(low),
        "high": percent(high),
        "groups": test.groups,
        "p": f"{test.p:.6g}",
    }
