"""Formats numbers for the tables; the result is not yet escaped for Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aims.core.words import count

#: Lower and upper end of an interval; None where there is none.
Ends = tuple[float, float] | None


def percent(score: float | None) -> str:
    """A score of 0..1 in percent with two decimals; empty for None."""
    return "" if score is None else f"{100 * score:.2f}"


def points(value: float) -> str:
    """A difference of scores in percentage points with its sign, e.g. "+1.20" or "−0.35"."""
    return f"{100 * value:+.2f}".replace("-", "−")


def interval(ends: Ends, show: Callable[[float], str] = percent) -> str:
    """An interval, e.g. "[43.01, 47.20]"; empty for None."""
    return "[{}, {}]".format(*map(show, ends)) if ends else ""


def p_value(p: float) -> str:
    """A p-value with two digits, e.g. "0.042" or "2e-05"."""
    return f"{p:.2g}"


def decimals(value: float | None) -> str:
    """A number with two decimals; empty for None."""
    return "" if value is None else f"{value:.2f}"


def short(number: float) -> str:
    """A large number with three significant digits, e.g. "756 k", "3.96 M" or "1.82 G"."""
    for power, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # 0.9995: a number that rounds to 1000 of the smaller unit is shown as 1 of this one.
        if number >= 0.9995 * power:
            return f"{number / power:.3g} {unit}"
    return f"{number:.0f}"


def span(low: float, high: float, show: Callable[[Any], str]) -> str:
    """A range, e.g. "2–3" or "756–761 k"; a single number where both ends are formatted alike."""
    first, last = show(low), show(high)
    if first == last:
        return last
    number, _, unit = first.partition(" ")
    return f"{number if last.endswith(f' {unit}') else first}–{last}"


def seed_list(seeds: Sequence[int]) -> str:
    """The seeds, e.g. "3 seeds: 0, 1, 2"."""
    return f"{count(len(seeds), 'seed')}: {', '.join(map(str, seeds))}"


def listed(names: Sequence[str]) -> str:
    """Joins names as in a sentence: "depth, hha and nir"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
