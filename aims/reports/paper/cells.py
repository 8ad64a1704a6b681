"""Fills the cells of the paper's tables with our results, once per protocol, backbone, weights and limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aims.core.vocabulary import PROTOCOLS
from aims.reports.paper.description import PaperCell, PaperTable
from aims.reports.runs.conditions import Condition, by_condition
from aims.reports.runs.results import Result
from aims.reports.tables.numbers import Ends
from aims.reports.tables.scores import Score, rank_scores

#: Factors from scores in 0..1, and from counts, to the units of the paper's tables.
PERCENT, MILLIONS = 100.0, 1e-6


@dataclass(frozen=True, kw_only=True)
class FilledCell:
    """A cell of the paper with our score.

    Attributes:
        cell: the cell of the paper.
        score: our score; None where there is no run.
        scale: factor from the score to the unit of the paper's table, `PERCENT` or `MILLIONS`.
    """

    cell: PaperCell
    score: Score | None = None
    scale: float = PERCENT

    @property
    def result(self) -> Result | None:
        """The result that our score comes from; None without a run, and for a mean."""
        return self.score.result if self.score else None

    @property
    def value(self) -> float | None:
        """Our score in the unit of the paper's table; None where there is no run."""
        return self.scale * self.score.value if self.score else None

    @property
    def interval(self) -> Ends:
        """95 % interval of `value`; None without a run, for a single image, and for a mean."""
        if self.score is None or self.score.interval is None:
            return None
        low, high = self.score.interval
        return self.scale * low, self.scale * high

    @property
    def difference(self) -> float | None:
        """`value` minus the published number; None where one of them is missing."""
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
    """A table or a figure of the paper, filled with our results under one condition.

    Attributes:
        paper: description of the paper's table or figure.
        condition: the settings that our results share; None where there are none.
        cells: filled cells by (row, column).
        notes: which results were not used, and why.
    """

    paper: PaperTable
    condition: Condition | None
    cells: Mapping[tuple[str, str], FilledCell]
    notes: tuple[str, ...] = ()


def fill_table(paper: PaperTable, results: Sequence[Result]) -> tuple[FilledTable, ...]:
    """Fills a table once per condition that has a run; without runs, once with the published numbers alone.

    Scratch starts from random weights by definition and is used under all initial weights of the others.

    Args:
        paper: description of the paper's table.
        results: every finished run, pooled over seeds.
    """
    fitting = [
        result
        for result in results
        if any(cell.query and cell.query.fits(result.config) for cell in paper.cells.values())
    ]
    filled = tuple(fill_cells(paper, condition, members) for condition, members in by_condition(fitting))
    return filled or (fill_cells(paper, None, ()),)


def fill_cells(paper: PaperTable, condition: Condition | None, results: Sequence[Result]) -> FilledTable:
    """Fills a table under one condition. A cell without a query is the mean of the cells above it.

    Args:
        paper: description of the paper's table.
        condition: the settings that the results share; None where there are none.
        results: candidates for its cells.
    """
    # A dict as an ordered set: the same note arises for several cells.
    notes: dict[str, None] = {}
    # Runs on a part of the training images belong to Figure 5b alone, which is drawn from the results.
    whole = [result for result in results if result.config.train_images is None]
    mixed = _mixed_contents(whole, paper, notes)
    scores: dict[tuple[str, str], Score] = {}
    for place, cell in paper.cells.items():
        if cell.query is None:
            rows = paper.rows[: paper.rows.index(cell.row)]
            above = [(row, cell.column) for row in rows]
            known = [scores[each] for each in above if each in scores]
            if known and len(known) == len(above):
                scores[place] = Score(value=sum(score.value for score in known) / len(known))
            continue
        if not cell.query.fingerprint and (cell.query.place, cell.query.modality) in mixed:
            continue
        fitting = [result for result in whole if cell.query.fits(result.config)]
        result = _select(fitting, f"{cell.row}, {cell.column}", notes)
        if result and paper.unit == "miou":
            scores[place] = Score.of(result)
        elif result and (trained := _trained_of_sam(result)) is not None:
            scores[place] = Score(value=trained, result=result)
    scale = PERCENT if paper.unit == "miou" else MILLIONS
    scores |= _ranked(paper, scores) if paper.unit == "miou" else {}
    return FilledTable(
        paper=paper,
        condition=condition,
        cells={
            place: FilledCell(cell=cell, score=scores.get(place), scale=scale)
            for place, cell in paper.cells.items()
        },
        notes=tuple(notes),
    )


def _trained_of_sam(result: Result) -> int | None:
    counts = {run.trained_of_sam for run in result.runs}
    return counts.pop() if len(counts) == 1 else None


def _mixed_contents(
    results: Sequence[Result], paper: PaperTable, notes: dict[str, None]
) -> set[tuple[str, str]]:
    """The (dataset, modality) pairs whose runs used datasets of different content: no result is chosen."""
    queries = [cell.query for cell in paper.cells.values() if cell.query]
    contents: dict[tuple[str, str], set[str]] = {}
    for item in results:
        if any(not query.fingerprint and query.fits(item.config) for query in queries):
            place = item.config.dataset, item.config.modality
            contents.setdefault(place, set()).add(item.config.fingerprint)
    mixed = {place: found for place, found in contents.items() if len(found) > 1}
    for place, found in sorted(mixed.items()):
        listed = ", ".join(sorted(fingerprint[:8] for fingerprint in found))
        notes.setdefault(
            f"{' / '.join(place)}: runs used different contents of this dataset (fingerprints {listed}). "
            "They are not pooled and none stands beside the paper's numbers."
        )
    return set(mixed)


def select_setting(candidates: list[Result]) -> Result | None:
    """Chooses the result with the highest score on the split that the protocol selects on.

    Args:
        candidates: results that differ in their settings.

    Returns:
        The only one without a choice; None where the split is the validation part and no candidate has a
        score there.
    """
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    if PROTOCOLS[candidates[0].config.protocol].select_on == "test":
        return max(candidates, key=lambda item: item.miou)
    validated = [(item.val_miou, item) for item in candidates if item.val_miou is not None]
    return max(validated, key=lambda pair: pair[0])[1] if validated else None


def _select(candidates: list[Result], label: str, notes: dict[str, None]) -> Result | None:
    """Chooses among settings, and notes how many could not be chosen."""
    unvalidated = sum(item.val_miou is None for item in candidates)
    if len(candidates) > 1 and unvalidated and PROTOCOLS[candidates[0].config.protocol].select_on != "test":
        notes.setdefault(
            f"{label}: {unvalidated} of {len(candidates)} settings without a validation score cannot be "
            "chosen; every setting stands in results.md."
        )
    return select_setting(candidates)


def _ranked(paper: PaperTable, scores: Mapping[tuple[str, str], Score]) -> Mapping[tuple[str, str], Score]:
    """Ranks and tests the scores of each group of rivals that has at least two of them."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for row, column in scores:
        groups.setdefault(column if paper.compete == "rows" else row, []).append((row, column))
    return rank_scores(
        [(place, scores[place]) for place in group] for group in groups.values() if len(group) > 1
    )
