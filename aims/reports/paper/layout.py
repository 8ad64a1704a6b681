"""The paper's tables and figures as printable tables: our scores next to the published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aims.core.config import RANDOM_WEIGHTS
from aims.core.texts import escape_markdown
from aims.core.vocabulary import PROTOCOLS
from aims.core.words import count
from aims.reports.paper.cells import PERCENT, FilledCell, FilledTable
from aims.reports.paper.description import PaperTable
from aims.reports.paper.published import PAPER_BACKBONE, PAPER_PROTOCOL
from aims.reports.runs.conditions import Condition
from aims.reports.tables.captions import condition_title
from aims.reports.tables.latex import latex_text
from aims.reports.tables.markdown import markdown_lines, markdown_text
from aims.reports.tables.marks import check_words, marks_words
from aims.reports.tables.numbers import decimals, seed_list
from aims.reports.tables.results_table import (
    CONDITION_FIELDS,
    RESULT_FIELDS,
    condition_fields,
    result_fields,
    write_csv,
)
from aims.reports.tables.table import Cell, Column, Row, Table

PUBLISHED = (
    "Published: printed in the SimCMF paper (SAM ViT-B, protocol paper), not measured by this project."
)
_FIELDS = (
    *("exhibit", "row", "column", "unit", "published", "ours", "difference", "inside", *CONDITION_FIELDS),
    *(*RESULT_FIELDS, "rank", "from_best", "groups", "p", "verdict", "cell_weights", "footnote", "command"),
)


def paper_markdown(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in Markdown, with one heading per condition."""
    paper = tables[0].paper
    lines = [f"# {paper_name(paper)}: {escape_markdown(paper.title)}", ""]
    return markdown_text([*lines, *(line for table in tables for line in markdown_lines(paper_table(table)))])


def paper_latex(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in LaTeX, one `table` environment per condition; needs only booktabs."""
    return latex_text(paper_table(table, number=number) for number, table in enumerate(tables, start=1))


def paper_csv(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in long form, one line per cell; without a run, fields of ours are empty."""
    return write_csv(_FIELDS, (cell_fields(table, cell) for table in tables for cell in table.cells.values()))


def cell_fields(table: FilledTable, filled: FilledCell) -> dict[str, Any]:
    """The fields of a cell in a CSV file; numbers are in the unit of the paper's table."""
    cell, score = filled.cell, filled.score
    test = score.test if score else None
    return {
        **condition_fields(table.condition),
        **result_fields(filled.result),
        "exhibit": table.paper.key,
        "row": cell.row,
        "column": cell.column,
        "unit": {"miou": "mIoU, %", "parameters": "million parameters"}[table.paper.unit],
        "published": decimals(cell.published),
        "ours": decimals(filled.value),
        "difference": decimals(filled.difference),
        "inside": yes_no(filled.inside),
        "rank": score.rank if score else "",
        "from_best": decimals(100 * test.value) if test else "",
        "groups": test.groups if test else "",
        "p": f"{test.p:.6g}" if test else "",
        "verdict": (score and score.verdict) or "",
        "cell_weights": filled.result.config.weights if filled.result else "",
        "footnote": cell.note,
        "command": cell.command,
    }


def yes_no(answer: bool | None) -> str:
    """Formats a truth value as "yes" or "no"; empty for None."""
    return {True: "yes", False: "no", None: ""}[answer]


def paper_name(paper: PaperTable) -> str:
    """Name of a table or figure in the paper, e.g. "Table 3" or "Figure 6 k"."""
    kind = "Figure" if paper.is_figure else "Table"
    place = paper.key.removeprefix(kind.lower())
    return f"{kind} {place[0]}" + (f" {place[1:]}" if len(place) > 1 else "")


def paper_table(table: FilledTable, *, number: int = 0) -> Table:
    """Lays out published numbers and ours in adjacent columns.

    Args:
        table: the paper's table under one condition.
        number: number of the condition, which makes the LaTeX label unique.
    """
    paper = table.paper
    facts = [*dict.fromkeys(name for facts in paper.facts.values() for name in facts)]
    columns = [Column(name=name) for name in facts]
    for name in paper.columns:
        kinds = ("published", "ours") if paper.prints(name) else ("ours",)
        columns += [Column(name=kind, group=name) for kind in kinds]

    def cells(row: str) -> list[Cell]:
        found = [Cell(lines=(paper.facts.get(row, {}).get(name, ""),)) for name in facts]
        for name in paper.columns:
            filled = table.cells.get((row, name))
            if paper.prints(name):
                found.append(_published(filled) if filled else Cell())
            found.append(_ours(filled) if filled else Cell())
        return found

    return Table(
        title=condition_title(table.condition),
        name=f"{paper_name(paper)}: {paper.title}",
        label=f"tab:aims-{paper.key}-{number}",
        caption=_caption(table),
        corner=paper.corner,
        columns=columns,
        rows=[Row(label=row, cells=cells(row), block=paper.blocks.get(row)) for row in paper.rows],
        notes=[f"Note: {note}" for note in table.notes],
    )


def _published(filled: FilledCell) -> Cell:
    printed = filled.cell.published
    return Cell(lines=(decimals(printed),) if printed is not None else (), footnote=filled.cell.note)


def _ours(filled: FilledCell) -> Cell:
    """The cell of the column "ours": value, interval, setting, seeds, instances; empty without a run."""
    score, result = filled.score, filled.result
    if score is None or filled.scale != PERCENT:
        return Cell(lines=(decimals(filled.value),))
    if result is None or result.is_floor:
        return score.cell()
    config = result.config
    training = f", lr {config.lr:g}, {count(config.epochs, 'epoch')}" if config.epochs else ""
    return score.cell(
        f"{config.tuning}{training}",
        seed_list(result.seeds),
        f"{count(result.instances, 'instance')}, {count(result.images, 'image')}",
    )


def _caption(table: FilledTable) -> str:
    """The caption: unit, and how the columns "published" and "ours" were made and differ."""
    paper, condition = table.paper, table.condition
    sentences = ["mIoU in percent." if paper.unit == "miou" else "Millions of parameters.", PUBLISHED]
    if condition is not None and paper.unit == "miou":
        sentences.append(
            "Ours: mean over all test instances and seeds with its 95 % interval (percentile bootstrap over "
            "images, or over their groups; it does not cover the spread over seeds)."
        )
        scores = [cell.score for cell in table.cells.values() if cell.score]
        sentences += marks_words(
            {score.verdict for score in scores}, {score.test.groups for score in scores if score.test}
        )
        on_test = PROTOCOLS[condition.protocol].select_on == "test"
        rule = "test split (the paper's rule)" if on_test else "validation part"
        sentences.append(f"Over several settings, ours is the one that is highest on the {rule}.")
        levels = {score.result.check.level for score in scores if score.result}
        sentences += [check_words(levels)] if levels else []
    if condition is not None and (differences := _differences(condition)):
        sentences.append(f"Ours differs from the published column in {' and '.join(differences)}.")
    return " ".join([*sentences, *paper.notes])


def _differences(condition: Condition) -> list[str]:
    differences = []
    if condition.protocol != PAPER_PROTOCOL:
        differences.append(f"protocol ({condition.protocol}, not {PAPER_PROTOCOL})")
    if condition.backbone != PAPER_BACKBONE:
        differences.append(f"backbone ({condition.backbone}, not {PAPER_BACKBONE})")
    if condition.weights == RANDOM_WEIGHTS:
        differences.append("weights (nothing here is pretrained)")
    if condition.limit is not None:
        differences.append(f"data ({condition.limit} images of each split, not all)")
    return differences
