"""The comparison tables as Markdown, CSV and LaTeX. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aims.report.comparison import MEAN, Comparison, ComparisonCell, ComparisonRow
from aims.report.comparison_words import (
    TIED,
    cell_interval,
    column_name,
    comparison_title,
    counts,
    difference_lines,
    has_seed_spread,
    notes,
    paired_notes,
    score_lines,
    seeds_text,
    size_columns,
    size_note,
    spread_note,
)
from aims.report.cost import COSTS, cost_notes
from aims.report.floors import DISC
from aims.report.latex import escape_latex, stack
from aims.report.render import (
    COST_FIELDS,
    RESULT_FIELDS,
    SETTING_FIELDS,
    condition_fields,
    cost_fields,
    escape_markdown,
    markdown_table,
    result_fields,
    write_csv,
)
from aims.report.wording import percent

_PLACE = ("protocol", "backbone", "limit", "weights", "dataset", "fingerprint")


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
        tail = {"seeds": seeds_text, **{cost.name: cost.text for cost in COSTS}}
        lines += _markdown_grid(table, _markdown_score, tail)
        lines += [f"{escape_markdown(note)}\n" for note in (*notes(table), *cost_notes(table))]
        if table.tests:
            lines += [f"### Differences from {escape_markdown(table.reference or '')}", ""]
            lines += _markdown_grid(table, _markdown_difference)
            lines += [f"{escape_markdown(note)}\n" for note in paired_notes(table)]
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
) -> list[str]:
    header = ["method", *(escape_markdown(column_name(name)) for name in table.columns), *tail]
    rows = [
        [
            escape_markdown(row.label),
            *(show(row, column) for column in table.columns),
            *(text(row) for text in tail.values()),
        ]
        for row in table.rows
    ]
    return [*markdown_table(header, rows, left=1), ""]


def _markdown_score(row: ComparisonRow, column: str) -> str:
    cell = row.cells.get(column)
    if cell is None:
        return ""
    start, end = {"best": ("**", "**"), "second": ("<u>", "</u>")}.get(cell.rank, ("", ""))
    score, *below = score_lines(cell)
    value, *mark = score.split(" ")
    return "<br>".join([" ".join([f"{start}{value}{end}", *mark]), *below])


def _markdown_difference(row: ComparisonRow, column: str) -> str:
    test = row.differences.get(column)
    return escape_markdown("\n".join(difference_lines(test))).replace("\n", "<br>") if test else ""


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
    """All tables in LaTeX, two `table` environments each: scores, then costs. They need booktabs alone."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(
        f"{_latex_scores(table, index)}\n{_latex_costs(table, index)}"
        for index, table in enumerate(tables, start=1)
    )


def _latex_scores(table: Comparison, index: int) -> str:
    caption = " ".join([f"{comparison_title(table)}. {counts(table)}.", *notes(table)])
    rows = [
        [*(_latex_score(row.cells.get(column)) for column in table.columns), seeds_text(row)]
        for row in table.rows
    ]
    header = [*map(column_name, table.columns), "seeds"]
    return _latex_table(table, caption, f"tab:aims-comparison-{index}", header, rows)


def _latex_costs(table: Comparison, index: int) -> str:
    """What the rows cost: beside five sensors it would not fit on a page."""
    caption = " ".join([f"{comparison_title(table)}: what the methods cost.", *cost_notes(table)])
    rows = [[_latex(cost.text(row)) for cost in COSTS] for row in table.rows]
    header = [cost.short for cost in COSTS]
    return _latex_table(table, caption, f"tab:aims-cost-{index}", header, rows)


def _latex_table(
    table: Comparison, caption: str, label: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """One `table` environment; `rows` are in LaTeX, without the label in front."""
    lines = [
        r"\begin{table}",
        r"  \centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"  \caption{{{_latex(caption)}}}",
        rf"  \label{{{label}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(header)}}}",
        r"    \toprule",
        f"    {' & '.join(map(_latex, ['method', *header]))} \\\\",
    ]
    was_floor: bool | None = None
    for row, cells in zip(table.rows, rows, strict=True):
        if row.is_floor != was_floor:
            lines.append(r"    \midrule")
            was_floor = row.is_floor
        lines.append(f"    {' & '.join([_latex(row.label), *cells])} \\\\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def _latex(text: str) -> str:
    return escape_latex(text).replace(TIED, r"$\approx$").replace("–", "--")


def _latex_score(cell: ComparisonCell | None) -> str:
    if cell is None:
        return ""
    macro = {"best": r"\textbf{%s}", "second": r"\underline{%s}"}.get(cell.rank, "%s")
    score = macro % percent(cell.miou) + (r"$^{\approx}$" if cell.tied else "")
    below = [f"below {DISC} ({percent(cell.disc)})"] if cell.below_disc else []
    return stack([score, *filter(None, [cell_interval(cell), *below])])


def comparison_csv(tables: Sequence[Comparison]) -> str:
    """All tables in long form, one line a cell; `weights` is the table's, `cell_weights` the runs' own."""
    fields = (*_PLACE, *(name for name in RESULT_FIELDS if name not in _PLACE))
    fields += ("seed_sd", "groups", "rank", "tied", "mean_over", *COST_FIELDS, "cell_weights")
    return write_csv(fields, _lines(tables, _cell_line))


def paired_csv(tables: Sequence[Comparison]) -> str:
    """All paired tests in long form; scores and differences in percentage points."""
    fields = (
        *_PLACE,
        *SETTING_FIELDS,
        "modality",
        "mean_over",
        "reference",
        "miou",
        "seed_sd",
        "difference",
        "low",
        "high",
    )
    return write_csv((*fields, "p", "p_holm", "tests", "groups", "separable"), _lines(tables, _test_line))


def _lines(
    tables: Sequence[Comparison], make: Callable[[Comparison, ComparisonRow, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {**_place(table), **found}
        for table in tables
        for row in table.rows
        for column in table.columns
        if (found := make(table, row, column))
    ]


def _place(table: Comparison) -> dict[str, Any]:
    return {
        **condition_fields(table.condition),
        "dataset": table.dataset,
        "fingerprint": table.fingerprint,
    }


def _setting(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    """What a row is, and the column that a line is about."""
    fields = result_fields(row.results[0])
    mean_over = " ".join(table.mean_over) if column == MEAN else ""
    return {name: fields[name] for name in SETTING_FIELDS} | {
        "modality": column_name(column),
        "mean_over": mean_over,
    }


def _cell_line(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    cell = row.cells.get(column)
    if cell is None:
        return {}
    low, high = cell.interval or (None, None)
    result = cell.result
    return {
        **(result_fields(result) if result else {}),
        **_setting(table, row, column),
        "miou": percent(cell.miou),
        "low": percent(low),
        "high": percent(high),
        "seed_sd": percent(cell.seed_sd),
        "disc": percent(cell.disc),
        "below_disc": "yes" if cell.below_disc else "",
        "rank": cell.rank,
        "tied": "yes" if cell.tied else "",
        "groups": len(result.counts) if result else "",
        **cost_fields(result),
        "cell_weights": result.config.weights if result else "",
    }


def _test_line(table: Comparison, row: ComparisonRow, column: str) -> dict[str, Any]:
    test = row.differences.get(column)
    if test is None:
        return {}
    low, high = test.interval
    return {
        **_setting(table, row, column),
        "reference": table.reference,
        "miou": percent(row.cells[column].miou),
        "seed_sd": percent(row.cells[column].seed_sd),
        "difference": percent(test.value),
        "low": percent(low),
        "high": percent(high),
        "p": f"{test.p:.6g}",
        "p_holm": f"{test.p_holm:.6g}",
        "tests": table.tests,
        "groups": test.groups,
        "separable": "yes" if test.separable else "",
    }
