"""`aims watch`: the runs of a folder, live."""

from __future__ import annotations

import time
from pathlib import Path

import click

from aims.api import RUNS
from aims.cli._options import PATH, json_option
from aims.cli._terminal import Terminal, print_json


@click.command()
@click.argument("runs", type=PATH, default=RUNS)
@click.option("--once", is_flag=True, help="Print once and end; so it is where stdout is no terminal.")
@click.option(
    "--every",
    type=click.FloatRange(0.2),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Look again after so many seconds.",
)
@json_option("Print once, as JSON.")
def command(runs: Path, once: bool, every: float, as_json: bool) -> None:
    """Watch the runs of a folder: progress, losses, scores, memory.

    RUNS is a folder of runs, or one run's. Everything is read from the files that runs write, so that it also
    shows runs of other machines on a shared disk; nothing is changed. Ctrl-C ends it, and no run.
    """
    # Imported here: they are not needed for the help page.
    from rich.live import Live

    from aims.cli._watch_display import Overview
    from aims.engine.watching import Watcher

    watcher = Watcher(runs)
    found = watcher.look()
    if as_json:
        print_json({"runs": [run.as_json() for run in found]})
        return
    console = Terminal(highlight=False)
    if once or not console.is_terminal:
        console.print(Overview(found))
        return
    with Live(Overview(found, console.height), console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(every)
                live.update(Overview(watcher.look(), console.height), refresh=True)
        except KeyboardInterrupt:
            pass
    console.print(Overview(watcher.look(), console.height))
