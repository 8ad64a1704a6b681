"""`aims report`: the tables, from the finished runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from aims.cli._options import data_option, json_option, path_option, runs_option
from aims.cli._terminal import add_columns, err, out, print_json
from aims.core.errors import AimsError

if TYPE_CHECKING:
    from aims.report.paper.table1 import Section
    from aims.report.report import ReportResult
    from aims.report.tables.comparison import Comparison, ComparisonRow

_COLUMNS = (
    *("mIoU, %", "scratch\npublished", "scratch\nours", "SimCMF\npublished", "SimCMF\nours"),
    *("disc\nours", "oracle-\ndisc\nours"),
)
# Of a table in a terminal: the best stand first, and hundreds of them are read elsewhere.
_ROWS = 40
# Characters of the names of rows, and of a column in which no number is broken.
_NAME_WIDTH, _COLUMN_WIDTH = 18, 11


@click.command()
@runs_option()
@path_option("--out", "Folder for the files.", "leaderboards", name="target")
@click.option(
    "--against",
    metavar="METHOD[:TUNING]|paper",
    help="What others are tested against, or the paper's numbers.  [default: simcmf, else the best]",
)
@data_option("Datasets of the runs, for pictures of masks; there are none where they are not there.")
@click.option("--title", default="AIMS leaderboard", show_default=True, help="Heading of the page.")
@click.option("--strict", is_flag=True, help="Exit code 1 where a run folder was left out; all is written.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes, where there are hundreds of runs.  [default: the number of processors]",
)
@json_option()
def command(
    runs: Path,
    target: Path,
    against: str | None,
    data: Path,
    title: str,
    strict: bool,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Write tables and figures from the finished runs.

    They are every method beside every sensor with intervals and paired tests, the list of all runs (Markdown,
    CSV, LaTeX), and index.html: the tables with curves and pictures. Where runs are on the paper's datasets,
    or there are none, its tables and figures are written too, ours beside its numbers (folder `paper`). A
    cell without a run stays empty. Results of different protocols, backbones or weights never share a table.

    Where --data holds the datasets of the runs, input, zero-shot, scratch, SimCMF and truth are drawn side by
    side for the worst, the median and the best instance (folder `panels`; of the paper's datasets its Figures
    3 and 8 to 13, folder `paper`).

    `--against paper` adds a list of every published number: ours, its interval, the difference, and the
    command that makes it (paper/against.md).
    """
    from aims.report.report import write_report

    jobs = jobs or os.cpu_count() or 1
    result = write_report(runs, target, against=against, data=data, title=title, jobs=jobs)
    if as_json:
        print_json(result.as_json())
    else:
        _print_all(result, runs, target, against)
    if strict and result.left_out:
        raise AimsError(f"run folders left out: {len(result.left_out)} (--strict); the files are written")


def _print_all(result: ReportResult, runs: Path, target: Path, against: str | None) -> None:
    for table in result.comparisons:
        _print_comparison(table)
    for section in result.sections:
        if section.has_paper_runs:
            _print_table1(section)
    if not result.results:
        out.print(Text(f"{runs} holds no finished run: our cells are empty"))
    for item in result.left_out:
        err.print(Text(f"left out: {item.folder}: {item.reason}"))
    if against == "paper":
        _print_paper(result.paper)
    for line in _written(target, result.written):
        out.print(Text(line))


def _written(target: Path, written: Sequence[Path]) -> list[str]:
    """The page, and how many files lie beside it in each folder."""
    lines = [f"written: {target / 'index.html'}"]
    folders = Counter(path.parent for path in written)
    folders[target] -= 1
    return lines + [f"and {count} files in {folder}" for folder, count in folders.items()]


def _print_paper(cells: Sequence[Mapping[str, Any]]) -> None:
    """The published numbers for which there is one of ours."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    add_columns(table, *[""] * 3, "published", "ours", "95 % interval", "difference", left=[""])
    for cell in cells:
        if cell["difference"]:
            ends = f"[{cell['low']}, {cell['high']}]" if cell.get("low") else ""
            texts = (cell["exhibit"], cell["row"], cell["column"], cell["published"], cell["ours"], ends)
            table.add_row(*map(Text, texts), Text(f"{float(cell['difference']):+.2f}"))
    if table.row_count:
        out.print(table)
    else:
        out.print(Text("no run stands beside a published number yet; paper/against.md has the commands"))


def _print_comparison(table: Comparison) -> None:
    """Every method beside every sensor; the paired tests are in the files."""
    from aims.core.sizes import LARGE_NAME
    from aims.report.tables.comparison import MEAN
    from aims.report.tables.comparison_words import (
        comparison_title,
        counts,
        large_note,
        large_text,
        marks_note,
        seeds_text,
    )

    out.print(Text(f"{comparison_title(table)}; {counts(table)}"))
    columns: dict[str, Callable[[ComparisonRow], Text]] = {
        "mean" if name == MEAN else name: partial(_score, name) for name in table.columns
    }
    if table.large_count:
        columns[LARGE_NAME] = lambda row: Text(large_text(row, table))
    columns["seeds"] = lambda row: Text(seeds_text(row))
    # Where they do not fit, as many as do stand beside each other, and the others below.
    fit = max(1, (out.width - _NAME_WIDTH) // _COLUMN_WIDTH)
    for start in range(0, len(columns), fit):
        out.print(_drawn(table, dict(list(columns.items())[start : start + fit])))
    if len(table.rows) > _ROWS:
        out.print(Text(f"and {len(table.rows) - _ROWS} more rows, in comparison.md and on the page"))
    for note in (*marks_note(table), *large_note(table), *table.notes):
        out.print(Text(note))
    if table.verdicts:
        out.print(Text("The tests behind the marks: comparison.md, paired.csv and the page."))
    out.print()


def _drawn(table: Comparison, columns: Mapping[str, Callable[[ComparisonRow], Text]]) -> Table:
    """Some columns of a table, with the names of its rows."""
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    # In a narrow terminal names go on in the next line: cut short they could be another's.
    drawn.add_column("mIoU, %", overflow="fold")
    add_columns(drawn, *columns, overflow="fold")
    for place, row in enumerate(table.rows[:_ROWS]):
        last_floor = row.is_floor and place + 1 < len(table.rows) and not table.rows[place + 1].is_floor
        drawn.add_row(Text(row.label), *(show(row) for show in columns.values()), end_section=last_floor)
    return drawn


def _score(column: str, row: ComparisonRow) -> Text:
    from aims.report.tables.comparison_words import score_lines

    cell = row.cells.get(column)
    score, *below = score_lines(cell) if cell else [""]
    style = {"best": "bold", "second": "underline"}.get(cell.rank if cell else "", "")
    return Text.assemble((score, style), *((f"\n{line}", "dim") for line in below))


def _print_table1(section: Section) -> None:
    from aims.report.tables.captions import plain_rows, title

    out.print(Text(title(section.condition)))
    table = add_columns(Table(show_lines=True), *_COLUMNS, left=_COLUMNS[:1])
    for row in plain_rows(section):
        table.add_row(*(Text(cell) for cell in row))
    out.print(table)
    for note in (*section.notes, *section.footnotes, section.floor_note):
        out.print(Text(note))
