"""Verdicts in words, and the marks that stand for them behind a score."""

from __future__ import annotations

from collections.abc import Collection

from aims.report.statistics.intervals import ALPHA
from aims.report.statistics.paired import Difference, Verdict, fewest_images

#: Behind a score, what is said of it beside the best of its column.
MARKS = {
    Verdict.SEPARABLE: "",
    Verdict.NOT_SEPARABLE: "≈",
    Verdict.TOO_FEW: f"n<{fewest_images()}",
    Verdict.NOT_TESTED: "†",
}
#: Behind a difference that also stands among all comparisons with the same reference.
STAR = "*"


def marks_words(verdicts: Collection[Verdict | None], groups: Collection[int]) -> list[str]:
    """What the marks of a table mean, a sentence each.

    Args:
        verdicts: those that stand in it; what does not is not explained.
        groups: over how many images, or groups of them, it was tested.
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
    """The verdict, and where there are too few images how many it takes."""
    takes = f", it takes {fewest_images()}" if test.verdict == Verdict.TOO_FEW else ""
    return f"{test.verdict}{takes}"
