"""From the entries of a suite to run configurations, and the records of finished runs."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aims.core.config import NO_TUNING, RunConfig, told_apart
from aims.core.errors import InputError
from aims.core.records import RunRecord
from aims.engine.plan import plan
from aims.engine.trackers import require_tracker
from aims.suites.grid import Entry


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One resolved run of a suite.

    Attributes:
        entry: entry in the suite.
        config: configuration of the run.
        channels: number of channels of its modality.
        folder: folder of the run, which may not exist yet.
        record: record of the run; None if it is not finished.
        arguments: keyword arguments for `aims.engine.plan.plan`.
        told: the settings that tell it from other runs of its method on its data, in words.
    """

    entry: Entry
    config: RunConfig
    channels: int
    folder: Path
    record: RunRecord | None
    arguments: Mapping[str, Any]
    told: Sequence[str] = ()

    @property
    def command(self) -> str:
        """The command line that computes this run, with its folders."""
        folders = ("--data", str(self.arguments["data"]), "--runs", str(self.arguments["runs"]))
        return f"{self.entry.command} {shlex.join(folders)}"

    @property
    def words(self) -> str:
        """Short description of the run for people."""
        config = self.config
        tuning = "" if config.tuning == NO_TUNING else f" {config.tuning}"
        changed = f" ({config.options_text})" if config.options else ""
        parts = (f"{config.method}{tuning}{changed}", config.data, *self.told, f"seed {config.seed}")
        return ", ".join(parts)


def plan_runs(
    entries: Sequence[Entry],
    *,
    data: Path,
    runs: Path,
    device: str,
    trust: bool = False,
    track: str | None = None,
) -> list[PlannedRun]:
    """Resolves the entries of a suite, without writing anything.

    Args:
        entries: runs as written in the suite.
        data: a converted dataset, or a folder of several.
        runs: folder of runs.
        device: "auto", "cpu", "cuda" or "cuda:N".
        trust: whether datasets are taken as they are, without being verified.
        track: experiment tracker to tell of the runs; None for none.

    Raises:
        InputError: an entry cannot be run, or two entries are the same run; the message names the table.
    """
    if track is not None:
        # Here, so that the message names no entry of the suite.
        require_tracker(track)
    # One `plan`, which reads weights, serves all seeds and rates: nothing else depends on them.
    resolved: dict[frozenset[Any], tuple[RunConfig, int]] = {}
    first: dict[str, Entry] = {}
    planned = []
    for entry in entries:
        arguments = {
            **entry.arguments,
            "data": data,
            "runs": runs,
            "device": device,
            "trust": trust,
            "track": track,
        }
        # True stands for any seed or rate, so that only their presence counts.
        key = frozenset((name, name in ("seed", "lr") or value) for name, value in entry.fields.items())
        try:
            if key not in resolved:
                job = plan(**arguments)
                resolved[key] = job.config, job.modality.channels or 0
            config, channels = resolved[key]
            lr = arguments.get("lr", config.lr) if config.epochs else 0.0
            config = dataclasses.replace(config, seed=arguments.get("seed", config.seed), lr=lr)
        except InputError as error:
            raise InputError(f"{entry.where}: {error}") from None
        earlier = first.setdefault(config.run_name, entry)
        if earlier is not entry:
            raise InputError(f"{entry.where}: `{entry.command}` is the same run as `{earlier.command}`")
        folder = runs / config.run_name
        planned.append(
            PlannedRun(
                entry=entry,
                config=config,
                channels=channels,
                folder=folder,
                record=finished(folder),
                arguments=arguments,
            )
        )
    told = told_apart(
        [run.config for run in planned], lambda config: (config.method, config.tuning, config.data)
    )
    return [dataclasses.replace(run, told=words) for run, words in zip(planned, told, strict=True)]


def finished(folder: Path) -> RunRecord | None:
    """Returns the record of a finished run; None if it is absent, unfinished or unreadable."""
    try:
        return RunRecord.load(folder)
    except InputError:
        return None
