"""`aims report`: the tables, from the finished runs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from aims.cli._terminal import err, out, print_json

_COLUMNS = (
    *("mIoU, %", "scratch\npublished", "scratch\nours", "SimCMF\npublished", "SimCMF\nours"),
    *("disc\nours", "oracle-\ndisc\nours"),
)


@click.command()
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs."
)
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path),
    default=Path("leaderboards"),
    show_default=True,
    help="Folder for the files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(runs: Path, target: Path, as_json: bool) -> None:
    """Write the tables from the finished runs.

    They are Table 1 beside the paper's numbers (Markdown, CSV, LaTeX) and the list of all runs.
    A cell without a run stays empty. Results of different protocols, backbones or weights never share a
    table.
    """
    from aims.report import plain_rows, title, write_report

    result = write_report(runs, target)
    if as_json:
        print_json(result.as_json())
        return
    for section in result.sections:
        out.print(Text(title(section.condition)))
        table = Table(show_lines=True)
        for k, name in enumerate(_COLUMNS):
            table.add_column(name, justify="right" if k else "left")
        for row in plain_rows(section):
            table.add_row(*(Text(cell) for cell in row))
        out.print(table)
        for note in (*section.notes, *section.footnotes, section.floor_note):
            out.print(Text(note))
    if not result.results:
        out.print(Text(f"{runs} holds no finished run: our cells are empty"))
    for item in result.left_out:
        err.print(Text(f"left out: {item.folder}: {item.reason}"))
    out.print(Text("written: " + ", ".join(str(path) for path in result.written)))
