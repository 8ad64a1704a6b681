"""The paper's tables and figures as Markdown, CSV and LaTeX, our results beside the printed numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aims.core.config import RANDOM_WEIGHTS
from aims.core.vocabulary import PROTOCOLS
from aims.report.runs.conditions import Condition
from aims.report.tables.captions import below_disc, count, seeds
from aims.report.tables.latex import escape_latex, prose, stack, superscript
from aims.report.tables.marks import MARKS, marks_words
from aims.report.tables.paper_cells import FilledCell, FilledTable
from aims.report.tables.paper_tables import PaperTable
from aims.report.tables.render import (
    RESULT_FIELDS,
    condition_fields,
    escape_markdown,
    markdown_table,
    result_fields,
    write_csv,
)

_EMPHASIS = {"best": ("**", "**"), "second": ("<u>", "</u>"), "": ("", "")}
_MACROS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}


def paper_markdown(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in Markdown, one heading a condition."""
    paper = tables[0].paper
    lines = [f"# {paper_name(paper)}: {escape_markdown(paper.title)}", ""]
    for table in tables:
        lines += [f"## {escape_markdown(condition_title(table.condition))}", ""]
        lines += [escape_markdown(caption(table)), ""]
        header = [paper.corner, *_fact_columns(paper)]
        left = 1
        header += [f"{name}, {kind}" for name in paper.columns for kind in ("published", "ours")]
        lines += [*markdown_table(header, _rows(table, _markdown_cell, escape_markdown), left), ""]
        lines += [f"({mark}) {escape_markdown(text)}\n" for text, mark in table.footnotes.items()]
        lines += [f"Note: {escape_markdown(text)}\n" for text in table.notes]
    return "\n".join(lines).rstrip("\n") + "\n"


def paper_latex(tables: Sequence[FilledTable]) -> str:
    """A table of the paper in LaTeX, one `table` environment a condition; needs booktabs alone."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(
        _latex_table(table, place) for place, table in enumerate(tables, start=1)
    )


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


def condition_title(condition: Condition | None) -> str:
    """Heading of a section: it names everything that its results share."""
    if condition is None:
        return "No runs yet: published numbers only"
    parts = [f"protocol {condition.protocol}", f"backbone {condition.backbone}"]
    if condition.weights is None:
        parts.append("weights random (scratch alone)")
    elif condition.weights == RANDOM_WEIGHTS:
        parts.append("RANDOM WEIGHTS, NOT PRETRAINED")
    else:
        parts.append(f"weights {condition.weights_label}")
    if condition.limit is not None:
        parts.append(f"LIMITED to {condition.limit} images of each split")
    title = ", ".join(parts)
    return title[0].upper() + title[1:]


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


def _rows(
    table: FilledTable,
    show: Callable[[FilledTable, FilledCell | None], list[str]],
    escape: Callable[[str], str],
) -> list[list[str]]:
    paper = table.paper
    names = _fact_columns(paper)
    return [
        [
            escape(row),
            *(paper.facts.get(row, {}).get(name, "") for name in names),
            *(text for column in paper.columns for text in show(table, table.cells.get((row, column)))),
        ]
        for row in paper.rows
    ]


def _markdown_cell(table: FilledTable, filled: FilledCell | None) -> list[str]:
    if filled is None:
        return ["", ""]
    note = filled.cell.note
    published = number(filled.cell.published) + (f" ({table.footnotes[note]})" if note else "")
    start, end = _EMPHASIS[filled.rank]
    lines = ours_lines(filled, escape_markdown)
    if lines:
        mark = MARKS[filled.verdict] if filled.verdict else ""
        lines[0] = f"{start}{lines[0]}{end}" + (f" {escape_markdown(mark)}" if mark else "")
    return [published.strip(), "<br>".join(lines)]


def ours_lines(filled: FilledCell, escape: Callable[[str], str] = str) -> list[str]:
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


def _latex_table(table: FilledTable, place: int) -> str:
    paper = table.paper
    facts = _fact_columns(paper)
    first = 2 + len(facts)
    heads = ["", *([""] * len(facts))]
    heads += [rf"\multicolumn{{2}}{{c}}{{{escape_latex(name)}}}" for name in paper.columns]
    rules = [rf"\cmidrule(lr){{{first + 2 * i}-{first + 2 * i + 1}}}" for i in range(len(paper.columns))]
    kinds = ["published", "ours"] * len(paper.columns)
    text = f"{paper_name(paper)}: {paper.title}. {condition_title(table.condition)}. {caption(table)}"
    lines = [
        r"\begin{table}",
        r"  \centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"  \caption{{{prose(text)}}}",
        rf"  \label{{tab:aims-{paper.key}-{place}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(facts) + len(kinds))}}}",
        r"    \toprule",
        f"    {' & '.join(heads)} \\\\".replace("     &", "    &"),
        f"    {' '.join(rules)}",
        f"    {' & '.join([prose(paper.corner), *map(prose, facts), *kinds])} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(row)} \\\\" for row in _rows(table, _latex_cell, prose)),
        r"    \bottomrule",
        r"  \end{tabular}",
    ]
    for note, mark in table.footnotes.items():
        lines.append(rf"  \par\smallskip{{\footnotesize $^{{{mark}}}$ {prose(note)}}}")
    lines += [rf"  \par\smallskip{{\footnotesize Note: {prose(note)}}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def _latex_cell(table: FilledTable, filled: FilledCell | None) -> list[str]:
    if filled is None:
        return ["", ""]
    note = filled.cell.note
    published = number(filled.cell.published) + (f"$^{{{table.footnotes[note]}}}$" if note else "")
    lines = ours_lines(filled, escape_latex)
    if lines:
        mark = MARKS[filled.verdict] if filled.verdict else ""
        lines[0] = _MACROS[filled.rank] % lines[0] + superscript(mark)
    # Brackets are braced: after a line break they would be read as its argument.
    lines[1:2] = [line.replace("[", "{[}").replace("]", "{]}") for line in lines[1:2]]
    return [published, stack(lines)]
