"""Every method beside every sensor: one table a dataset, protocol, backbone, weights and limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from aims.core.sizes import SIZES
from aims.report.runs.conditions import Condition
from aims.report.runs.costs import Costs
from aims.report.runs.results import Result
from aims.report.statistics.paired import Difference, Verdict
from aims.report.tables.scores import Score

#: The column behind the modalities; in brackets, as no stream of a dataset is named.
MEAN = "(mean)"


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One method with one tuning and one setting.

    Attributes:
        method: name of the method.
        tuning: name of the tuning.
        detail: the tuning, and what tells the row from others of the same method and tuning.
        cells: by modality, then `MEAN`.
        differences: to the reference, by modality, then `MEAN`; what could not be tested is missing.
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
        """Whether it sees no sensor."""
        return any(result.is_floor for result in self.results)

    @property
    def results(self) -> list[Result]:
        """What its cells come from."""
        return [cell.result for cell in self.cells.values() if cell.result]

    @cached_property
    def costs(self) -> Costs:
        """What its runs cost, with all modalities."""
        runs = [run for result in self.results for run in result.runs]
        return Costs.of(runs, [result.learning_rates for result in self.results])

    def by_size(self, modalities: Sequence[str]) -> tuple[float | None, ...]:
        """mIoU of each class of `aims.core.sizes.SIZES`, averaged over modalities; empty if unknown."""
        cells = [self.cells.get(name) for name in modalities]
        scores = [cell.result.by_size for cell in cells if cell and cell.result]
        if len(scores) < len(modalities) or not all(scores):
            return ()
        columns = [[miou for _, miou in column] for column in zip(*scores, strict=True)]
        return tuple(None if None in column else float(np.mean(column)) for column in columns)

    def large(self, modalities: Sequence[str]) -> float | None:
        """mIoU of large instances (`aims.core.sizes.LARGE`), averaged over modalities; None if unknown."""
        cells = [self.cells.get(name) for name in modalities]
        found = [cell.result.large for cell in cells if cell and cell.result]
        scores = [each[1] for each in found if each and each[1] is not None]
        return float(np.mean(scores)) if scores and len(scores) == len(modalities) else None

    @property
    def seeds(self) -> tuple[int, int]:
        """Fewest and most seeds of its cells."""
        counts = [len(result.seeds) for result in self.results]
        return min(counts), max(counts)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One table of methods and modalities of the same test images.

    Attributes:
        condition: what its rows share; scratch starts from random weights all the same.
        dataset: name of the dataset.
        fingerprint: of the dataset's content.
        mixes_rgb: whether the modalities are RGB stacked with a sensor; these have tables of their own.
        modalities: the columns.
        mean_over: the modalities of the column `MEAN`; empty where there is none.
        rows: the floors, then the best first.
        reference: label of the row that the others are tested against, or None.
        notes: what a reader must know beside.
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
        """The column that is drawn against costs: the mean, else the modality that most rows have."""
        if self.mean_over:
            return MEAN
        return max(self.modalities, key=lambda name: sum(name in row.cells for row in self.rows))

    @property
    def results(self) -> list[Result]:
        """What it comes from."""
        return [result for row in self.rows for result in row.results]

    @property
    def sized(self) -> tuple[str, ...]:
        """The modalities over which scores by size are averaged."""
        return self.mean_over or self.modalities[:1]

    @property
    def size_counts(self) -> tuple[int, ...]:
        """Number of test instances of each size, as the first row that tells has them; empty if none does."""
        for row in self.rows:
            if row.by_size(self.sized):
                result = row.cells[self.sized[0]].result
                assert result is not None
                return tuple(number for number, _ in result.by_size)
        return ()

    @property
    def large_count(self) -> int | None:
        """Number of large test instances, as the first row that tells has them; None if none does."""
        first = [row.cells[self.sized[0]] for row in self.rows if self.sized[0] in row.cells]
        found = (cell.result.large for cell in first if cell.result and cell.result.large)
        return next((number for number, _ in found), None)

    @property
    def tests(self) -> int:
        """How many comparisons with the reference were made: Holm's correction is over these."""
        return sum(len(row.differences) for row in self.rows)

    @property
    def groups(self) -> tuple[int, ...]:
        """Numbers of images, or of their groups, over which scores were tested, in rising order."""
        tests = [cell.test for row in self.rows for cell in row.cells.values()]
        tests += [test for row in self.rows for test in row.differences.values()]
        return tuple(sorted({test.groups for test in tests if test}))

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is said of its scores beside the best of their columns, without repetition."""
        found = {cell.verdict for row in self.rows for cell in row.cells.values()}
        return tuple(verdict for verdict in Verdict if verdict in found)

    def best(self, column: str) -> str | None:
        """Label of the row that is the best of a column; None where there is none."""
        best = (row for row in self.rows if column in row.cells and row.cells[column].rank == "best")
        return next((row.label for row in best), None)


def comparison_json(table: Comparison) -> dict[str, Any]:
    """A table ready for JSON; scores from 0 to 1."""
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
                **dataclasses.asdict(row.costs),
                "cells": {name: _cell_json(cell) for name, cell in row.cells.items()},
                "large": row.large(table.sized),
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
