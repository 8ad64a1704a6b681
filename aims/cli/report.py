"""`aims report`: the tables, from the finished runs."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

import aims.api
from aims.api import LEADERBOARDS
from aims.cli._options import data_option, json_option, path_option, runs_option
from aims.cli._terminal import add_columns, err, out, print_json
from aims.core.errors import AimsError

if TYPE_CHECKING:
    from aims.reports.comparison.table import Comparison
    from aims.reports.contents import ReportResult
    from aims.reports.tables.table import Cell
    from aims.reports.tables.table import Table as Described

# Of a table in a terminal: the best stand first, and hundreds of them are read elsewhere.
_ROWS = 40
# Characters of the names of rows, and of a column in which no number is broken.
_NAME_WIDTH, _COLUMN_WIDTH = 18, 11


@click.command()
@runs_option()
@path_option("--out", "Folder for the files.", LEADERBOARDS, name="target")
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
    # Read when NumPy is imported, here and in the processes, which share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    jobs = jobs or os.cpu_count() or 1
    with _without_collector():
        result = aims.api.report(runs, out=target, against=against, data=data, title=title, jobs=jobs)
        if as_json:
            print_json(result.as_json())
        else:
            _print_all(result, runs, target, against)
    if strict and result.left_out:
        raise AimsError(f"run folders left out: {len(result.left_out)} (--strict); the files are written")


@contextmanager
def _without_collector() -> Iterator[None]:
    """Does not look for cycles, a tenth of the time: millions of objects live until the report is written."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _print_all(result: ReportResult, runs: Path, target: Path, against: str | None) -> None:
    from aims.reports.paper.layout import paper_table

    for table in result.comparisons:
        _print_comparison(table)
    for filled in result.table1:
        if any(cell.result and cell.cell.published for cell in filled.cells.values()):
            described = paper_table(filled)
            out.print(Text(f"{described.name}. {described.title}"))
            _print_table(described)
            for note in (*described.footnotes, *described.notes):
                out.print(Text(note))
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
    from aims.reports.comparison.captions import marks_note, more_notes
    from aims.reports.comparison.descriptions import scores_table

    described = scores_table(table)
    out.print(Text(f"{described.title}; {described.caption.rstrip('.')}"))
    _print_table(described)
    if len(table.rows) > _ROWS:
        out.print(Text(f"and {len(table.rows) - _ROWS} more rows, in comparison.md and on the page"))
    for note in (*marks_note(table), *more_notes(table), *table.notes):
        out.print(Text(note))
    if table.verdicts:
        out.print(Text("The tests behind the marks: comparison.md, paired.csv and the page."))
    out.print()


def _print_table(described: Described) -> None:
    """As many columns as fit beside each other, and the others below."""
    fit = max(1, (out.width - _NAME_WIDTH) // _COLUMN_WIDTH)
    for start in range(0, len(described.columns), fit):
        columns = described.columns[start : start + fit]
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        # In a narrow terminal names go on in the next line: cut short they could be another's.
        table.add_column("mIoU, %", overflow="fold")
        for column in columns:
            heading = "\n".join(filter(None, [column.group, column.name]))
            table.add_column(heading, justify="right", overflow="fold")
        rows = described.rows[:_ROWS]
        for row, following in zip_longest(rows, rows[1:]):
            last = following is not None and following.block != row.block
            shown = (_shown(cell) for cell in row.cells[start : start + fit])
            table.add_row(Text(row.label), *shown, end_section=last)
        out.print(table)


def _shown(cell: Cell) -> Text:
    value, *below = cell.lines or ("",)
    style = {"best": "bold", "second": "underline"}.get(cell.rank, "")
    below += [cell.warning] if cell.warning else []
    text = " ".join(filter(None, [value, cell.mark]))
    return Text.assemble((text, style), *((f"\n{line}", "dim") for line in below))
