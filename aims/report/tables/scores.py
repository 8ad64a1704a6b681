"""A score beside its rivals: which is the best, and which of the others can be told from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aims.report.runs.floors import DISC
from aims.report.runs.results import Result
from aims.report.statistics.paired import Difference, Sample, Verdict, compare, sample_scores
from aims.report.tables.marks import MARKS, verdict_words
from aims.report.tables.numbers import Ends, interval, percent
from aims.report.tables.table import Cell

Place = TypeVar("Place", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of ours in a table.

    Attributes:
        value: mIoU, 0..1; in a table of parameters their number.
        interval: its 95 % interval, or None where there is a single image, or for a mean over other images.
        result: where it comes from; None for a mean.
        sample: what it is tested with; None before it was resampled, and for a mean over other images.
        disc: the floor `disc` on the same instances, or None.
        seed_sd: standard deviation over seeds, or None for a single one.
        rank: "best" or "second" among its rivals, else empty. Floors have none.
        test: its difference from the best of its rivals; None for the best itself, for floors, and where it
            cannot be tested.
        verdict: what is said of it beside the best; None for the best itself and for floors.
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
    def of(cls, result: Result, sample: Sample | None = None) -> Score:
        """The mIoU of a result."""
        return cls(
            value=result.miou,
            interval=result.interval,
            result=result,
            sample=sample,
            disc=None if result.is_floor else result.disc,
            seed_sd=result.seed_sd,
        )

    @property
    def below_disc(self) -> bool:
        """Whether it lies below the floor."""
        return self.disc is not None and self.value < self.disc

    def cell(self, *more: str) -> Cell:
        """How a table shows it: the value, its interval, and further lines."""
        return Cell(
            lines=(percent(self.value), *filter(None, [interval(self.interval)]), *more),
            rank=self.rank,
            mark=MARKS[self.verdict] if self.verdict else "",
            verdict=verdict_words(self.test) if self.test else str(self.verdict or ""),
            warning=f"BELOW {DISC} ({percent(self.disc)})" if self.below_disc else "",
            value=self.value,
        )


def resample(scores: Sequence[Score]) -> list[Score]:
    """Gives scores of results what they are tested with; those of the same images are resampled jointly."""
    results = [score.result for score in scores if score.result]
    samples = iter(sample_scores([result.sample for result in results]))
    return [dataclasses.replace(score, sample=next(samples)) if score.result else score for score in scores]


def rank_scores(rivals: Iterable[Sequence[tuple[Place, Score]]]) -> dict[Place, Score]:
    """Marks the best and the second among rivals, and tests the others against the best.

    Args:
        rivals: groups of scores with their places in a table.

    Returns:
        All of them by place.
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
    """Tests first against second; None where they are of other instances, or a mean over other images."""
    samples = {
        place: (one.sample, other.sample)
        for place, (one, other) in enumerate(pairs)
        if one.sample and other.sample
    }
    tests = dict(zip(samples, compare(list(samples.values())), strict=True))
    return [tests.get(place) for place in range(len(pairs))]
