"""The comparison as CSV in long form: one line per score, and one per test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aims.reports.comparison.descriptions import column_name
from aims.reports.comparison.table import MEAN, Comparison, ComparisonRow
from aims.reports.statistics.paired import Difference, fewest_images
from aims.reports.tables.everything import FIELDS, has_everything
from aims.reports.tables.numbers import percent
from aims.reports.tables.results_table import (
    CONDITION_FIELDS,
    COST_FIELDS,
    RESULT_FIELDS,
    SETTING_FIELDS,
    condition_fields,
    cost_fields,
    result_fields,
    setting_fields,
    write_csv,
)
from aims.reports.tables.scores import Score

_PLACE = (*CONDITION_FIELDS, "dataset", "fingerprint")


def comparison_csv(tables: Sequence[Comparison]) -> str:
    """All comparisons in long form, one line per cell.

    `weights` are the initial weights in the table's condition, `cell_weights` those of the cell's runs, which
    are "random" for scratch.
    """
    fields = (*_PLACE, *(name for name in RESULT_FIELDS if name not in _PLACE))
    fields += ("seed_sd", "groups", "rank", "verdict", "mean_over", *COST_FIELDS, "cell_weights")
    fields += FIELDS if has_everything(result for table in tables for result in table.results) else ()
    return write_csv(fields, _lines(tables, _cell_line))


def cost_csv(tables: Sequence[Comparison]) -> str:
    """Score in the table's main column and costs, one line per row that has such a score."""
    fields = (*_PLACE, "row", "method", "tuning", "modality", "miou", "low", "high", "check", *COST_FIELDS)
    lines = (
        {
            **_place(table),
            "row": row.label,
            "method": row.method,
            "tuning": row.tuning,
            "modality": column_name(table.main_column),
            **_score_fields(score),
            "check": row.check.level,
            **cost_fields(row.costs),
        }
        for table in tables
        for row in table.rows
        if (score := row.cells.get(table.main_column))
    )
    return write_csv(fields, lines)


def paired_csv(tables: Sequence[Comparison]) -> str:
    """All paired tests in long form: each score against the best of its column, and against the reference.

    Scores and differences are in percentage points. `p_holm` is adjusted for the `tests` comparisons with the
    reference. `groups_needed` is the fewest images, or groups of images, with which `p` (against the best) or
    `p_holm` (against the reference) can fall below the level.
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
    """The fields of a row's setting and of the modality of a line."""
    return {
        **setting_fields(row.results[0].config),
        "modality": column_name(column),
        "mean_over": " ".join(table.mean_over) if column == MEAN else "",
    }


def _cell_line(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    cell = row.cells.get(column)
    if cell is None:
        return {}
    result = cell.result
    return {
        **result_fields(result),
        **_setting(table, row, column),
        **_score_fields(cell),
        "check": result.check.level if result else row.check.level,
        "seed_sd": percent(cell.seed_sd),
        # A mean has no result of its own.
        **({} if result else {"miou_large": percent(row.large(table.sized))}),
        "disc": percent(cell.disc),
        "below_disc": "yes" if cell.below_disc else "",
        "rank": cell.rank,
        "verdict": cell.verdict or "",
        "groups": len(result.counts) if result else "",
        **cost_fields(result.costs if result else None),
        "cell_weights": result.config.weights if result else "",
    }


def _score_fields(score: Score) -> dict[str, Any]:
    low, high = score.interval or (None, None)
    return {"miou": percent(score.value), "low": percent(low), "high": percent(high)}


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


def _test_fields(cell: Score, test: Difference | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"miou": percent(cell.value), "seed_sd": percent(cell.seed_sd)}
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
