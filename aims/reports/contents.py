"""The contents of a report: tables, figures and the page, made of runs, and written into a folder."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aims.core.errors import InputError
from aims.core.files import atomic_write, write_text
from aims.reports.comparison.build import outline_comparisons, with_tests
from aims.reports.comparison.descriptions import comparison_latex, comparison_markdown
from aims.reports.comparison.long_form import comparison_csv, cost_csv, paired_csv
from aims.reports.comparison.pairs import find_rivals, pair_tests
from aims.reports.comparison.table import Comparison, comparison_json
from aims.reports.figures.cost_figure import cost_files, cost_plot, draw_cost, import_drawing
from aims.reports.figures.panels import open_datasets
from aims.reports.figures.row_styles import RowStyles
from aims.reports.folder import finish_report
from aims.reports.page.page import render_page
from aims.reports.paper.cells import FilledTable
from aims.reports.paper.files import fill_all, paper_files
from aims.reports.paper.layout import cell_fields, paper_latex, paper_markdown
from aims.reports.paper.table1 import fill_table1, table1_csv, table1_json
from aims.reports.runs.load import LeftOut, Run
from aims.reports.runs.results import Result, pool_seeds
from aims.reports.runs.workers import Workers
from aims.reports.tables.label_efficiency import LabelEfficiency, efficiency_files, label_efficiency
from aims.reports.tables.results_table import results_csv, results_markdown

#: Value of `against` that compares with the published numbers instead of with a method.
PAPER = "paper"
# Drawing the figure of a table, or testing its pairs, takes about as long as reading 200 run folders: the
# weight in `Workers.map`.
_A_TABLE = 200


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """The contents of a report, and the files that it was written to.

    Attributes:
        table1: Table 1, once per protocol, backbone, weights and limit.
        comparisons: scores of every method on every modality, one table per dataset and condition.
        results: every finished run, pooled over seeds.
        left_out: run folders that are in no table, with the reason.
        label_efficiency: how many training images scratch needs to reach each method's score with its fewest.
        paper: one dict per cell of the paper's tables and figures: the published number and ours.
        written: paths of the written files, without their list (`aims.reports.folder.MANIFEST`).
    """

    table1: tuple[FilledTable, ...]
    comparisons: tuple[Comparison, ...]
    results: tuple[Result, ...]
    left_out: tuple[LeftOut, ...]
    label_efficiency: tuple[LabelEfficiency, ...]
    paper: tuple[dict[str, Any], ...]
    written: tuple[Path, ...]

    def as_json(self) -> dict[str, Any]:
        """All attributes as plain types, ready for `json.dumps`."""
        return {
            "table1": [table1_json(table) for table in self.table1],
            "comparisons": [comparison_json(table) for table in self.comparisons],
            "results": [result.as_json() for result in self.results],
            "left_out": [dataclasses.asdict(item) for item in self.left_out],
            "label_efficiency": [each.fields for each in self.label_efficiency],
            "paper": list(self.paper),
            "written": [str(path) for path in self.written],
        }


def write_contents(
    loaded: list[Run],
    unusable: list[LeftOut],
    workers: Workers,
    out: Path,
    against: str | None,
    data: Path | None,
    title: str,
) -> ReportResult:
    """Makes and writes all files.

    Args:
        loaded: the usable runs.
        unusable: the other run folders.
        workers: processes that draw and test.
        out, against, data, title: see `aims.reports.report.write_report`.

    Raises:
        InputError: `out` cannot be made a folder, or there is no run of `against`.
    """
    workers.prepare(import_drawing)
    results, unpooled = pool_seeds(loaded)
    left_out = sorted([*unusable, *unpooled], key=lambda item: item.folder)
    with_paper = against == PAPER
    outlines = outline_comparisons(results, None if with_paper else against)
    styles = RowStyles(outlines)
    # With several processes, what other processes draw and test is made while this one fills the tables.
    drawn = workers.map(draw_cost, [cost_plot(table, styles) for table in outlines], weight=_A_TABLE)
    tests = workers.map(pair_tests, [*map(find_rivals, outlines)], weight=_A_TABLE)
    comparisons = [*map(with_tests, outlines)]
    workers.end()
    figures, costs = itertools.tee(drawn)
    paper_tables = fill_all(results)
    table1 = fill_table1(paper_tables[0][0].paper, results)
    files: dict[str, str | bytes] = {
        "table1.md": paper_markdown(table1),
        "table1.csv": table1_csv(table1),
        "table1.tex": paper_latex(table1),
        "comparison.md": comparison_markdown(comparisons),
        "comparison.csv": comparison_csv(comparisons),
        "comparison.tex": comparison_latex(comparisons),
        "paired.csv": paired_csv(comparisons),
        "results.md": results_markdown(results, len(left_out)),
        "results.csv": results_csv(results),
        "cost.csv": cost_csv(comparisons),
    }
    efficiency = label_efficiency(results)
    files |= efficiency_files(efficiency)
    files["index.html"] = render_page(
        comparisons, left_out, pairs=tests, costs=figures, data=data, title=title
    )
    files |= cost_files([*costs])
    ours = any(table.condition for tables in paper_tables for table in tables)
    if ours or with_paper or not results:
        # Without a run on one of the paper's datasets, these files would hold the published numbers alone.
        for name, content in paper_files(paper_tables, results, against=with_paper).items():
            files[f"paper/{name}"] = content
    # All folders first, so that nothing is written if one of them cannot be made.
    try:
        for name in files:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made a folder ({error}); give another one") from None
    for name, content in files.items():
        if isinstance(content, str):
            write_text(out / name, content)
        else:
            with atomic_write(out / name) as beside:
                beside.write_bytes(content)
    written = [out / name for name in files]
    if datasets := open_datasets(data):
        # Imported here, as most reports of thousands of runs have no pictures.
        from aims.reports.figures.mask_figures import write_qualitative

        written += write_qualitative(comparisons, datasets, out)
    finish_report(out, len(loaded), written)
    return ReportResult(
        table1=table1,
        comparisons=tuple(comparisons),
        results=tuple(results),
        left_out=tuple(left_out),
        label_efficiency=efficiency,
        paper=tuple(
            cell_fields(table, cell)
            for tables in paper_tables
            for table in tables
            for cell in table.cells.values()
        ),
        written=tuple(written),
    )
