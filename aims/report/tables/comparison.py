"""Every method beside every sensor: one table a dataset, protocol, backbone, weights and limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aims.core.sizes import SIZES
from aims.report.runs.conditions import Condition
from aims.report.runs.results import Result
from aims.report.statistics.paired import Difference, Verdict

#: The column behind the modalities; in brackets, as no stream of a dataset is named.
MEAN = "(mean)"


@dataclass(frozen=True, kw_only=True)
class ComparisonCell:
    """One row's score with one modality, or its mean over several.

    Attributes:
        miou: 0..1.
        interval: its 95 % interval, or None where there is a single image, or for a mean over other images.
        result: where it comes from; None for a mean.
        disc: the floor `disc` on the same instances, or None.
        seed_sd: standard deviation over seeds, or None for a single one.
        rank: "best" or "second" of its column, else empty. Floors have none.
        test: its difference from the best of its column; None for the best itself, for floors, and where it
            cannot be tested.
        verdict: what is said of it beside the best; None for the best itself and for floors.
    """

    miou: float
    interval: tuple[float, float] | None
    result: Result | None
    disc: float | None
    seed_sd: float | None
    rank: str = ""
    test: Difference | None = None
    verdict: Verdict | None = None

    @property
    def below_disc(self) -> bool:
        """Whether it lies below the floor."""
        return self.disc is not None and self.miou < self.disc


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One method with one tuning and one setting.

    Attributes:
        method: name of the method.
        detail: the tuning, and what tells the row from others of the same method and tuning.
        cells: by modality, then `MEAN`.
        differences: to the reference, by modality, then `MEAN`; what could not be tested is missing.
    """

    method: str
    detail: str
    cells: Mapping[str, ComparisonCell]
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
    def trained(self) -> tuple[int, int] | None:
        """Fewest and most trained parameters over the modalities, where all are known."""
        counts = [result.trained for result in self.results]
        known = [count for count in counts if count is not None]
        return (min(known), max(known)) if known and len(known) == len(counts) else None

    @property
    def seconds(self) -> float | None:
        """Mean time of a run, where all are known."""
        times = [run.seconds for result in self.results for run in result.runs]
        known = [time for time in times if time is not None]
        return sum(known) / len(known) if known and len(known) == len(times) else None

    @property
    def flops(self) -> tuple[float, float] | None:
        """Fewest and most operations for one image with one click, where all are known."""
        known = [result.flops for result in self.results if result.flops is not None]
        return (min(known), max(known)) if known and len(known) == len(self.results) else None

    @property
    def device(self) -> str | None:
        """Kind of the device ("cpu", "cuda"), where all runs say the same."""
        kinds = {result.device for result in self.results}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def hours(self) -> float | None:
        """Mean hours of one device that a run took (`Run.hours`), where all are known."""
        hours = [run.hours for result in self.results for run in result.runs]
        known = [time for time in hours if time is not None and self.device is not None]
        return sum(known) / len(known) if known and len(known) == len(hours) else None

    @property
    def peak_bytes(self) -> float | None:
        """The most memory of any run, where all are known."""
        known = [result.peak_bytes for result in self.results if result.peak_bytes is not None]
        return max(known) if known and len(known) == len(self.results) else None

    @property
    def learning_rates(self) -> tuple[int, int]:
        """Fewest and most learning rates that were tried for one modality."""
        counts = [result.learning_rates for result in self.results]
        return min(counts), max(counts)

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
    condition = table.condition
    return {
        "dataset": table.dataset,
        "fingerprint": table.fingerprint,
        "protocol": condition.protocol,
        "backbone": condition.backbone,
        "limit": condition.limit,
        "weights": condition.weights,
        "modalities": list(table.modalities),
        "mean_over": list(table.mean_over),
        "reference": table.reference,
        "best": {column: table.best(column) for column in table.columns},
        "rows": [
            {
                "label": row.label,
                "method": row.method,
                "trained_parameters": row.trained,
                "seconds": row.seconds,
                "flops": row.flops,
                "device": row.device,
                "device_hours": row.hours,
                "peak_memory_bytes": row.peak_bytes,
                "learning_rates": row.learning_rates,
                "cells": {name: _cell_json(cell) for name, cell in row.cells.items()},
                "large": row.large(table.sized),
                "by_size": dict(zip(SIZES, row.by_size(table.sized), strict=False)),
                "differences": {name: test.as_json() for name, test in row.differences.items()},
            }
            for row in table.rows
        ],
        "notes": list(table.notes),
    }


def _cell_json(cell: ComparisonCell) -> dict[str, Any]:
    return {
        "miou": cell.miou,
        "interval": cell.interval,
        "seed_sd": cell.seed_sd,
        "rank": cell.rank,
        "miou_large": cell.result.large[1] if cell.result and cell.result.large else None,
        "instances_large": cell.result.large[0] if cell.result and cell.result.large else None,
        "verdict": cell.verdict,
        "from_best": cell.test.as_json() if cell.test else None,
        "below_disc": cell.below_disc,
    }
