"""`aims demo`: the whole job on two small sets, with the commands that it consists of."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from aims.cli._options import path_option
from aims.cli._terminal import err, out
from aims.core.errors import InputError

#: More runs at a time than this share the work of few cores, and each takes a gigabyte.
_MOST_JOBS = 4


@click.command()
@path_option("--out", "Folder to make.  [default: demo; demo-quick with --quick]", name="folder")
@click.option("--quick", is_flag=True, help="About a minute: one epoch on a few images; scores mean nothing.")
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time.  [default: one a core, at most 4]")
def command(folder: Path | None, quick: bool, jobs: int | None) -> None:
    """Convert, train, evaluate and report on two small sets, in minutes.

    Depth of made-up rooms is written in NYUv2's raw layout; real recordings of a fluorescence microscope
    come with AIMS, and are described by a TOML file as your own would be. Both are converted; scratch,
    random-embed, linear and simcmf are trained briefly from the sam-tiny that comes with AIMS, beside disc
    and zero-shot. Every step is a command of its own and is shown. Ctrl-C saves; the same command goes on.
    """
    from aims.cli import report, sweep

    folder = folder or Path("demo-quick" if quick else "demo")
    _require_own(folder)
    data, runs = folder / "aims", folder / "runs"
    jobs = jobs or max(1, min(_MOST_JOBS, os.cpu_count() or 1))
    _step(
        sweep.command,
        *("sweep", "smoke" if quick else "demo", "--make-data", "--jobs", str(jobs)),
        *("--data", str(data), "--runs", str(runs)),
    )
    _step(
        report.command,
        *("report", "--runs", str(runs), "--data", str(data), "--out", str(folder)),
        *("--title", "AIMS demo"),
    )
    out.print(
        f"\nOpen {folder / 'index.html'} in a browser. To go on with a sensor of your own:", markup=False
    )
    from aims.reports.page.page import NEXT_STEPS

    for _, words in NEXT_STEPS:
        out.print(f"  {words}", markup=False)
    for trained in sorted(runs.glob("nuclei-*-simcmf-*"))[:1]:
        out.print("To click on the demo's own pictures in a browser (extra `click`):", markup=False)
        words = shlex.join(["aims", "click", str(trained), "--data", str(data)])
        out.print(f"  {words}", markup=False, soft_wrap=True)


def _require_own(folder: Path) -> None:
    """Refuses a folder of something else: the report would write over files of the same names."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder with --out")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names and "made" not in names:
        raise InputError(f"{folder}: holds something else; give a new folder with --out")


def _step(what: click.Command, name: str, *arguments: str) -> None:
    """Shows a command and calls it, as if it had been typed."""
    err.print(f"$ {shlex.join(['aims', name, *arguments])}", markup=False, soft_wrap=True)
    what.main([*arguments], prog_name=f"aims {name}", standalone_mode=False)
