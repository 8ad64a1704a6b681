"""The marks behind scores that stand for verdicts, and their explanations."""

from __future__ import annotations

from collections.abc import Collection

from aims.core.checks import LEVELS, Level
from aims.reports.statistics.intervals import ALPHA
from aims.reports.statistics.paired import Difference, Verdict, fewest_images

#: Mark behind a score for the verdict of its test against the best of its column.
MARKS = {
    Verdict.SEPARABLE: "",
    Verdict.NOT_SEPARABLE: "≈",
    Verdict.TOO_FEW: f"n<{fewest_images()}",
    Verdict.NOT_TESTED: "†",
}
#: Mark behind a number that the maker of a run alone says, and its explanation.
UNCHECKED = "?"
NOT_CHECKED = f"{UNCHECKED}: not checked, as said by who made the run."
#: Mark behind a difference whose Holm-adjusted p-value is below the level.
STAR = "*"


def marked(text: str, unchecked: bool) -> str:
    """Adds the mark of a number that is not checked, unless there is no number."""
    return f"{text} {UNCHECKED}" if text and unchecked else text


def check_words(levels: Collection[Level]) -> str:
    """Explains the levels of check that occur in a table, in one sentence."""
    words = "; ".join(f"{level}, {proved}" for level, proved in LEVELS.items() if level in levels)
    return f"Check: {words}."


def marks_words(verdicts: Collection[Verdict | None], groups: Collection[int]) -> list[str]:
    """Explains the marks of a table, one sentence per mark.

    Args:
        verdicts: the verdicts that occur in the table; marks of others are not explained.
        groups: numbers of images, or of groups of images, in the table's tests.
    """
    too_few = " or ".join(str(n) for n in sorted(groups) if n < (fewest_images() or 0))
    sentences = {
        Verdict.SEPARABLE: f"No mark: {Verdict.SEPARABLE} from the best (p below {ALPHA}).",
        Verdict.NOT_SEPARABLE: f"{MARKS[Verdict.NOT_SEPARABLE]}: {Verdict.NOT_SEPARABLE} from the best.",
        Verdict.TOO_FEW: f"{MARKS[Verdict.TOO_FEW]}: {Verdict.TOO_FEW} ({too_few} here; it takes "
        f"{fewest_images()} for a p below {ALPHA}).",
        Verdict.NOT_TESTED: f"{MARKS[Verdict.NOT_TESTED]}: {Verdict.NOT_TESTED}, as the best scored other "
        "test instances or the mean is over other images.",
    }
    return [sentence for verdict, sentence in sentences.items() if verdict in verdicts]


def verdict_words(test: Difference) -> str:
    """The verdict in words; for `Verdict.TOO_FEW` with the number of images that a test needs."""
    takes = f", it takes {fewest_images()}" if test.verdict == Verdict.TOO_FEW else ""
    return f"{test.verdict}{takes}"
