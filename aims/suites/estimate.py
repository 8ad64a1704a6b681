"""What runs will take, as far as finished runs of the same kind tell: nothing is guessed."""

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

#: What changes the numbers of a run, but not what it takes. Of the modality the channels count.
_FREE = ("seed", "lr", "weights", "modality", "options")
# Beside the parameters a checkpoint holds Adam's two moments; float32.
_PARAMETER_BYTES, _RESUME_BYTES = 4, 3 * 4


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run will take.

    Attributes:
        seconds: median of finished runs of its kind; None where there are none.
        disk_bytes: what it leaves: their median; without any the trained parameters alone, so at least that.
        resume_bytes: what its checkpoint takes more until it is finished.
        finished: how many runs of its kind are finished.
    """

    seconds: float | None
    disk_bytes: int
    resume_bytes: int
    finished: int


@dataclass(frozen=True, kw_only=True)
class Total:
    """What all runs will take that are not finished.

    Attributes:
        runs: how many there are.
        seconds: of those of which it is known, one after the other.
        unknown: of how many it is not known.
        disk_bytes: what they leave; at least that, if any has no finished run of its kind.
        resume_bytes: what checkpoints take more at most, with so many runs at a time.
    """

    runs: int
    seconds: float
    unknown: int
    disk_bytes: int
    resume_bytes: int


def estimate(
    missing: Sequence[PlannedRun], runs: Path, device: str, trained: Callable[[PlannedRun], int]
) -> list[Estimate]:
    """Estimates runs.

    Args:
        missing: the runs.
        runs: folder of runs, where finished ones are looked for.
        device: kind of the device that they will be made on, "cpu" or "cuda": others tell no time.
        trained: the number of a run's trained parameters.
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
        # What has no model is made on the CPU.
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
    """Adds estimates up, for so many runs at a time."""
    largest = sorted((item.resume_bytes for item in estimates), reverse=True)[:jobs]
    return Total(
        runs=len(estimates),
        seconds=sum(item.seconds for item in estimates if item.seconds is not None),
        unknown=sum(item.seconds is None for item in estimates),
        disk_bytes=sum(item.disk_bytes for item in estimates),
        # A checkpoint is written whole beside the one before.
        resume_bytes=2 * sum(largest),
    )


def _finished(runs: Path) -> Iterable[RunRecord]:
    for folder in run_folders(runs) if runs.is_dir() else ():
        try:
            yield RunRecord.load(folder)
        except AimsError:
            continue


def _kind(config: RunConfig, channels: int) -> Any:
    fields = {name: value for name, value in dataclasses.asdict(config).items() if name not in _FREE}
    return channels, config.options_text, *fields.items()


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
