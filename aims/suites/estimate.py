"""Estimates of time and disk space of runs, from finished runs of the same kind only."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aims.core.config import NO_MODEL, RunConfig
from aims.core.errors import AimsError
from aims.core.records import RunRecord, run_folders
from aims.suites.plan import PlannedRun

#: Settings that change results but not costs. Of a modality only the number of channels matters.
_FREE = ("seed", "lr", "weights", "modality", "options")
# A checkpoint holds parameters and Adam's two moments, all in float32.
_PARAMETER_BYTES, _RESUME_BYTES = 4, 3 * 4


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The estimated cost of a run.

    Attributes:
        seconds: median duration of finished runs of its kind; None if there are none.
        disk_bytes: median size of finished runs of its kind; if there are none, a lower bound: the size of
            the trained parameters.
        resume_bytes: additional size of its checkpoint while it is unfinished.
        finished: number of finished runs of its kind.
    """

    seconds: float | None
    disk_bytes: int
    resume_bytes: int
    finished: int


@dataclass(frozen=True, kw_only=True)
class Total:
    """The estimated cost of all unfinished runs.

    Attributes:
        runs: number of unfinished runs.
        seconds: total duration of those with an estimate, one after the other.
        unknown: number of runs without an estimate of their duration.
        disk_bytes: total size; a lower bound if any run has no finished run of its kind.
        resume_bytes: largest additional size of checkpoints at any time.
    """

    runs: int
    seconds: float
    unknown: int
    disk_bytes: int
    resume_bytes: int


def estimate(
    missing: Sequence[PlannedRun], runs: Path, device: str, trained: Callable[[PlannedRun], int]
) -> list[Estimate]:
    """Estimates the cost of each run.

    Args:
        missing: runs to estimate.
        runs: folder of runs with the finished ones.
        device: type of the device of the new runs, "cpu" or "cuda"; only durations on it are used.
        trained: returns the number of trained parameters of a run.
    """
    timed: dict[Any, list[float]] = {}
    sizes: dict[Any, list[int]] = {}
    for record in _finished(runs):
        content = record.content
        streams = content.dataset.streams or {} if content.dataset else {}
        key = _kind(record.config, sum(stream.channels for stream in streams.values()))
        sizes.setdefault(key, []).append(_folder_bytes(record.path))
        if content.hardware and content.seconds is not None:
            timed.setdefault((content.hardware.device, key), []).append(content.seconds)
    estimates = []
    for run in missing:
        key = _kind(run.config, run.channels)
        # Runs without a model are always computed on the CPU.
        seconds = timed.get(("cpu" if run.config.backbone == NO_MODEL else device, key))
        parameters = trained(run)
        estimates.append(
            Estimate(
                seconds=statistics.median(seconds) if seconds else None,
                disk_bytes=int(statistics.median(sizes.get(key, [_PARAMETER_BYTES * parameters]))),
                resume_bytes=_RESUME_BYTES * parameters,
                finished=len(sizes.get(key, ())),
            )
        )
    return estimates


def total(estimates: Sequence[Estimate], jobs: int) -> Total:
    """Sums estimates, with `jobs` runs at a time."""
    largest = sorted((item.resume_bytes for item in estimates), reverse=True)[:jobs]
    return Total(
        runs=len(estimates),
        seconds=sum(item.seconds for item in estimates if item.seconds is not None),
        unknown=sum(item.seconds is None for item in estimates),
        disk_bytes=sum(item.disk_bytes for item in estimates),
        # Twice, because a new checkpoint is complete before it replaces the old one.
        resume_bytes=2 * sum(largest),
    )


def _finished(runs: Path) -> Iterable[RunRecord]:
    for folder in run_folders(runs) if runs.is_dir() else ():
        try:
            yield RunRecord.load(folder)
        except AimsError:
            # Unfinished and unreadable runs give no estimate.
            continue


def _kind(config: RunConfig, channels: int) -> Any:
    fields = {name: value for name, value in dataclasses.asdict(config).items() if name not in _FREE}
    return channels, config.options_text, *fields.items()


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
