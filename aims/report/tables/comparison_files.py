"""The comparison tables as Markdown and LaTeX. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from aims.core.sizes import LARGE_NAME
from aims.report.runs.floors import DISC
from aims.report.tables.captions import percent
from aims.report.tables.comparison import Comparison, ComparisonCell, ComparisonRow
from aims.report.tables.comparison_words import (
    best_lines,
    best_notes,
    cell_interval,
    column_name,
    comparison_title,
    counts,
    difference_lines,
    has_seed_spread,
    large_text,
    mark,
    notes,
    reference_notes,
    score_lines,
    seeds_text,
    size_columns,
    size_note,
    spread_note,
)
from aims.report.tables.cost import COSTS, cost_notes
from aims.report.tables.latex import prose, stack, superscript
from aims.report.tables.render import (
    escape_markdown,
    markdown_table,
)


def comparison_markdown(tables: Sequence[Comparison]) -> str:
    """All tables in Markdown, each with its paired tests and its spread over seeds."""
    lines = ["# Results by sensor", ""]
    lines += [] if tables else ["There is no finished run."]
    for table in tables:
        lines += [
            f"## {escape_markdown(comparison_title(table))}",
            "",
            f"{escape_markdown(counts(table))}.",
            "",
        ]
        large = {LARGE_NAME: lambda row, table=table: large_text(row, table)} if table.large_count else {}
        tail = {**large, "seeds": seeds_text, **{cost.name: cost.text for cost in COSTS}}
        lines += _markdown_grid(table, _markdown_score, tail)
        lines += [f"{escape_markdown(note)}\n" for note in (*notes(table), *cost_notes(table))]
        if table.verdicts:
            lines += ["### Differences from the best of each column", ""]
            lines += _markdown_grid(table, _markdown_from_best, floors=False)
            lines += [f"{escape_markdown(note)}\n" for note in best_notes()]
        if table.tests:
            lines += [f"### Differences from {escape_markdown(table.reference or '')}", ""]
            lines += _markdown_grid(table, _markdown_difference)
            lines += [f"{escape_markdown(note)}\n" for note in reference_notes(table)]
        if table.size_counts:
            lines += [
                "### By size",
                "",
                *_markdown_sizes(table),
                "",
                f"{escape_markdown(size_note(table))}\n",
            ]
        if has_seed_spread(table):
            lines += ["### Spread over seeds", "", *_markdown_grid(table, _markdown_spread)]
            lines += [f"{spread_note()}\n"]
    return "\n".join(lines).rstrip("\n") + "\n"


def _markdown_grid(
    table: Comparison,
    show: Callable[[ComparisonRow, str], str],
    tail: Mapping[str, Callable[[ComparisonRow], str]] = MappingProxyType({}),
    *,
    floors: bool = True,
) -> list[str]:
    header = ["method", *(escape_markdown(column_name(name)) for name in table.columns), *tail]
    rows = [
        [
            escape_markdown(row.label),
            *(show(row, column) for column in table.columns),
            *(text(row) for text in tail.values()),
        ]
        for row in table.rows
        if floors or not row.is_floor
    ]
    return [*markdown_table(header, rows, left=1), ""]


def _markdown_score(row: ComparisonRow, column: str) -> str:
    cell = row.cells.get(column)
    if cell is None:
        return ""
    start, end = {"best": ("**", "**"), "second": ("<u>", "</u>")}.get(cell.rank, ("", ""))
    score, *below = score_lines(cell)
    value, *behind = score.split(" ")
    return "<br>".join([" ".join([f"{start}{value}{end}", *map(escape_markdown, behind)]), *below])


def _markdown_from_best(row: ComparisonRow, column: str) -> str:
    return "<br>".join(map(escape_markdown, best_lines(row.cells.get(column))))


def _markdown_difference(row: ComparisonRow, column: str) -> str:
    test = row.differences.get(column)
    return "<br>".join(map(escape_markdown, difference_lines(test))) if test else ""


def _markdown_spread(row: ComparisonRow, column: str) -> str:
    cell = row.cells.get(column)
    return percent(cell.seed_sd) if cell else ""


def _markdown_sizes(table: Comparison) -> list[str]:
    rows = [
        [escape_markdown(row.label), *map(percent, scores)]
        for row in table.rows
        if (scores := row.by_size(table.sized))
    ]
    return markdown_table(["method", *size_columns(table)], rows, left=1)


def comparison_latex(tables: Sequence[Comparison]) -> str:
    """All tables in LaTeX, a `table` environment each of scores, differences and costs.

    They need booktabs alone.
    """
    return "% needs \\usepackage{booktabs}\n" + "\n".join(
        text
        for index, table in enumerate(tables, start=1)
        for text in (
            _latex_scores(table, index),
            *([_latex_from_best(table, index)] if table.verdicts else []),
            _latex_costs(table, index),
        )
    )


def _latex_scores(table: Comparison, index: int) -> str:
    caption = " ".join([f"{comparison_title(table)}. {counts(table)}.", *notes(table)])
    rows = [
        [
            *(_latex_score(row.cells.get(column)) for column in table.columns),
            *([large_text(row, table)] if table.large_count else []),
            seeds_text(row),
        ]
        for row in table.rows
    ]
    header = [*map(column_name, table.columns), *([LARGE_NAME] if table.large_count else []), "seeds"]
    return _latex_table(table, caption, f"tab:aims-comparison-{index}", header, rows)


def _latex_from_best(table: Comparison, index: int) -> str:
    """The tests behind the marks."""
    title = f"{comparison_title(table)}: differences from the best of each column."
    rows = [
        [stack([*map(prose, best_lines(row.cells.get(column)))]) for column in table.columns]
        for row in table.rows
    ]
    header = [*map(column_name, table.columns)]
    caption = " ".join([title, *best_notes()])
    return _latex_table(table, caption, f"tab:aims-paired-{index}", header, rows)


def _latex_costs(table: Comparison, index: int) -> str:
    """What the rows cost: beside five sensors it would not fit on a page."""
    caption = " ".join([f"{comparison_title(table)}: what the methods cost.", *cost_notes(table)])
    rows = [[prose(cost.text(row)) for cost in COSTS] for row in table.rows]
    header = [cost.short for cost in COSTS]
    return _latex_table(table, caption, f"tab:aims-cost-{index}", header, rows)


def _latex_table(
    table: Comparison, caption: str, label: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """One `table` environment; `rows` are in LaTeX, without the label in front."""
    lines = [
        r"\begin{table}",
        r"  \centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"  \caption{{{prose(caption)}}}",
        rf"  \label{{{label}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(header)}}}",
        r"    \toprule",
        f"    {' & '.join(map(prose, ['method', *header]))} \\\\",
    ]
    was_floor: bool | None = None
    for row, cells in zip(table.rows, rows, strict=True):
        if row.is_floor != was_floor:
            lines.append(r"    \midrule")
            was_floor = row.is_floor
        lines.append(f"    {' & '.join([prose(row.label), *cells])} \\\\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def _latex_score(cell: ComparisonCell | None) -> str:
    if cell is None:
        return ""
    macro = {"best": r"\textbf{%s}", "second": r"\underline{%s}"}.get(cell.rank, "%s")
    score = macro % percent(cell.miou) + superscript(mark(cell))
    below = [f"below {DISC} ({percent(cell.disc)})"] if cell.below_disc else []
    return stack([score, *filter(None, [cell_interval(cell), *below])])
