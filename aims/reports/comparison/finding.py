"""One sentence on a column of a comparison, in which everything follows from the tests of all its pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aims.core.config import RANDOM_WEIGHTS
from aims.core.words import count
from aims.reports.comparison.pairs import Pairs
from aims.reports.comparison.table import MEAN, Comparison
from aims.reports.runs.floors import DISC
from aims.reports.statistics.intervals import ALPHA
from aims.reports.statistics.paired import Difference, least_p
from aims.reports.tables.numbers import listed

# Rows that a sentence names; of more it says the number.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the tests of a column say.

    Attributes:
        text: the sentence.
        basis: how it was tested.
    """

    text: str
    basis: str


def find(table: Comparison, column: str, pairs: Pairs) -> Finding | None:
    """States the highest score of a column, what cannot be told apart from it, and how it stands to the disc.

    Args:
        table: the comparison.
        column: one of its columns.
        pairs: the tests of the column, from `aims.reports.comparison.pairs.pair_tests`.

    Returns:
        The finding; None for a column of floors alone.
    """
    order = sorted(
        (place for place, row in enumerate(table.rows) if column in row.cells and not row.is_floor),
        key=lambda place: -table.rows[place].cells[column].value,
    )
    if not order:
        return None
    column_of = _Column(table, column, pairs)
    text = f"{_lead(table, column)} {column_of.standing(order)}"
    return Finding(text=f"{text[0].upper()}{text[1:]}.", basis=column_of.basis(order))


class _Column:
    """The names, scores and tests of a column's rows."""

    def __init__(self, table: Comparison, column: str, pairs: Pairs) -> None:
        self._rows, self._column, self._pairs = table.rows, column, pairs
        cells = [row.cells.get(column) for row in table.rows]
        number = sum(cell is not None for cell in cells)
        self._family = number * (number - 1) // 2
        self._disc = next(
            (place for place, row in enumerate(table.rows) if row.method == DISC and cells[place]), None
        )

    def standing(self, order: Sequence[int]) -> str:
        """The sentence without its beginning, of the learned rows in descending order of score."""
        best, *others = order
        tests = {place: self._test(best, place) for place in others}
        level = [place for place, test in tests.items() if test is not None and not test.stands_in_family]
        if not others:
            return f"{self._name(best)} is the only method{self._beside_disc([best])}"
        if self._few:
            return f"{self._name(best)} is the highest of {len(order)}, but {self._few}"
        if not level:
            second = tests[others[0]]
            if second is None:
                return f"{self._name(best)} is the highest; {self._name(others[0])} was not tested against it"
            ahead = f"{100 * second.value:.1f} ahead of {self._name(others[0])} ({_p([second])})"
            return f"{self._name(best)} is the highest, {ahead}{self._beside_disc([best])}"
        named = [self._name(place) for place in level[:_NAMED]]
        more = [f"{len(level) - _NAMED} more"] if len(level) > _NAMED else []
        leaders = [best, *level]
        if len(level) == 1:
            return f"{self._name(best)} and {named[0]} cannot be told apart{self._beside_disc(leaders)}"
        said = (
            f"{self._name(best)} is the highest, but {listed([*named, *more])} cannot be told apart from it"
        )
        return said + self._beside_disc(leaders)

    def basis(self, order: Sequence[int]) -> str:
        """How the rows were tested, and what the tests do not cover."""
        if not self._pairs:
            return "mIoU in percent; these rows were not tested against each other."
        seeds = {len(result.seeds) for place in order for result in self._rows[place].results}
        spread = "one seed a row" if seeds == {1} else "the spread over seeds is not covered"
        return (
            f"mIoU in percent. Paired sign-flip tests over {self._units}; p is Holm's, corrected for all "
            f"{count(self._family, 'pair')} of rows, at the level {ALPHA}; marks in the table are of each "
            f"pair alone; {spread}."
        )

    def _plain(self, place: int) -> str:
        row = self._rows[place]
        return f"{row.method} ({row.detail})" if row.detail else row.method

    def _name(self, place: int) -> str:
        """The name of a row and its score."""
        return f"{self._plain(place)} {100 * self._rows[place].cells[self._column].value:.1f}"

    def _test(self, first: int, second: int) -> Difference | None:
        """The first row minus the second."""
        test = self._pairs.get((min(first, second), max(first, second)))
        return test.reversed() if test is not None and first > second else test

    @property
    def _groups(self) -> int:
        return min((test.groups for test in self._pairs.values()), default=0)

    @property
    def _units(self) -> str:
        results = [result for row in self._rows for result in row.results]
        if all(len(result.counts) == result.images for result in results):
            return count(self._groups, "test image")
        return f"{count(self._groups, 'group')} of test images"

    @property
    def _few(self) -> str:
        """That there are too few images for any two rows to be told apart, where that is so; else empty."""
        if not self._pairs or least_p(self._groups) * self._family < ALPHA:
            return ""
        too_few = f"{self._units} are too few to tell any two rows apart"
        pairs = count(self._family, "pair")
        return too_few if least_p(self._groups) >= ALPHA else f"{too_few} with the correction for {pairs}"

    def _beside_disc(self, leaders: Sequence[int]) -> str:
        """How the leading rows stand to the disc: the end of the sentence; empty without a disc."""
        if self._disc is None or self._few:
            return ""
        tests = [test for place in leaders if (test := self._test(place, self._disc)) is not None]
        if len(tests) < len(leaders):
            return ""
        who = {1: f"{self._plain(leaders[0])} is", 2: "both are"}.get(len(leaders), f"all {len(leaders)} are")
        disc = f"the disc ({100 * self._rows[self._disc].cells[self._column].value:.1f})"
        apart = [test for test in tests if test.stands_in_family]
        sides = {test.value > 0 for test in apart}
        if len(sides) == 1 and len(apart) == len(tests):
            side = "above" if sides == {True} else "below"
            return f"; {who} {_span(tests)} {side} {disc} ({_p(tests)})"
        if not apart:
            which = {1: f"{self._plain(leaders[0])} cannot", 2: "neither can"}.get(
                len(leaders), f"none of the {len(leaders)} can"
            )
            return f"; {which} be told apart from {disc}"
        above = sum(test.value > 0 for test in apart)
        numbers = {"above": above, "below": len(apart) - above, "not separable from": len(tests) - len(apart)}
        said = listed(
            [
                f"{number} {'is' if number == 1 else 'are'} {where}"
                for where, number in numbers.items()
                if number
            ]
        )
        return f"; of these {len(leaders)}, {said} {disc} ({_p(apart)})"


def _lead(table: Comparison, column: str) -> str:
    """Where the scores are from, and what keeps them from being read as more."""
    condition, parts = table.condition, []
    if condition.weights == RANDOM_WEIGHTS:
        parts.append("from random weights")
    if condition.limit is not None:
        parts.append(f"with {count(condition.limit, 'image')} of each split")
    where = f"the mean of {len(table.mean_over)} modalities" if column == MEAN else column
    return ", ".join([*parts, f"on {where},"])


def _span(tests: Sequence[Difference]) -> str:
    """The sizes of differences of one sign, e.g. "6.8" or "6.7 to 6.9"."""
    sizes = [f"{size:.1f}" for size in sorted(100 * abs(test.value) for test in tests)]
    return sizes[0] if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"


def _p(tests: Sequence[Difference]) -> str:
    """The largest Holm-adjusted p-value of tests."""
    p = max(test.p_holm or 0 for test in tests)
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.2g}"
