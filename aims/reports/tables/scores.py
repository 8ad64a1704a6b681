"""Scores in a table: ranks them, and tests each against the best."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aims.reports.runs.floors import DISC
from aims.reports.runs.results import Result
from aims.reports.statistics.paired import Difference, Sample, Verdict, compare
from aims.reports.tables.marks import MARKS, verdict_words
from aims.reports.tables.numbers import Ends, interval, percent
from aims.reports.tables.table import Cell

Place = TypeVar("Place", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One of our scores in a table; its rivals are the scores of its column, or of its row.

    Attributes:
        value: mIoU, 0..1; in a table of parameters, their number.
        interval: its 95 % interval; None for a single image, and for a mean over modalities whose images
            differ.
        result: the result that it is the score of; None for a mean.
        sample: what a paired test needs; None for a mean over modalities whose images differ.
        disc: score of the floor `disc` on the same instances, or None.
        seed_sd: standard deviation over seeds, or None for a single seed.
        rank: "best" or "second" among its rivals, else empty; empty for floors.
        test: its difference from the best of its rivals; None for the best itself, for floors, and where no
            test is possible.
        verdict: verdict of that test; None for the best itself and for floors.
    """

    value: float
    interval: Ends = None
    result: Result | None = None
    sample: Sample | None = field(default=None, repr=False, compare=False)
    disc: float | None = None
    seed_sd: float | None = None
    rank: str = ""
    test: Difference | None = None
    verdict: Verdict | None = None

    @classmethod
    def of(cls, result: Result) -> Score:
        """The mIoU of a result."""
        return cls(
            value=result.miou,
            interval=result.interval,
            result=result,
            sample=result.sample,
            disc=None if result.is_floor else result.disc,
            seed_sd=result.seed_sd,
        )

    @property
    def below_disc(self) -> bool:
        """Whether it lies below the floor `disc`."""
        return self.disc is not None and self.value < self.disc

    def cell(self, *more: str) -> Cell:
        """The cell of a table that shows it: the value, its interval, and the lines `more`."""
        return Cell(
            lines=(percent(self.value), *filter(None, [interval(self.interval)]), *more),
            rank=self.rank,
            mark=MARKS[self.verdict] if self.verdict else "",
            verdict=verdict_words(self.test) if self.test else str(self.verdict or ""),
            warning=f"BELOW {DISC} ({percent(self.disc)})" if self.below_disc else "",
            value=self.value,
        )


def rank_scores(rivals: Iterable[Sequence[tuple[Place, Score]]]) -> dict[Place, Score]:
    """Sets the rank of the best and the second of each group, and tests the others against the best.

    Args:
        rivals: groups of (place in the table, score) that compete with each other.

    Returns:
        The updated scores of all groups by place.
    """
    ranked: dict[Place, Score] = {}
    pairs: list[tuple[Place, Score]] = []
    for group in rivals:
        order = sorted(group, key=lambda item: -item[1].value)
        ranked |= order
        for (place, score), rank in zip(order, ("best", "second"), strict=False):
            ranked[place] = dataclasses.replace(score, rank=rank)
        pairs += [(place, order[0][1]) for place, _ in order[1:]]
    tests = compare_scores([(ranked[place], best) for place, best in pairs])
    for (place, _), test in zip(pairs, tests, strict=True):
        verdict = test.verdict if test else Verdict.NOT_TESTED
        ranked[place] = dataclasses.replace(ranked[place], test=test, verdict=verdict)
    return ranked


def compare_scores(pairs: Sequence[tuple[Score, Score]]) -> list[Difference | None]:
    """Tests the first score of each pair against the second; None where one cannot be tested.

    A pair cannot be tested if the scores are over different instances, or one has no `sample`.
    """
    samples = {
        place: (one.sample, other.sample)
        for place, (one, other) in enumerate(pairs)
        if one.sample and other.sample
    }
    tests = dict(zip(samples, compare(list(samples.values())), strict=True))
    return [tests.get(place) for place in range(len(pairs))]
