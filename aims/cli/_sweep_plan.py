"""The output of `aims sweep --dry-run`: the runs, with estimated time and disk space of the missing ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from aims.cli._sweep_display import count_runs, duration
from aims.cli._terminal import out

if TYPE_CHECKING:
    from aims.cli._sweep_engine import EngineOptions
    from aims.suites.estimate import Estimate, Total
    from aims.suites.plan import PlannedRun


def estimate_missing(
    planned: Sequence[PlannedRun], runs: Path, where: EngineOptions
) -> tuple[dict[str, Estimate], Total]:
    """Estimates time and disk space of the runs that are not finished.

    Args:
        planned: all runs of the sweep.
        runs: folder of runs; the estimates come from its finished runs of the same kind.
        where: where the runs will be executed.

    Returns:
        The estimate of each missing run by name, and their total.
    """
    from aims.suites.estimate import estimate, total

    missing = [run for run in planned if run.record is None]
    found = estimate(missing, runs, where.kind, _Trained())
    named = {run.config.run_name: item for run, item in zip(missing, found, strict=True)}
    return named, total(found, where.at_a_time(len(missing)))


class _Trained:
    """Counts trained parameters from shapes, once for all seeds and learning rates of a model."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}

    def __call__(self, run: PlannedRun) -> int:
        # Imported here: torch takes seconds.
        from aims.methods import build_shapes, count_parameters, has_model

        config = run.config
        if not has_model(config.method):
            return 0
        key = (config.method, config.tuning, config.backbone, run.channels, config.options_text)
        if key not in self.counts:
            shapes = build_shapes(
                method=config.method,
                tuning=config.tuning,
                backbone=config.backbone,
                channels=run.channels,
                options=config.options,
            )
            self.counts[key] = count_parameters(shapes).trainable
        return self.counts[key]


def print_plan(planned: Sequence[PlannedRun], estimates: dict[str, Estimate], total: Total) -> None:
    """Prints a line for each run and one for all of them."""
    for run in planned:
        name = run.config.run_name
        item = estimates.get(name)
        time, disk = ("", "") if item is None else (_time(item), _disk(item))
        state = "finished" if item is None else "missing"
        out.print(f"{state:<8}  {time:>12}  {disk:>12}  {name}", markup=False)
    if total.runs:
        out.print(f"{count_runs(total.runs)} missing: {_all_times(total)}; {_all_disk(total, estimates)}")


def _time(item: Estimate) -> str:
    return "time unknown" if item.seconds is None else duration(item.seconds)


def _disk(item: Estimate) -> str:
    return decimal(item.disk_bytes) if item.finished else f"> {decimal(item.disk_bytes)}"


def _all_times(total: Total) -> str:
    if total.unknown == total.runs:
        return "time unknown, as no run of the kind is finished yet"
    more = f", and {count_runs(total.unknown)} of unknown time" if total.unknown else ""
    return f"{duration(total.seconds)} one after the other{more}"


def _all_disk(total: Total, estimates: dict[str, Estimate]) -> str:
    least = "" if all(item.finished for item in estimates.values()) else "at least "
    more = f", while they run up to {decimal(total.resume_bytes)} more" if total.resume_bytes else ""
    return f"{least}{decimal(total.disk_bytes)} on disk{more}"


def estimate_json(item: Estimate | None) -> dict[str, Any] | None:
    """Returns the estimate of one run as JSON; None for a finished one."""
    return None if item is None else dataclasses.asdict(item)
