"""The paired test of every two rows of a comparison, corrected for all pairs of a column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from aims.reports.comparison.table import Comparison
from aims.reports.statistics.paired import Difference, Sample, compare, with_holm

#: Rows of a column that are tested against each other, the highest scores first; limits the time of a report.
MOST_ROWS = 16

#: The difference of two rows, first minus second, by their places in the table; the first place is lower.
Pairs = Mapping[tuple[int, int], Difference]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rivals:
    """The scores of a column that are tested against each other: plain values, for another process.

    Attributes:
        samples: by the place of the row in the table.
        pairs: number of pairs that the rows of the column form, tested or not.
    """

    samples: Mapping[int, Sample]
    pairs: int


def find_rivals(table: Comparison) -> dict[str, Rivals]:
    """Finds what each column tests: the floors, and the rows of the highest scores."""
    found = {}
    for column in table.columns:
        cells = {place: row.cells[column] for place, row in enumerate(table.rows) if column in row.cells}
        floors = [place for place in cells if table.rows[place].is_floor]
        learned = sorted(cells.keys() - floors, key=lambda place: -cells[place].value)
        tested = sorted([*floors, *learned[:MOST_ROWS]])
        samples = {place: sample for place in tested if (sample := cells[place].sample)}
        found[column] = Rivals(samples=samples, pairs=math.comb(len(cells), 2))
    return found


def pair_tests(rivals: Mapping[str, Rivals]) -> dict[str, Pairs]:
    """Tests every two rows of each column.

    Holm's correction counts all pairs of the column, tested or not: of any statements about a column's rows,
    chosen after seeing the scores, even one is wrong with a chance of at most 5 %.

    Args:
        rivals: of each column of a table, from `find_rivals`.

    Returns:
        The tested pairs of each column; pairs that scored different test instances are missing.
    """
    wanted = [(column, *pair) for column in rivals for pair in combinations(rivals[column].samples, 2)]
    # The columns together: those of the same images share the flips.
    tests = compare(
        [(rivals[column].samples[one], rivals[column].samples[other]) for column, one, other in wanted]
    )
    found: dict[str, Pairs] = {}
    for column, competing in rivals.items():
        known = {
            (one, other): test
            for (of, one, other), test in zip(wanted, tests, strict=True)
            if of == column and test is not None
        }
        adjusted = with_holm([*known.values()], untested=competing.pairs - len(known))
        found[column] = {pair: test for pair, test in zip(known, adjusted, strict=True) if test is not None}
    return found
