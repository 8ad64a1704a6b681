"""`aims sweep SUITE`: make the runs of a suite that are missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aims.cli._options import (
    data_option,
    device_option,
    json_option,
    path_option,
    runs_option,
    track_option,
    trust_option,
)
from aims.cli._sweep_display import count_runs, sweep_display
from aims.cli._sweep_engine import ENGINES, EngineOptions
from aims.cli._sweep_plan import estimate_json, estimate_missing, print_plan
from aims.cli._terminal import err, out, print_json
from aims.core.config import NO_TUNING, SETTINGS
from aims.core.errors import AimsError, InputError
from aims.engine.stopping import Stopped
from aims.suites.tasks import RETRIES

if TYPE_CHECKING:
    from aims.suites.grid import Entry, Fields
    from aims.suites.plan import PlannedRun
    from aims.suites.tasks import Outcome

_EPILOG = """
\b
SUITE is the name of one that comes with AIMS (embedded, real-sensors, smoke, table1 to table6, figure4
to figure7) or a TOML file of your own: docs/suites.md. A run that is finished is not made again, one
that was stopped goes on, and one that fails stops no other: the same command does what is left. One
whose process dies without a word (for lack of memory, most often) is tried again at the end; one that
fails by itself, as by a loss that is not finite, is not. One that another process makes is waited
for, and gone on with if that process dies; other runs come first.
\b
--engine ray makes the runs on a Ray cluster (the extra `ray`); a run whose node is lost goes on on
another one. The folders of --data and --runs must be storage that all nodes share, under one path.
\b
Exit code 0: all runs are finished; 1: some failed; 2: the suite or its data cannot be used;
130: stopped by Ctrl-C, and everything is saved.
"""


def _named_suites(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from aims.suites.suite import packaged_suites

    return [path.stem for path in packaged_suites() if path.stem.startswith(incomplete)]


@click.command(epilog=_EPILOG)
@click.argument("suite", shell_complete=_named_suites)
@data_option()
@runs_option()
@click.option("--jobs", type=click.IntRange(1), help="Runs at a time, on this machine.  [default: 1]")
@device_option()
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=RETRIES,
    show_default=True,
    help="How often a run is tried again that crashed.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="Where runs are made: on this machine, or on a Ray cluster.",
)
@click.option(
    "--address", help="Ray: of the cluster; auto or HOST:PORT.  [default: local, this machine's cores]"
)
@click.option("--cpus-per-run", type=click.IntRange(1), help="Ray: CPUs of each run.  [default: 1]")
@click.option(
    "--gpus-per-run",
    type=click.FloatRange(0),
    help="Ray: GPUs of each run; 0.5: two share one.  [default: 1 with --device cuda, else 0]",
)
@trust_option()
@track_option()
@click.option("--only", metavar="KEY=VALUE", multiple=True, help="Only such runs; a key twice: either.")
@click.option(
    "--make-data", is_flag=True, help="First make the datasets that are missing, as the suite says."
)
@path_option("--raw", "Raw recordings.  [default: raw, beside --data]")
@click.option(
    "--dry-run", is_flag=True, help="List the runs with the time and disk that they will take; write nothing."
)
@json_option("Print all runs and how they ended as JSON.")
def command(
    suite: str,
    data: Path,
    runs: Path,
    only: tuple[str, ...],
    make_data: bool,
    raw: Path | None,
    trust: bool,
    track: str | None,
    dry_run: bool,
    as_json: bool,
    **where_options: Any,
) -> None:
    """Run what a suite is missing."""
    # Imported here: torch takes seconds.
    from aims.cli._suite_data import Folders, make_missing, require_datasets, verify_datasets
    from aims.suites.plan import plan_runs
    from aims.suites.suite import find_suite, read_suite

    where = EngineOptions(**where_options)
    fields = suite_fields()
    read = read_suite(find_suite(suite), fields)
    entries = _choose(read.entries, fields, only)
    folders = Folders(data=data, raw=data.parent / "raw" if raw is None else raw)
    if make_data and not dry_run:
        make_missing(read, entries, folders)
    require_datasets(read, entries, folders, suite)
    planned = plan_runs(entries, data=data, runs=runs, device=where.planning_device, trust=trust, track=track)
    missing = [run for run in planned if run.record is None]
    before = len(planned) - len(missing)
    err.print(
        f"{read.title}: {count_runs(len(planned))}, {before} finished already", markup=False, soft_wrap=True
    )
    if dry_run:
        _print_plan(planned, runs, where, as_json)
        return
    if not trust:
        # Before runs side by side each do it.
        verify_datasets({run.config.dataset for run in missing}, data)
    outcomes = _make(missing, where)
    if as_json:
        print_json({"suite": str(read.path), "title": read.title, "runs": _as_json(planned, outcomes)})
    else:
        _print_summary(planned, outcomes, runs)
    _raise_unless_all(planned, outcomes)


def suite_fields() -> Fields:
    """What may stand in a suite: the registries' names, and the options of methods and tunings."""
    from aims.engine.losses import LOSSES
    from aims.methods import BACKBONES, METHODS, TUNINGS, all_options, read_any_option
    from aims.suites.grid import Fields

    registries: dict[str, Collection[str]] = {
        registry.kind: registry for registry in (METHODS, TUNINGS, BACKBONES, LOSSES)
    }
    names = {item.option: item.choices or registries.get(item.name, ()) for item in SETTINGS.values()}
    names["tuning"] = [*TUNINGS, NO_TUNING]
    options = {name.replace("_", "-"): partial(read_any_option, name) for name in all_options()}
    return Fields(names=names, options=options)


def _choose(entries: Sequence[Entry], fields: Fields, only: Sequence[str]) -> list[Entry]:
    wanted = fields.parse(only, "--only")
    chosen = [entry for entry in entries if entry.matches(wanted)]
    if not chosen:
        raise InputError(
            f"--only {' --only '.join(only)}: none of the {count_runs(len(entries))} is like that"
        )
    return chosen


def _make(missing: Sequence[PlannedRun], where: EngineOptions) -> Mapping[str, Outcome]:
    with sweep_display({run.config.run_name: run for run in missing}) as observer:
        return {outcome.task.name: outcome for outcome in where.make(missing, observer)}


def _raise_unless_all(planned: Sequence[PlannedRun], outcomes: Mapping[str, Outcome]) -> None:
    states = [_state(run, outcomes) for run in planned]
    if "stopped" in states or "missing" in states:
        left = states.count("stopped") + states.count("missing")
        raise Stopped(
            f"stopped; {count_runs(left)} to go, nothing is lost: the same command goes on from here"
        )
    if "failed" in states:
        raise AimsError(
            f"{states.count('failed')} of {count_runs(len(states))} failed; the same command tries again"
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
                "miou": record.scores.miou if record else None,
                "seconds": record.content.seconds if record else None,
                "reason": (outcome.reason or None) if outcome else None,
                "tries": outcome.tries if outcome else 0,
                "command": run.command,
            }
        )
    return lines


def _print_plan(planned: Sequence[PlannedRun], runs: Path, where: EngineOptions, as_json: bool) -> None:
    estimates, total = estimate_missing(planned, runs, where)
    if not as_json:
        print_plan(planned, estimates, total)
        return
    lines = [
        {**line, "expected": estimate_json(estimates.get(line["run"]))} for line in _as_json(planned, {})
    ]
    print_json({"runs": lines, "total": dataclasses.asdict(total)})


def _print_summary(planned: Sequence[PlannedRun], outcomes: Mapping[str, Outcome], runs: Path) -> None:
    states = [_state(run, outcomes) for run in planned]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    out.print(f"{count_runs(len(planned))}: {counts}", markup=False)
    for run in planned:
        outcome = outcomes.get(run.config.run_name)
        if outcome is not None and outcome.status == "failed":
            out.print(f"failed: {outcome.reason}\n  {run.command}", markup=False)
    if "finished" in states:
        out.print(f"tables: aims report --runs {runs}", markup=False)
