"""The files of a report's folder `paper`: every table and figure of the paper with our scores."""

from __future__ import annotations

from collections.abc import Sequence

from aims.reports.paper.against import against_csv, against_markdown
from aims.reports.paper.cells import FilledTable, fill_table
from aims.reports.paper.layout import paper_csv, paper_latex, paper_markdown
from aims.reports.paper.table5 import table5_files
from aims.reports.paper.tables import load_paper_tables
from aims.reports.runs.results import Result

#: Keys of the panels of a figure, by the figure's name.
_PANELS = {"figure6": ("figure6k", "figure6d", "figure6n")}
#: Table 1 is written by `aims.reports.paper.table1`, in the report's folder itself.
_ELSEWHERE = ("table1",)


def fill_all(results: Sequence[Result]) -> tuple[tuple[FilledTable, ...], ...]:
    """Fills every table and figure that holds numbers.

    Args:
        results: every finished run, pooled over seeds.

    Returns:
        For each table or figure, in the paper's order, one filled table per condition.
    """
    return tuple(fill_table(paper, results) for paper in load_paper_tables())


def paper_files(
    paper_tables: Sequence[Sequence[FilledTable]], results: Sequence[Result], *, against: bool
) -> dict[str, str | bytes]:
    """Contents of the files by name.

    Args:
        paper_tables: from `fill_all`.
        results: every finished run, pooled over seeds.
        against: whether to add the list of all published numbers, and to draw figures without runs of ours.
    """
    by_key = {tables[0].paper.key: tables for tables in paper_tables}
    files: dict[str, str | bytes] = {}
    for key, tables in by_key.items():
        if not tables[0].paper.is_figure and key not in _ELSEWHERE:
            files[f"{key}.md"] = paper_markdown(tables)
            files[f"{key}.csv"] = paper_csv(tables)
            files[f"{key}.tex"] = paper_latex(tables)
    files |= table5_files(results)
    in_panels = {panel for panels in _PANELS.values() for panel in panels}
    figures = {key: (key,) for key in by_key if key.startswith("figure") and key not in in_panels} | _PANELS
    for name, panels in sorted(figures.items()):
        parts = [by_key[panel] for panel in panels]
        if against or any(table.condition for part in parts for table in part):
            # A figure of published numbers alone is drawn only if asked for.
            from aims.reports.figures.paper_figures import draw_figure

            files[f"{name}.svg"], files[f"{name}.png"] = draw_figure(parts, results)
        files[f"{name}.csv"] = paper_csv([table for part in parts for table in part])
        files[f"{name}.md"] = "\n".join(paper_markdown(part) for part in parts)
    if against:
        files["against.md"], files["against.csv"] = against_markdown(paper_tables), against_csv(paper_tables)
    return files
