"""The words and numbers of the comparison tables, before they are escaped for Markdown, LaTeX or HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aims.core.config import NO_MODEL, RANDOM_WEIGHTS
from aims.core.sizes import SIZES
from aims.report.comparison import MEAN, Comparison, ComparisonCell, ComparisonRow
from aims.report.floors import DISC
from aims.report.intervals import LEVEL, RESAMPLES
from aims.report.paired import FLIPS, Difference
from aims.report.results import Result
from aims.report.wording import count, percent

#: Behind a score that is not separable from the best of its column.
TIED = "≈"


def comparison_title(table: Comparison) -> str:
    """Heading of a table: it names everything that its rows share."""
    return f"{table.dataset}: {', '.join(comparison_facts(table))}"


def comparison_facts(table: Comparison) -> list[str]:
    """What the rows of a table share, beside the dataset."""
    condition = table.condition
    facts = [f"protocol {condition.protocol}"]
    if condition.backbone == NO_MODEL:
        facts.append("floors alone")
    else:
        facts += [f"backbone {condition.backbone}", _weights(condition.weights)]
    if table.mixes_rgb:
        facts.append("RGB with a sensor")
    if condition.limit is not None:
        facts.append(f"LIMITED to {condition.limit} images of each split")
    return [*facts, f"content {table.fingerprint[:8]}"]


def _weights(weights: str | None) -> str:
    if weights is None:
        return "scratch alone, from random weights"
    if weights == RANDOM_WEIGHTS:
        return "RANDOM WEIGHTS, NOT PRETRAINED"
    return f"pretrained weights {weights[:8]}"


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
            f"Bold: the best of its column; underlined: the second; {TIED}: not separable from the best "
            f"(the paired test below, p at least {1 - LEVEL:.2f} after Holm's correction).",
        ),
        (
            any(row.is_floor for row in table.rows),
            f"Floors see no sensor: one disc around every click for all ({DISC}), or the best one for each. "
            f"A score below {DISC} is marked.",
        ),
        (scratch and pretrained, "scratch starts from random weights, all others from the pretrained ones."),
    ]
    return [text for holds, text in known if holds] + list(table.notes)


def paired_notes(table: Comparison) -> list[str]:
    """What a reader must know about the differences to the reference."""
    return [
        f"mIoU less that of {table.reference} on the same test instances, in percentage points, with its "
        "95 % interval (percentile bootstrap, the same resamples for both) and p, adjusted by Holm (1979) "
        f"for the {count(table.tests, 'comparison')} of this table; *: p below {1 - LEVEL:.2f}.",
        "p is two-sided, of a sign-flip permutation test over images, or over groups of images where the set "
        f"has groups (Fisher 1935; {FLIPS:,} random flips, or all of them where there are no more).",
        "The IoU of an instance is averaged over seeds first: neither the interval nor p covers the spread "
        "over seeds, which is shown on its own where there are several.",
    ]


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
    score = percent(cell.miou) + (f" {TIED}" if cell.tied else "")
    return [score, *filter(None, [cell_interval(cell)]), *below]


def cell_interval(cell: ComparisonCell) -> str:
    """The interval in percent, e.g. "[43.01, 47.20]"; empty where there is none."""
    return "[{}, {}]".format(*map(percent, cell.interval)) if cell.interval else ""


def points(value: float) -> str:
    """A difference in percentage points with its sign, e.g. "+1.20" or "−0.35"."""
    return f"{100 * value:+.2f}".replace("-", "−")


def difference_lines(test: Difference) -> list[str]:
    """A difference in three short lines: value, interval, p-value."""
    low, high = map(points, test.interval)
    star = " *" if test.separable else ""
    return [points(test.value) + star, f"[{low}, {high}]", f"p {p_text(test.p_holm)}"]


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
