"""The paper's tables and figures as Markdown, CSV and LaTeX, our results beside the printed numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aims.core.vocabulary import PROTOCOLS
from aims.report.paper.cells import FilledCell, FilledTable
from aims.report.paper.description import PaperTable
from aims.report.tables.captions import below_disc, condition_title, count, seeds
from aims.report.tables.latex import LATEX, latex_text
from aims.report.tables.layout import Format, Layout, LayoutRow
from aims.report.tables.markdown import MARKDOWN, escape_markdown, markdown_lines, markdown_text
from aims.report.tables.marks import MARKS, marks_words
from aims.report.tables.results_table import (
    RESULT_FIELDS,
    condition_fields,
    result_fields,
    write_csv,
)

_KINDS = ("published", "ours")


def paper_markdown(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in Markdown, one heading a condition."""
    paper = tables[0].paper
    lines = [f"# {paper_name(paper)}: {escape_markdown(paper.title)}", ""]
    for table in tables:
        layout = _layout(table, MARKDOWN, title=condition_title(table.condition), caption=caption(table))
        lines += markdown_lines(layout)
    return markdown_text(lines)


def paper_latex(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in LaTeX, one `table` environment a condition; needs booktabs alone."""
    return latex_text(_latex_layout(table, place) for place, table in enumerate(tables, start=1))


def _latex_layout(table: FilledTable, place: int) -> Layout:
    paper = table.paper
    text = f"{paper_name(paper)}: {paper.title}. {condition_title(table.condition)}. {caption(table)}"
    return _layout(table, LATEX, caption=text, label=f"tab:aims-{paper.key}-{place}")


def paper_csv(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in long form, one line a cell; without our run it has the printed number alone."""
    fields = [*("exhibit", "row", "column", "unit", "published", "ours", "difference", "inside")]
    fields += ["protocol", "backbone", "limit", "weights"]
    fields += [*RESULT_FIELDS, "rank", "from_best", "groups", "p", "verdict"]
    fields += ["cell_weights", "footnote", "command"]
    return write_csv(fields, (cell_fields(table, cell) for table in tables for cell in table.cells.values()))


def cell_fields(table: FilledTable, filled: FilledCell) -> dict[str, Any]:
    """A cell as a line of a CSV file."""
    cell = filled.cell
    return {
        **condition_fields(table.condition),
        **result_fields(filled.result),
        "exhibit": table.paper.key,
        "row": cell.row,
        "column": cell.column,
        "unit": {"miou": "mIoU, %", "parameters": "million parameters"}[table.paper.unit],
        "published": number(cell.published),
        "ours": number(filled.value),
        "difference": number(filled.difference),
        "inside": {True: "yes", False: "no", None: ""}[filled.inside],
        "rank": filled.rank,
        "from_best": number(100 * filled.test.value) if filled.test else "",
        "groups": filled.test.groups if filled.test else "",
        "p": f"{filled.test.p:.6g}" if filled.test else "",
        "verdict": filled.verdict or "",
        "cell_weights": filled.result.config.weights if filled.result else "",
        "footnote": cell.note,
        "command": cell.command,
    }


def paper_name(paper: PaperTable) -> str:
    """As the paper counts it, e.g. "Table 3" or "Figure 6 k"."""
    kind = "Figure" if paper.is_figure else "Table"
    place = paper.key.removeprefix(kind.lower())
    return f"{kind} {place[0]}" + (f" {place[1:]}" if len(place) > 1 else "")


def caption(table: FilledTable) -> str:
    """What a reader must know about the two kinds of columns."""
    paper, condition = table.paper, table.condition
    unit = "mIoU in percent." if paper.unit == "miou" else "Millions of parameters."
    sentences = [
        unit,
        "Published: printed in the SimCMF paper (SAM ViT-B, protocol paper), not measured by this project.",
    ]
    if condition is not None and paper.unit == "miou":
        sentences.append(
            "Ours: mean over all test instances and seeds with its 95 % interval (bootstrap over images, or "
            "over their groups)."
        )
        tests = [cell.test for cell in table.cells.values() if cell.test]
        found = {cell.verdict for cell in table.cells.values() if cell.verdict}
        sentences += marks_words(found, {test.groups for test in tests})
        on_test = PROTOCOLS[condition.protocol].select_on == "test"
        rule = "test split (the paper's rule)" if on_test else "validation part"
        sentences.append(f"Over several settings, ours is the one that is highest on the {rule}.")
    if condition is not None and (condition.protocol, condition.backbone) != ("paper", "sam-vit-b"):
        sentences.append("Ours was made under other conditions than the published numbers: see the heading.")
    return " ".join([*sentences, *paper.notes])


def number(value: float | None) -> str:
    """With two decimals; empty for None."""
    return "" if value is None else f"{value:.2f}"


def _fact_columns(paper: PaperTable) -> list[str]:
    return [*dict.fromkeys(name for facts in paper.facts.values() for name in facts)]


def _layout(table: FilledTable, form: Format, *, caption: str, title: str = "", label: str = "") -> Layout:
    paper = table.paper
    facts = _fact_columns(paper)
    heading = form.prose if form.is_latex else str
    rows = [
        LayoutRow(
            label=form.prose(row),
            cells=[
                *(paper.facts.get(row, {}).get(name, "") for name in facts),
                *(text for name in paper.columns for text in _cell(table, (row, name), form)),
            ],
        )
        for row in paper.rows
    ]
    return Layout(
        corner=heading(paper.corner),
        columns=[*map(heading, facts)],
        groups=[(form.escape(name) if form.is_latex else name, _KINDS) for name in paper.columns],
        rows=rows,
        footnotes=table.footnotes,
        notes=table.notes,
        title=title,
        caption=caption,
        label=label,
    )


def _cell(table: FilledTable, place: tuple[str, str], form: Format) -> tuple[str, str]:
    """The printed number and ours."""
    filled = table.cells.get(place)
    if filled is None:
        return "", ""
    note = filled.cell.note
    published = number(filled.cell.published) + (form.footnote(table.footnotes[note]) if note else "")
    lines = _ours_lines(filled, form.escape)
    if lines:
        lines[0] = form.ranks[filled.rank] % lines[0] + form.mark(
            MARKS[filled.verdict] if filled.verdict else ""
        )
    if form.is_latex:
        # Brackets are braced: after a line break they would be read as its argument.
        lines[1:2] = [line.replace("[", "{[}").replace("]", "{]}") for line in lines[1:2]]
    return published.strip(), form.stack(lines)


def _ours_lines(filled: FilledCell, escape: Callable[[str], str] = str) -> list[str]:
    """Our part of a cell: value, interval, setting, seeds, instances; none if it is empty."""
    result = filled.result
    if result is None or filled.value is None:
        return []
    if not filled.interval:
        return [number(filled.value)]
    config = result.config
    training = "" if not config.epochs else f", lr {config.lr:g}, {count(config.epochs, 'epoch')}"
    return [
        number(filled.value),
        "[{}, {}]".format(*map(number, filled.interval)),
        *below_disc(result),
        f"{escape(config.tuning)}{training}",
        seeds(result),
        f"{count(result.instances, 'instance')}, {count(result.images, 'image')}",
    ]
