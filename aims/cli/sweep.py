"""`aims sweep SUITE`: make the runs of a suite that are missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from aims.cli._terminal import err, out, print_json, warn
from aims.core.config import NO_TUNING, PRECISIONS
from aims.core.errors import AimsError, InputError
from aims.core.vocabulary import PROTOCOLS

if TYPE_CHECKING:
    from aims.suites.grid import Entry, Fields
    from aims.suites.local import Outcome, SweepObserver
    from aims.suites.plan import PlannedRun

_EPILOG = """
\b
SUITE is the name of one that comes with AIMS (embedded, real-samples, smoke) or a TOML file of your
own: docs/suites.md. A run that is finished is not made again, one that was stopped goes on, and one
that fails stops no other: the same command does what is left.
\b
Exit code 0: all runs are finished; 1: some failed; 2: the suite or its data cannot be used;
130: stopped by Ctrl-C, and everything is saved.
"""


@click.command(epilog=_EPILOG)
@click.argument("suite")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("data/aims"),
    show_default=True,
    help="A converted folder, or a folder of several.",
)
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs."
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at a time.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--only", metavar="KEY=VALUE", multiple=True, help="Only such runs; a key twice: either.")
@click.option(
    "--make-data", is_flag=True, help="First make the datasets that are missing, as the suite says."
)
@click.option("--raw", type=click.Path(path_type=Path), help="Raw recordings.  [default: raw, beside --data]")
@click.option("--dry-run", is_flag=True, help="List the runs and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print all runs and how they ended as JSON.")
def command(
    suite: str,
    data: Path,
    runs: Path,
    jobs: int,
    device: str,
    only: tuple[str, ...],
    make_data: bool,
    raw: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run what a suite is missing."""
    # Imported here: torch takes seconds.
    from aims.cli._suite_data import Folders, make_missing, require_datasets
    from aims.suites.plan import plan_runs
    from aims.suites.suite import find_suite, read_suite

    fields = suite_fields()
    read = read_suite(find_suite(suite), fields)
    entries = _choose(read.entries, fields, only)
    folders = Folders(data=data, raw=data.parent / "raw" if raw is None else raw)
    if make_data and not dry_run:
        make_missing(read, entries, folders)
    require_datasets(read, entries, folders, suite)
    planned = plan_runs(entries, data=data, runs=runs, device=device)
    missing = [run for run in planned if run.record is None]
    before = len(planned) - len(missing)
    err.print(f"{read.title}: {_runs(len(planned))}, {before} finished already", markup=False, soft_wrap=True)
    if dry_run:
        _print_plan(planned, as_json)
        return
    outcomes = _make(missing, jobs)
    if as_json:
        print_json({"suite": str(read.path), "title": read.title, "runs": _as_json(planned, outcomes)})
    else:
        _print_summary(planned, outcomes, runs)
    _raise_unless_all(planned, outcomes)


def suite_fields() -> Fields:
    """What may stand in a suite: the registries' names, and the options of methods and tunings."""
    from aims.engine.losses import LOSSES
    from aims.methods import BACKBONES, METHODS, TUNINGS, all_options
    from aims.suites.grid import Fields

    names = {
        "method": [*METHODS],
        "tuning": [*TUNINGS, NO_TUNING],
        "backbone": [*BACKBONES],
        "loss": [*LOSSES],
        "protocol": [*PROTOCOLS],
        "precision": PRECISIONS,
    }
    return Fields(names=names, options=[name.replace("_", "-") for name in all_options()])


def _choose(entries: Sequence[Entry], fields: Fields, only: Sequence[str]) -> list[Entry]:
    wanted = fields.parse(only, "--only")
    chosen = [entry for entry in entries if entry.matches(wanted)]
    if not chosen:
        raise InputError(f"--only {' --only '.join(only)}: none of the {_runs(len(entries))} is like that")
    return chosen


def _make(missing: Sequence[PlannedRun], jobs: int) -> Mapping[str, Outcome]:
    from aims.suites.local import run_here

    with _display({run.config.run_name: run for run in missing}) as observer:
        tasks = [(run.config.run_name, run.arguments) for run in missing]
        return {outcome.task.name: outcome for outcome in run_here(tasks, jobs=jobs, observer=observer)}


def _raise_unless_all(planned: Sequence[PlannedRun], outcomes: Mapping[str, Outcome]) -> None:
    from aims.engine.train import Stopped

    states = [_state(run, outcomes) for run in planned]
    if "stopped" in states or "missing" in states:
        left = states.count("stopped") + states.count("missing")
        raise Stopped(f"stopped; {_runs(left)} to go, nothing is lost: the same command goes on from here")
    if "failed" in states:
        raise AimsError(
            f"{states.count('failed')} of {_runs(len(states))} failed; the same command tries again"
        )


def _state(run: PlannedRun, outcomes: Mapping[str, Outcome]) -> str:
    if run.record is not None:
        return "finished"
    outcome = outcomes.get(run.config.run_name)
    return "missing" if outcome is None else outcome.status


def _as_json(planned: Sequence[PlannedRun], outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    lines = []
    for run in planned:
        outcome = outcomes.get(run.config.run_name)
        record = run.record or (outcome.record if outcome else None)
        lines.append(
            {
                "run": run.config.run_name,
                "status": _state(run, outcomes),
                "before": run.record is not None,
                "miou": record["scores"]["miou"] if record else None,
                "seconds": record["seconds"] if record else None,
                "reason": (outcome.reason or None) if outcome else None,
                "command": run.command,
            }
        )
    return lines


def _print_plan(planned: Sequence[PlannedRun], as_json: bool) -> None:
    if as_json:
        print_json({"runs": _as_json(planned, {})})
        return
    for run in planned:
        out.print(f"{_state(run, {}):<8}  {run.config.run_name}", markup=False)


def _print_summary(planned: Sequence[PlannedRun], outcomes: Mapping[str, Outcome], runs: Path) -> None:
    states = [_state(run, outcomes) for run in planned]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    out.print(f"{_runs(len(planned))}: {counts}", markup=False)
    for run in planned:
        outcome = outcomes.get(run.config.run_name)
        if outcome is not None and outcome.status == "failed":
            out.print(f"failed: {outcome.reason}\n  {run.command}", markup=False)
    if "finished" in states:
        out.print(f"tables: aims report --runs {runs}", markup=False)


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


class _Bar(Progress):
    """One bar for the sweep, and below it a line for each run that is being made."""

    def __init__(self) -> None:
        self.now: dict[str, str] = {}
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        super().__init__(*columns, console=err, transient=True, disable=not err.is_terminal)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        # A copy: the display is drawn by a thread of its own.
        for text in [*self.now.values()]:
            yield Text(f"  {text}", no_wrap=True, overflow="ellipsis")


@contextmanager
def _display(runs: Mapping[str, PlannedRun]) -> Iterator[SweepObserver]:
    """Shows the bar, and prints a line for every run that has ended."""
    from aims.suites.local import SweepObserver, Task

    class Display(SweepObserver):
        def __init__(self, bar: _Bar) -> None:
            self.bar, self.count = bar, 0
            self.task = bar.add_task("runs", total=len(runs))

        def started(self, task: Task) -> None:
            self.progress(task, "starts")

        def progress(self, task: Task, text: str) -> None:
            self.bar.now[task.name] = f"{runs[task.name].words}: {text}"

        def warning(self, task: Task, text: str) -> None:
            warn(f"{runs[task.name].words}: {text}")

        def ended(self, outcome: Outcome) -> None:
            self.bar.now.pop(outcome.task.name, None)
            self.count += outcome.status != "stopped"
            self.bar.update(self.task, completed=self.count)
            how = f"failed: {outcome.reason}" if outcome.status == "failed" else "stopped"
            if outcome.record is not None:
                miou, seconds = outcome.record["scores"]["miou"], outcome.record["seconds"]
                how = f"mIoU {100 * miou:.2f} %, {seconds:.0f} s"
            number = f"{self.count:>{len(str(len(runs)))}}/{len(runs)}"
            err.print(f"{number}  {runs[outcome.task.name].words}: {how}", markup=False, soft_wrap=True)

        def stopping(self, running: int) -> None:
            err.print(f"stopping: {_runs(running)} to be saved ...", markup=False)

    with _Bar() as bar:
        yield Display(bar)
