"""How a row is drawn everywhere: a colour for its method, a marker for its tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from aims.reports.comparison.table import Comparison, ComparisonRow
from aims.reports.figures.style import MARKERS, METHOD_COLOURS

# Methods with a colour of their own in every report, in the order of the colours; others take what is left.
_OWN = ("simcmf", "linear", "zero-shot", "random-embed", "scratch", "linear-frozen", "cmx", "vipt")
#: Of floors, which are no methods.
FLOOR_COLOUR = "#7a7f87"


@dataclass(frozen=True, kw_only=True)
class RowStyle:
    """The style of a row; rows of one method and tuning share it.

    Attributes:
        colour: hexadecimal colour of the method.
        marker: marker of the tuning, in `aims.reports.figures.style.MARKERS`.
        hollow: whether the marker is hollow, as those of methods that share a colour with another are.
    """

    colour: str
    marker: str
    hollow: bool


class RowStyles:
    """Assigns the styles of a report's rows, the same in every table.

    Args:
        tables: all tables of the report.
    """

    def __init__(self, tables: Sequence[Comparison]) -> None:
        rows = [row for table in tables for row in table.rows if not row.is_floor]
        methods = sorted({row.method for row in rows})
        # Places up to the number of colours are used once; from there on colours repeat, with hollow markers.
        self._places = {method: _OWN.index(method) for method in methods if method in _OWN}
        free = (place for place in count() if place not in self._places.values())
        self._places |= {method: next(free) for method in methods if method not in _OWN}
        self._tunings = sorted({row.tuning for row in rows})

    def __call__(self, row: ComparisonRow) -> RowStyle:
        """The style of a row of the tables."""
        if row.is_floor:
            return RowStyle(colour=FLOOR_COLOUR, marker=MARKERS[0], hollow=True)
        place, tuning = self._places[row.method], self._tunings.index(row.tuning)
        return RowStyle(
            colour=METHOD_COLOURS[place % len(METHOD_COLOURS)],
            marker=MARKERS[tuning % len(MARKERS)],
            hollow=place // len(METHOD_COLOURS) % 2 == 1,
        )
