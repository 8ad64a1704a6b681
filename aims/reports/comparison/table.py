"""The comparison table of one dataset, protocol, backbone, weights and limit: methods by modalities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from aims.core.checks import Check, lowest
from aims.core.sizes import SIZES
from aims.reports.runs.conditions import Condition
from aims.reports.runs.costs import Costs
from aims.reports.runs.results import Result
from aims.reports.statistics.paired import Difference, Verdict
from aims.reports.tables.scores import Score

#: Key of the last column, the mean over modalities; in brackets, so that it is no possible stream name.
MEAN = "(mean)"


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One row: a method with a tuning and a setting.

    Attributes:
        method: name of the method.
        tuning: name of the tuning.
        detail: the tuning, and the settings that distinguish the row from others of this method and tuning.
        cells: scores by modality, and by `MEAN`.
        differences: differences from the reference row by modality and `MEAN`; untested ones are missing.
    """

    method: str
    tuning: str
    detail: str
    cells: Mapping[str, Score]
    differences: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Method and detail, e.g. "simcmf, lora"."""
        return f"{self.method}, {self.detail}" if self.detail else self.method

    @property
    def is_floor(self) -> bool:
        """Whether it is the row of a floor, which sees no sensor."""
        return any(result.is_floor for result in self.results)

    @cached_property
    def results(self) -> list[Result]:
        """The results of its cells; a mean has none."""
        return [cell.result for cell in self.cells.values() if cell.result]

    @cached_property
    def check(self) -> Check:
        """The check that all its runs have passed."""
        return lowest([result.check for result in self.results])

    @cached_property
    def costs(self) -> Costs:
        """Costs of its runs on all modalities."""
        runs = [run for result in self.results for run in result.runs]
        return Costs.of(runs, [result.learning_rates for result in self.results])

    def by_size(self, modalities: Sequence[str]) -> tuple[float | None, ...]:
        """mIoU of each class of `aims.core.sizes.SIZES`, averaged over `modalities`; empty if unknown."""
        cells = [self.cells.get(name) for name in modalities]
        scores = [cell.result.by_size for cell in cells if cell and cell.result]
        if len(scores) < len(modalities) or not all(scores):
            return ()
        columns = [[miou for _, miou in column] for column in zip(*scores, strict=True)]
        return tuple(None if None in column else float(np.mean(column)) for column in columns)

    def large(self, modalities: Sequence[str]) -> float | None:
        """mIoU of large instances (`aims.core.sizes.LARGE`), averaged over `modalities`; None if unknown."""
        cells = [self.cells.get(name) for name in modalities]
        found = [cell.result.large for cell in cells if cell and cell.result]
        scores = [each[1] for each in found if each and each[1] is not None]
        return float(np.mean(scores)) if scores and len(scores) == len(modalities) else None

    def everything(self, modalities: Sequence[str]) -> dict[str, float]:
        """Scores of all found objects, averaged over `modalities`; empty unless it has them on each."""
        cells = [self.cells.get(name) for name in modalities]
        scores = [cell.result.everything for cell in cells if cell and cell.result]
        if len(scores) < len(modalities) or not all(scores):
            return {}
        return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}

    @property
    def seeds(self) -> tuple[int, int]:
        """Minimum and maximum number of seeds of its cells."""
        counts = [len(result.seeds) for result in self.results]
        return min(counts), max(counts)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One table of methods by modalities on one dataset.

    Attributes:
        condition: the settings that its rows share, except for the weights of scratch, which are random.
        dataset: name of the dataset.
        fingerprint: fingerprint of the dataset's content.
        mixes_rgb: whether the modalities stack RGB with a sensor; the others are in a separate table.
        modalities: the columns.
        mean_over: modalities that the column `MEAN` averages; empty if there is no such column.
        rows: the floors, then the methods in descending order of score.
        reference: label of the reference row, or None.
        notes: further notes on the table.
    """

    condition: Condition
    dataset: str
    fingerprint: str
    mixes_rgb: bool
    modalities: tuple[str, ...]
    mean_over: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    reference: str | None
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The modalities, then `MEAN` where there is one."""
        return (*self.modalities, MEAN) if self.mean_over else self.modalities

    @property
    def main_column(self) -> str:
        """The column plotted against costs: the mean, else the modality that most rows have."""
        if self.mean_over:
            return MEAN
        return max(self.modalities, key=lambda name: sum(name in row.cells for row in self.rows))

    @cached_property
    def results(self) -> list[Result]:
        """The results of all its rows."""
        return [result for row in self.rows for result in row.results]

    @property
    def sized(self) -> tuple[str, ...]:
        """The modalities that scores by size are averaged over."""
        return self.mean_over or self.modalities[:1]

    @cached_property
    def size_counts(self) -> tuple[int, ...]:
        """Number of test instances of each size, from the first row with sizes; empty if there is none."""
        for row in self.rows:
            if row.by_size(self.sized):
                result = row.cells[self.sized[0]].result
                assert result is not None
                return tuple(number for number, _ in result.by_size)
        return ()

    @cached_property
    def large_count(self) -> int | None:
        """Number of large test instances, from the first row with sizes; None if there is none."""
        first = [row.cells[self.sized[0]] for row in self.rows if self.sized[0] in row.cells]
        found = (cell.result.large for cell in first if cell.result and cell.result.large)
        return next((number for number, _ in found), None)

    @cached_property
    def has_everything(self) -> bool:
        """Whether a row has scores of all found objects, which `ComparisonRow.everything` averages."""
        return any(row.everything(self.sized) for row in self.rows)

    @cached_property
    def tests(self) -> int:
        """Number of comparisons with the reference, which Holm's correction is for."""
        return sum(len(row.differences) for row in self.rows)

    @property
    def groups(self) -> tuple[int, ...]:
        """The numbers of images, or of groups of images, in its tests: distinct, in ascending order."""
        tests = [cell.test for row in self.rows for cell in row.cells.values()]
        tests += [test for row in self.rows for test in row.differences.values()]
        return tuple(sorted({test.groups for test in tests if test}))

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The distinct verdicts of its scores against the best of their columns, in order of `Verdict`."""
        found = {cell.verdict for row in self.rows for cell in row.cells.values()}
        return tuple(verdict for verdict in Verdict if verdict in found)

    def best(self, column: str) -> str | None:
        """Label of the best row of a column; None where there is none."""
        best = (row for row in self.rows if column in row.cells and row.cells[column].rank == "best")
        return next((row.label for row in best), None)


def comparison_json(table: Comparison) -> dict[str, Any]:
    """A comparison as plain types, ready for `json.dumps`; scores lie in 0..1."""
    return {
        "dataset": table.dataset,
        "fingerprint": table.fingerprint,
        **dataclasses.asdict(table.condition),
        "modalities": list(table.modalities),
        "mean_over": list(table.mean_over),
        "reference": table.reference,
        "best": {column: table.best(column) for column in table.columns},
        "rows": [
            {
                "label": row.label,
                "method": row.method,
                "check": row.check.level,
                **dataclasses.asdict(row.costs),
                "cells": {name: _cell_json(cell) for name, cell in row.cells.items()},
                "large": row.large(table.sized),
                **({"everything": found} if (found := row.everything(table.sized)) else {}),
                "by_size": dict(zip(SIZES, row.by_size(table.sized), strict=False)),
                "differences": {name: test.as_json() for name, test in row.differences.items()},
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _cell_json(cell: Score) -> dict[str, Any]:
    instances_large, miou_large = (cell.result and cell.result.large) or (None, None)
    return {
        "miou": cell.value,
        "interval": cell.interval,
        "seed_sd": cell.seed_sd,
        "rank": cell.rank,
        "miou_large": miou_large,
        "instances_large": instances_large,
        "verdict": cell.verdict,
        "from_best": cell.test.as_json() if cell.test else None,
        "below_disc": cell.below_disc,
    }
