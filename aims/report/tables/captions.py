"""The words of the tables, before they are escaped for Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aims.core.config import NO_MODEL, RANDOM_WEIGHTS
from aims.core.vocabulary import PROTOCOLS
from aims.report.paper.published import PAPER_BACKBONE, PAPER_PROTOCOL, PublishedTable1
from aims.report.paper.table1 import Cell, Row, Section
from aims.report.runs.conditions import Condition
from aims.report.runs.floors import DISC, FLOORS
from aims.report.runs.results import Result
from aims.report.statistics.intervals import RESAMPLES

_SELECTION = {
    "test": "Over several settings, ours is the highest mIoU on the test split (the paper's rule).",
    "val": "Over several settings, ours is the one with the highest mIoU on the validation part.",
}


def condition_facts(
    condition: Condition,
    *,
    scratch: str = "",
    random: str = "RANDOM WEIGHTS, NOT PRETRAINED",
    pretrained: str = "weights pretrained",
    floors: str = "floors alone",
    beside: Sequence[str] = (),
) -> list[str]:
    """What results share that may share a table, for its heading.

    Args:
        condition: what they share.
        scratch: said where scratch is the only method.
        random: said where the others start from random weights.
        pretrained: said before the checkpoint's name where they do not.
        floors: said of floors, which have neither backbone nor weights.
        beside: said behind these, before a limit.
    """
    facts = [f"protocol {condition.protocol}"]
    if condition.backbone == NO_MODEL:
        facts.append(floors)
    else:
        weights = condition.weights
        start = scratch if weights is None else random if weights == RANDOM_WEIGHTS else ""
        facts += [f"backbone {condition.backbone}", start or f"{pretrained} {(weights or '')[:8]}"]
    limit = [] if condition.limit is None else [f"LIMITED to {condition.limit} images of each split"]
    return [*facts, *beside, *limit]


def condition_title(condition: Condition | None) -> str:
    """Heading of a table of the paper: it names everything that its results share."""
    if condition is None:
        return "No runs yet: published numbers only"
    return capital(", ".join(condition_facts(condition, scratch="weights random (scratch alone)")))


def capital(text: str) -> str:
    """With a capital in front."""
    return text[0].upper() + text[1:]


def title(condition: Condition | None) -> str:
    """Heading of a section of Table 1: it names everything that its results share."""
    if condition is None:
        return "No runs of scratch or SimCMF yet: published numbers only"
    facts = condition_facts(
        condition,
        scratch="scratch alone, no SimCMF runs",
        random="SimCMF with RANDOM WEIGHTS, NOT PRETRAINED",
        pretrained="SimCMF from pretrained weights",
    )
    return ", ".join(facts)


def caption(section: Section, published: PublishedTable1) -> str:
    """What a reader must know about a section's two kinds of columns."""
    condition = section.condition
    sentences = [
        "mIoU in percent.",
        f"Published: printed in the SimCMF paper ({published.backbone}, protocol {PAPER_PROTOCOL}), "
        "not measured by this project.",
    ]
    if condition is None:
        return " ".join(sentences)
    sentences.append(
        f"Ours: protocol {condition.protocol}, backbone {condition.backbone}, "
        f"{_weights(condition)}; mean over all test instances and seeds, in brackets its 95 % interval "
        "(percentile bootstrap over images, or over groups of images where the set has groups, "
        f"{RESAMPLES} resamples; it does not cover the spread over seeds)."
    )
    sentences.append(_SELECTION[PROTOCOLS[condition.protocol].select_on])
    sentences.append(
        f"{' and '.join(FLOORS)} are floors that see no sensor: one disc around every click, and the best "
        f"disc for each. A result below the first is marked."
    )
    differences = _differences(condition, published)
    if differences:
        sentences.append(f"Ours differs from the published column in {' and '.join(differences)}.")
    return " ".join(sentences)


def _weights(condition: Condition) -> str:
    if condition.weights is None:
        return "random weights (scratch)"
    if condition.weights == RANDOM_WEIGHTS:
        return "random weights for scratch and for SimCMF: nothing here is pretrained"
    return f"SimCMF from pretrained weights {condition.weights[:8]}, scratch from random weights"


def _differences(condition: Condition, published: PublishedTable1) -> list[str]:
    differences = []
    if condition.protocol != PAPER_PROTOCOL:
        differences.append(f"protocol ({condition.protocol}, not {PAPER_PROTOCOL})")
    if condition.backbone != PAPER_BACKBONE:
        differences.append(f"backbone ({condition.backbone}, not {published.backbone})")
    if condition.weights == RANDOM_WEIGHTS:
        differences.append("weights (SimCMF is not pretrained)")
    if condition.limit is not None:
        differences.append(f"data ({condition.limit} images of each split, not all)")
    return differences


def percent(score: float | None) -> str:
    """A score of 0..1 in percent with two decimals; empty for None."""
    return "" if score is None else f"{100 * score:.2f}"


def interval(result: Result) -> str:
    """The interval in percent, e.g. "[43.01, 47.20]"; empty for a single image."""
    return "[{}, {}]".format(*map(percent, result.interval)) if result.interval else ""


def seeds(result: Result) -> str:
    """The seeds, e.g. "3 seeds: 0, 1, 2"."""
    word = "seed" if len(result.seeds) == 1 else "seeds"
    return f"{len(result.seeds)} {word}: {', '.join(map(str, result.seeds))}"


def count(number: int, word: str) -> str:
    """A number and what it counts, e.g. "1 image" or "2,400 images"."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def cell_lines(cell: Cell, escape: Callable[[str], str] = str) -> list[str]:
    """Our part of a cell: score and interval, setting, seeds, counts, and whether it lies below the floor.

    One line for an average and for a floor, none if empty.

    Args:
        cell: the cell.
        escape: applied to the names in it.
    """
    if cell.result is None:
        return [percent(cell.miou)] if cell.miou is not None else []
    result, config = cell.result, cell.result.config
    score = f"{percent(result.miou)} {interval(result)}".strip()
    if result.is_floor:
        return [score]
    return [
        score,
        *below_disc(result),
        f"{escape(config.tuning)}, lr {config.lr:g}, {count(config.epochs, 'epoch')}",
        seeds(result),
        f"{count(result.instances, 'instance')}, {count(result.images, 'image')}",
    ]


def below_disc(result: Result) -> list[str]:
    """One line where a result lies below the floor `disc`, else none."""
    return [f"BELOW {DISC} ({percent(result.disc)})"] if result.below_disc else []


def published_text(cell: Cell) -> str:
    """The paper's number with two decimals; empty where it has none."""
    return "" if cell.published is None else f"{cell.published:.2f}"


def footnote_marks(section: Section) -> dict[str, str]:
    """Letters of the footnotes of a section, by their text."""
    return {note: chr(ord("a") + index) for index, note in enumerate(section.footnotes)}


def plain_rows(section: Section) -> list[list[str]]:
    """A section as plain text, for a terminal: label, published and ours of each method, then the floors."""
    return [_plain_row(row) for row in section.rows]


def _plain_row(row: Row) -> list[str]:
    texts = [row.label]
    for method, cell in row.cells.items():
        if method in FLOORS:
            texts.append(percent(cell.miou))
        else:
            texts += [published_text(cell), "\n".join(cell_lines(cell))]
    return texts
