"""The paired test of every two rows of a comparison, corrected for all pairs of a column."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from aims.reports.comparison.table import Comparison
from aims.reports.statistics.paired import Difference, with_holm
from aims.reports.tables.scores import compare_scores

#: Rows of a column that are tested against each other, the highest scores first; limits the time of a report.
MOST_ROWS = 16

#: The difference of two rows, first minus second, by their places in the table; the first place is lower.
Pairs = Mapping[tuple[int, int], Difference]


def pair_tests(table: Comparison) -> dict[str, Pairs]:
    """Tests every two rows of each column, floors among them.

    Holm's correction counts all pairs of the column, tested or not: of any statements about a column's rows,
    chosen after seeing the scores, even one is wrong with a chance of at most 5 %.

    Returns:
        The tested pairs of each column; pairs that scored different test instances are missing.
    """
    wanted: list[tuple[str, int, int]] = []
    possible: dict[str, int] = {}
    for column in table.columns:
        places = [place for place, row in enumerate(table.rows) if column in row.cells]
        possible[column] = len(places) * (len(places) - 1) // 2
        floors = [place for place in places if table.rows[place].is_floor]
        learned = sorted(set(places) - set(floors), key=lambda place: -table.rows[place].cells[column].value)
        tested = sorted([*floors, *learned[:MOST_ROWS]])
        wanted += [(column, first, second) for first, second in combinations(tested, 2)]
    cells = [row.cells for row in table.rows]
    tests = compare_scores(
        [(cells[first][column], cells[second][column]) for column, first, second in wanted]
    )
    found: dict[str, Pairs] = {}
    for column in table.columns:
        known = {
            (first, second): test
            for (of, first, second), test in zip(wanted, tests, strict=True)
            if of == column and test is not None
        }
        adjusted = with_holm([*known.values()], untested=possible[column] - len(known))
        found[column] = {pair: test for pair, test in zip(known, adjusted, strict=True) if test is not None}
    return found
