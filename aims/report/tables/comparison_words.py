"""The words and numbers of the comparison tables, before they are escaped for Markdown, LaTeX or HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aims.core.config import NO_MODEL, RANDOM_WEIGHTS
from aims.core.sizes import LARGE_NAME, LARGE_SHARE, SIZES
from aims.report.runs.floors import DISC
from aims.report.runs.results import Result
from aims.report.statistics.intervals import ALPHA, RESAMPLES
from aims.report.statistics.paired import FLIPS, Difference, Verdict, fewest_images
from aims.report.tables.captions import condition_facts, count, percent
from aims.report.tables.comparison import MEAN, Comparison, ComparisonCell, ComparisonRow
from aims.report.tables.marks import MARKS, STAR, marks_words, verdict_words


def comparison_title(table: Comparison) -> str:
    """Heading of a table: it names everything that its rows share."""
    return f"{table.dataset}: {', '.join(comparison_facts(table))}"


def comparison_facts(table: Comparison) -> list[str]:
    """What the rows of a table share, beside the dataset."""
    facts = condition_facts(
        table.condition,
        scratch="scratch alone, from random weights",
        pretrained="pretrained weights",
        beside=["RGB with a sensor"] if table.mixes_rgb else [],
    )
    return [*facts, f"content {table.fingerprint[:8]}"]


def counts(table: Comparison) -> str:
    """How many instances and images were scored, e.g. "246 instances in 16 test images"."""
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
    """What a reader must know about the scores of a table."""
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
    ]
    return [*(text for holds, text in known if holds), *large_note(table), *table.notes]


def marks_note(table: Comparison) -> list[str]:
    """What the marks of a table mean, those that stand in it alone: a sentence each."""
    return marks_words(table.verdicts, table.groups)


def best_notes() -> list[str]:
    """What a reader must know about the differences from the best of each column."""
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
    """What a reader must know about the differences from the reference."""
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


def large_text(row: ComparisonRow, table: Comparison) -> str:
    """mIoU of large instances in percent; empty where unknown."""
    return percent(row.large(table.sized))


def large_note(table: Comparison) -> list[str]:
    """What the scores of large instances are; none where no row has one."""
    if not table.large_count:
        return []
    over = f", the mean over {listed(table.sized)}" if len(table.sized) > 1 else f" with {table.sized[0]}"
    number = count(table.large_count, "instance")
    return [f"{LARGE_NAME}: mIoU of the {number} that cover at least {LARGE_SHARE} of the picture{over}."]


def spread_note() -> str:
    """What the spread over seeds is."""
    return "Standard deviation of mIoU over seeds (n - 1), in percentage points."


def size_note(table: Comparison) -> str:
    """What the scores by size are."""
    over = f", the mean over {listed(table.sized)}" if len(table.sized) > 1 else f" with {table.sized[0]}"
    return f"mIoU in percent by the share of the picture that an instance covers{over}."


def size_columns(table: Comparison) -> list[str]:
    """Headings of the scores by size, with the number of instances."""
    return [f"{name} ({number:,})" for name, number in zip(SIZES, table.size_counts, strict=True)]


def listed(names: Sequence[str]) -> str:
    """Names as in a sentence: "depth, hha and nir"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def score_lines(cell: ComparisonCell) -> list[str]:
    """A score in up to three short lines: value, interval, and whether it lies below the floor."""
    below = [f"BELOW {DISC} ({percent(cell.disc)})"] if cell.below_disc else []
    score = " ".join(filter(None, [percent(cell.miou), mark(cell)]))
    return [score, *filter(None, [cell_interval(cell)]), *below]


def mark(cell: ComparisonCell) -> str:
    """What stands behind a score: see `MARKS`; empty for the best itself and for floors."""
    return MARKS[cell.verdict] if cell.verdict else ""


def mark_title(cell: ComparisonCell) -> str:
    """The same in words."""
    return verdict_words(cell.test) if cell.test else str(cell.verdict or "")


def cell_interval(cell: ComparisonCell) -> str:
    """The interval in percent, e.g. "[43.01, 47.20]"; empty where there is none."""
    return "[{}, {}]".format(*map(percent, cell.interval)) if cell.interval else ""


def points(value: float) -> str:
    """A difference in percentage points with its sign, e.g. "+1.20" or "−0.35"."""
    return f"{100 * value:+.2f}".replace("-", "−")


def difference_lines(test: Difference) -> list[str]:
    """A difference in short lines: value, interval, n and p-values, verdict."""
    star = f" {STAR}" if test.stands_in_family else ""
    adjusted = [] if test.p_holm is None else [f"Holm's p {p_text(test.p_holm)}"]
    return [
        points(test.value) + star,
        *filter(None, [difference_interval(test)]),
        f"n {test.groups}, p {p_text(test.p)}",
        *adjusted,
        verdict_words(test),
    ]


def difference_interval(test: Difference) -> str:
    """The interval in percentage points, e.g. "[+0.41, +0.91]"; empty where there is none."""
    return "[{}, {}]".format(*map(points, test.interval)) if test.interval else ""


def best_lines(cell: ComparisonCell | None) -> list[str]:
    """Of a cell, its difference from the best of its column in short lines; none where nothing is said."""
    if cell is None or (cell.verdict is None and cell.rank != "best"):
        return []
    if cell.test is None:
        return [str(cell.verdict or "the best")]
    return difference_lines(cell.test)


def p_text(p: float) -> str:
    """A p-value with two digits, e.g. "0.042" or "2e-05"."""
    return f"{p:.2g}"


def seeds_text(row: ComparisonRow) -> str:
    """How many seeds, e.g. "3" or "2–3"."""
    return span(*row.seeds, str)


def trained_text(row: ComparisonRow) -> str:
    """Trained parameters, e.g. "0", "756 k" or "3.96–3.97 M"; empty where unknown."""
    return "" if row.trained is None else span(*row.trained, short)


def seconds_text(row: ComparisonRow) -> str:
    """Seconds of a run, e.g. "8.4" or "1,520"; empty where unknown."""
    if row.seconds is None:
        return ""
    return f"{row.seconds:,.0f}" if row.seconds >= 100 else f"{row.seconds:.1f}"


def span(low: float, high: float, show: Callable[[Any], str]) -> str:
    """Two numbers as one text, e.g. "2–3" or "756–761 k"; a single one where they look the same."""
    first, last = show(low), show(high)
    if first == last:
        return last
    number, _, unit = first.partition(" ")
    return f"{number if last.endswith(f' {unit}') else first}–{last}"


def short(number: float) -> str:
    """A large number in three digits, e.g. "756 k", "3.96 M" or "1.82 G"."""
    for power, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # What would be rounded up to the next unit is of that unit.
        if number >= 0.9995 * power:
            return f"{number / power:.3g} {unit}"
    return f"{number:.0f}"


def has_seed_spread(table: Comparison) -> bool:
    """Whether any cell has several seeds."""
    return any(cell.seed_sd is not None for row in table.rows for cell in row.cells.values())


def column_name(column: str) -> str:
    """A column's heading."""
    return "mean" if column == MEAN else column
