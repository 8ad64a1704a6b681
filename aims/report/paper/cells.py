"""Puts results beside the paper's cells: once per protocol, backbone, weights and limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aims.report.paper.description import PaperCell, PaperTable
from aims.report.paper.table1 import select
from aims.report.runs.conditions import Condition, by_condition
from aims.report.runs.results import Result
from aims.report.statistics.paired import Difference, Verdict, compare, sample_scores


@dataclass(frozen=True, kw_only=True)
class FilledCell:
    """A cell of the paper and what we have for it.

    Attributes:
        cell: the paper's.
        result: ours; None where there is no run.
        value: ours, in the unit of its table (percent, or millions); None likewise.
        interval: its 95 % interval, for a score over more than one image.
        rank: "best" or "second" among its rivals of ours, else empty.
        test: its difference from the best of its rivals (0..1), where both are of the same instances.
        verdict: what is said of it beside the best; None for the best itself and for means over datasets.
    """

    cell: PaperCell
    result: Result | None = None
    value: float | None = None
    interval: tuple[float, float] | None = None
    rank: str = ""
    test: Difference | None = None
    verdict: Verdict | None = None

    @property
    def difference(self) -> float | None:
        """Ours less the published number, in the unit of its table."""
        if self.value is None or self.cell.published is None:
            return None
        return self.value - self.cell.published

    @property
    def inside(self) -> bool | None:
        """Whether the published number lies within our interval; None where one of them is missing."""
        if self.interval is None or self.cell.published is None:
            return None
        return self.interval[0] <= self.cell.published <= self.interval[1]


@dataclass(frozen=True, kw_only=True)
class FilledTable:
    """A table or a figure under one condition.

    Attributes:
        paper: the paper's.
        condition: what our results share; None where there are none.
        cells: by row and column.
        notes: what was not picked, and why.
    """

    paper: PaperTable
    condition: Condition | None
    cells: Mapping[tuple[str, str], FilledCell]
    notes: tuple[str, ...] = ()

    @property
    def footnotes(self) -> dict[str, str]:
        """Letters of the footnotes of printed numbers, by their text."""
        texts = dict.fromkeys(cell.note for cell in self.paper.cells.values() if cell.note)
        return {text: chr(ord("a") + place) for place, text in enumerate(texts)}


def fill_table(paper: PaperTable, results: Sequence[Result]) -> tuple[FilledTable, ...]:
    """Lays out a table of the paper once per condition with a run; without any, once with printed numbers.

    Scratch starts from random weights by definition and stands beside every start of the others.

    Args:
        paper: the paper's.
        results: every finished run, grouped over seeds.
    """
    fitting = [
        result
        for result in results
        if any(cell.query and cell.query.fits(result.config) for cell in paper.cells.values())
    ]
    filled = tuple(_fill(paper, condition, members) for condition, members in by_condition(fitting))
    return filled or (
        FilledTable(
            paper=paper,
            condition=None,
            cells={place: FilledCell(cell=cell) for place, cell in paper.cells.items()},
        ),
    )


def _fill(paper: PaperTable, condition: Condition, results: Sequence[Result]) -> FilledTable:
    notes: list[str] = []
    cells: dict[tuple[str, str], FilledCell] = {}
    for place, cell in paper.cells.items():
        if cell.query is None:
            cells[place] = FilledCell(cell=cell, value=_mean(cells, cell.column))
            continue
        candidates = [
            result
            for result in results
            # Runs on a part of the images stand in the curve alone.
            if cell.query.fits(result.config) and result.config.train_images is None
        ]
        contents = sorted({result.config.fingerprint[:8] for result in candidates})
        if len(contents) > 1:
            notes.append(
                f"{cell.row}, {cell.column}: runs used different contents of the dataset (fingerprints "
                f"{', '.join(contents)}); none is picked."
            )
            candidates = []
        result = select(candidates, f"{cell.row}, {cell.column}", notes)
        ends = result.interval if result and paper.unit == "miou" else None
        cells[place] = FilledCell(
            cell=cell,
            result=result,
            value=_value(paper, result),
            interval=(100 * ends[0], 100 * ends[1]) if ends else None,
        )
    return FilledTable(
        paper=paper,
        condition=condition,
        cells=_ranked(paper, cells) if paper.unit == "miou" else cells,
        notes=tuple(dict.fromkeys(notes)),
    )


def _mean(cells: Mapping[tuple[str, str], FilledCell], column: str) -> float | None:
    """Of the rows above, if all are there."""
    values = [filled.value for (_, name), filled in cells.items() if name == column]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _value(paper: PaperTable, result: Result | None) -> float | None:
    if result is None:
        return None
    if paper.unit == "miou":
        return 100 * result.miou
    counts = {run.trained_of_sam for run in result.runs}
    count = counts.pop() if len(counts) == 1 else None
    return None if count is None else count / 1e6


def _ranked(
    paper: PaperTable, cells: Mapping[tuple[str, str], FilledCell]
) -> dict[tuple[str, str], FilledCell]:
    """Marks the best and the second of each group of rivals that has at least two of ours, and tests."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for (row, column), filled in cells.items():
        if filled.value is not None:
            groups.setdefault(column if paper.compete == "rows" else row, []).append((row, column))
    ranked = dict(cells)
    pairs: list[tuple[tuple[str, str], Result, Result]] = []
    for places in groups.values():
        order = sorted(places, key=lambda place: -(cells[place].value or 0))
        if len(order) < 2:
            continue
        for place, rank in zip(order, ("best", "second"), strict=False):
            ranked[place] = dataclasses.replace(cells[place], rank=rank)
        best = cells[order[0]].result
        rivals = ((place, cells[place].result) for place in order[1:])
        pairs += [(place, result, best) for place, result in rivals if result and best]
    samples = sample_scores([result.sample for _, *both in pairs for result in both])
    tests = compare(list(zip(samples[::2], samples[1::2], strict=True)))
    for (place, _, _), test in zip(pairs, tests, strict=True):
        verdict = test.verdict if test else Verdict.NOT_TESTED
        ranked[place] = dataclasses.replace(ranked[place], test=test, verdict=verdict)
    return ranked
