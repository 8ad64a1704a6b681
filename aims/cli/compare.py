"""`aims compare RUN RUN`: the paired test of two runs, and a picture of where they differ."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from aims.cli._options import MODEL, data_option, json_option, path_option
from aims.cli._terminal import err, out, print_json
from aims.core.errors import InputError


@click.command()
@click.argument("first", type=MODEL)
@click.argument("second", type=MODEL)
@data_option("A converted folder, or a folder of several: for the picture.")
@path_option("--out", "The picture.", "comparison.png", name="target")
@json_option()
def command(first: Path, second: Path, data: Path, target: Path, as_json: bool) -> None:
    """Test two runs against each other, and show where they differ.

    Both must have scored the same test instances. The test is a sign-flip permutation test over images
    (or groups of images), the interval a paired bootstrap. The picture shows the instances on which the
    first run is better by most, then those on which the second is.
    """
    from aims.reports.figures.pair import compare_runs, draw_pair, labels
    from aims.reports.tables.marks import verdict_words
    from aims.reports.tables.numbers import interval, p_value, percent, points

    pair = compare_runs(first, second)
    try:
        draw_pair(target, pair, data)
        drawn = True
    except InputError as error:
        err.print(f"no picture: {error}", markup=False)
        drawn = False
    if as_json:
        print_json({**pair.as_json(), "picture": str(target) if drawn else None})
        return
    table = Table(show_header=False)
    for label, run, ends, better in zip(labels(pair), pair.runs, pair.intervals, pair.better, strict=True):
        score = f"{percent(run.miou)} % {interval(ends)}".rstrip()
        table.add_row(label, f"{score}, better on {better:,} of {pair.instances:,}")
    test = pair.difference
    value = " ".join(filter(None, [points(test.value), interval(test.interval, points)]))
    table.add_row("difference", f"{value}, n {test.groups}, p {p_value(test.p)}")
    table.add_row("verdict", verdict_words(test))
    out.print(table)
    if drawn:
        out.print(f"where they differ most: {target}", markup=False)
