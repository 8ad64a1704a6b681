"""The columns of all objects found without a prompt, in tables of which a run was evaluated so."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from aims.core.evaluations import EVERYTHING_SCORES
from aims.reports.runs.results import Result
from aims.reports.tables.numbers import percent

#: Headings by score.
HEADINGS = MappingProxyType({"ap": "everything AP", "recall": "everything recall"})
#: What the headings mean.
MEANING = (
    "everything: all objects found from a grid of clicks, without classes (aims evaluate --everything); AP "
    "and recall in percent, COCO's means over IoU thresholds of 50, 55, ..., 95 %"
)
#: Fields of a CSV file.
FIELDS = tuple(f"everything_{name}" for name in EVERYTHING_SCORES)


def has_everything(results: Iterable[Result]) -> bool:
    """Whether a result has the scores, so that a table has the columns."""
    return any(result.everything for result in results)


def everything_fields(result: Result | None) -> dict[str, str]:
    """The fields of a result in a CSV file, in percent; empty if it lacks the scores."""
    scores = result.everything if result else {}
    return {f"everything_{name}": percent(score) for name, score in scores.items()}


def everything_note(results: Iterable[Result], over: str = "") -> list[str]:
    """What the columns mean, and whether they are of one grid; empty without columns.

    Args:
        results: the results of a table.
        over: end of the sentence, which names the modalities.
    """
    grids = [run.everything[1] for result in results for run in result.runs if run.everything]
    if not grids:
        return []
    several = " They were found with different grids or thresholds: everything.json of each run has them."
    return [f"{MEANING}{over}." + several * any(grid != grids[0] for grid in grids)]
