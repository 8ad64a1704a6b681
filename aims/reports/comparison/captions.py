"""Titles and notes of the comparison tables."""

from __future__ import annotations

from aims.core.config import NO_MODEL, RANDOM_WEIGHTS
from aims.core.sizes import LARGE_NAME, LARGE_SHARE
from aims.core.words import count
from aims.reports.comparison.table import Comparison
from aims.reports.runs.floors import DISC
from aims.reports.runs.results import Result
from aims.reports.statistics.intervals import ALPHA, RESAMPLES
from aims.reports.statistics.paired import FLIPS, Verdict, fewest_images
from aims.reports.tables.captions import condition_facts
from aims.reports.tables.everything import everything_note
from aims.reports.tables.marks import STAR, check_words, marks_words
from aims.reports.tables.numbers import listed


def comparison_title(table: Comparison) -> str:
    """Title of a table: the dataset and everything else that its rows share."""
    return f"{table.dataset}: {', '.join(comparison_facts(table))}"


def comparison_facts(table: Comparison) -> list[str]:
    """The settings that the rows of a table share, except the dataset."""
    mixed = ["RGB with a sensor"] if table.mixes_rgb else []
    return [*condition_facts(table.condition), *mixed, f"content {table.fingerprint[:8]}"]


def counts(table: Comparison) -> str:
    """The numbers of scored instances and images, e.g. "246 instances in 16 test images"."""
    by_modality = {
        name: dict.fromkeys(
            _counts(cell.result) for row in table.rows if (cell := row.cells.get(name)) and cell.result
        )
        for name in table.modalities
    }
    texts = {name: " or ".join(found) for name, found in by_modality.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _counts(result: Result) -> str:
    groups = len(result.counts)
    grouped = "" if groups == result.images else f" of {count(groups, 'group')}"
    return f"{count(result.instances, 'instance')} in {count(result.images, 'test image')}{grouped}"


def notes(table: Comparison) -> list[str]:
    """Notes on the scores of a table: unit, interval, marks, floors, initial weights."""
    mean = f"The mean is over {listed(table.mean_over)}; a row that lacks one of them has none."
    scratch = any(row.method == "scratch" for row in table.rows)
    pretrained = (
        table.condition.weights not in (None, RANDOM_WEIGHTS) and table.condition.backbone != NO_MODEL
    )
    learned = [row for row in table.rows if not row.is_floor]
    known = [
        (
            True,
            "mIoU in percent: the mean over all test instances and seeds, and its 95 % interval (percentile "
            "bootstrap over images, or over groups of images where the set has groups; "
            f"{RESAMPLES} resamples). The interval does not cover the spread over seeds.",
        ),
        (bool(table.mean_over), mean),
        (
            len(learned) > 1,
            " ".join(["Bold: the best of its column; underlined: the second.", *marks_note(table)]),
        ),
        (
            any(row.is_floor for row in table.rows),
            f"Floors see no sensor: one disc around every click for all ({DISC}), or the best one for each. "
            f"A score below {DISC} is marked.",
        ),
        (scratch and pretrained, "scratch starts from random weights, all others from the pretrained ones."),
        (True, check_words({row.check.level for row in table.rows})),
    ]
    return [*(text for holds, text in known if holds), *more_notes(table), *table.notes]


def marks_note(table: Comparison) -> list[str]:
    """Explains the marks that occur in a table, one sentence per mark."""
    return marks_words(table.verdicts, table.groups)


def best_notes() -> list[str]:
    """Notes on the differences from the best score of each column."""
    return [
        "mIoU less that of the best of the column on the same test instances, in percentage points, with its "
        "95 % interval (percentile bootstrap, the same resamples for both), the number n of images, or of "
        "groups of images where the set has groups, and the two-sided p of a sign-flip permutation test over "
        f"these (Fisher 1935; {FLIPS:,} random flips, or all 2^n of them where there are no more).",
        f"Each verdict is of one pair alone: {Verdict.SEPARABLE} where p is below {ALPHA}, which n images "
        f"allow where 2 / 2^n is, from {fewest_images()} on. No other row or column changes it, and it is "
        "not corrected for their number: where all methods are equally good, about one pair in twenty is "
        "called separable by chance, and more since the best was chosen by these very scores.",
        "The IoU of an instance is averaged over seeds first: neither the interval nor p covers the spread "
        "over seeds, which is shown on its own where there are several.",
    ]


def reference_notes(table: Comparison) -> list[str]:
    """Notes on the differences from the reference row."""
    family, least = count(table.tests, "comparison"), fewest_images(table.tests)
    notes = [
        f"As above, beside {table.reference} in place of the best. Its comparisons are a family: Holm's p is "
        f"adjusted (Holm 1979) for the {family} of this table and depends on their number; {STAR}: Holm's p "
        f"is below {ALPHA}, and so is the chance that the table has even one wrong {STAR}."
    ]
    few = [n for n in table.groups if least is None or n < least]
    if few:
        takes = "more random flips than are made" if least is None else f"{least} images or groups of images"
        there = " or ".join(map(str, few))
        notes.append(f"With {there} of them and {family} no difference can have a {STAR}: it takes {takes}.")
    return notes


def large_note(table: Comparison) -> list[str]:
    """Note on the scores of large instances; empty where no row has one."""
    if not table.large_count:
        return []
    number = count(table.large_count, "instance")
    return [
        f"{LARGE_NAME}: mIoU of the {number} that cover at least {LARGE_SHARE} of the picture{_over(table)}."
    ]


def more_notes(table: Comparison) -> list[str]:
    """Notes on the columns beside the modalities: large instances, and all found objects."""
    found = everything_note(table.results, _over(table)) if table.has_everything else []
    return [*large_note(table), *found]


def size_note(table: Comparison) -> str:
    """Note on the scores by size."""
    return f"mIoU in percent by the share of the picture that an instance covers{_over(table)}."


def _over(table: Comparison) -> str:
    """The end of a sentence that names the modalities of scores by size."""
    return f", the mean over {listed(table.sized)}" if len(table.sized) > 1 else f" with {table.sized[0]}"
