"""The state of runs, read from their files: nothing is written, and torch is not needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from aims.core.config import RunConfig
from aims.core.curve import EpochLine, best_epoch, largest_curve
from aims.core.errors import InputError
from aims.core.files import own_file
from aims.core.records import METRICS, RECORD, RESUME, SAMPLES, RunContent, read_content, run_folders
from aims.core.structs import read_lines
from aims.engine.lock import is_locked

#: States in the order in which they are shown. A run is "stopped" if no process works on it (it
#: goes on when it is asked for again), and "starting" before its record is written.
STATES = ("running", "starting", "stopped", "failed", "unreadable", "finished")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A run as its files show it.

    Attributes:
        path: folder of the run.
        state: one of `STATES`.
        content: content of run.json; None if there is none yet, or none that can be read.
        lines: lines of metrics.jsonl.
        epochs: finished epochs, with the part of the current one that is saved.
        seconds: time spent so far, in s; None if unknown.
        peak_bytes: peak memory of the first process so far; None if unknown.
        reason: why it failed or cannot be read; "" otherwise.
        changed: last change of its files, in s since 1970.
    """

    path: Path
    state: str
    content: RunContent | None = None
    lines: tuple[EpochLine, ...] = ()
    epochs: float = 0.0
    seconds: float | None = None
    peak_bytes: int | None = None
    reason: str = ""
    changed: float = 0.0

    @property
    def config(self) -> RunConfig | None:
        """The configuration; None without a record."""
        return None if self.content is None else self.content.config

    @property
    def score(self) -> tuple[str, float] | None:
        """The split and the mean IoU, 0..1: of the test for a finished run, else the best so far."""
        if self.content is None:
            return None
        if self.content.scores is not None:
            return "test", self.content.scores.miou
        split = self.content.selected_on or "val"
        best = best_epoch(self.lines, split)
        return None if best is None else (split, best[1])

    @property
    def seconds_left(self) -> float | None:
        """Estimated time to the end of the training, in s; None unless it runs and has progressed."""
        if self.state != "running" or self.config is None or not self.epochs or self.seconds is None:
            return None
        return self.seconds / self.epochs * max(0.0, self.config.epochs - self.epochs)

    @property
    def samples(self) -> Path | None:
        """The contact sheet; None before the run is finished."""
        path = self.path / SAMPLES
        return path if path.is_file() else None

    def as_json(self) -> dict[str, Any]:
        """Returns what is known as a JSON object."""
        config, score, last = self.config, self.score, self.lines[-1] if self.lines else None
        return {
            "run": self.path.name,
            "state": self.state,
            "reason": self.reason or None,
            "method": config and config.method,
            "modality": config and config.modality,
            "dataset": config and config.dataset,
            "epoch": round(self.epochs, 3),
            "epochs": config and config.epochs,
            "loss": last and last.loss,
            "lr": last and last.lr,
            "split": score and score[0],
            "miou": score and score[1],
            "peak_memory_bytes": self.peak_bytes,
            "seconds": self.seconds,
            "seconds_left": self.seconds_left,
            "samples": str(self.samples) if self.samples else None,
        }


class Watcher:
    """Reads the runs of a folder again and again; files that have not changed are not read twice.

    Args:
        folder: a folder of runs, or one run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[object, Watched]] = {}

    def look(self) -> list[Watched]:
        """Returns all runs: by state in the order of `STATES`, then those that changed last.

        Raises:
            InputError: there is no such folder.
        """
        folders = [self.folder] if (self.folder / RECORD).is_file() else run_folders(self.folder)
        found = [run for folder in folders if (run := self._look_at(folder)) is not None]
        return sorted(found, key=lambda run: (STATES.index(run.state), -run.changed, run.path.name))

    def _look_at(self, folder: Path) -> Watched | None:
        stamps = {name: _changed(folder / name) for name in (RECORD, METRICS, RESUME)}
        # The lock of a finished run tells nothing.
        key = (stamps, is_locked(folder))
        known = self._known.get(folder)
        if known is None or known[0] != key:
            run = _read(folder, locked=key[1], changed=max(stamps.values()))
            if run is None:
                return None
            known = self._known[folder] = key, run
        return known[1]


def _read(folder: Path, *, locked: bool, changed: float) -> Watched | None:
    """Reads a run; None if the folder is none."""
    if not (folder / RECORD).is_file():
        return Watched(path=folder, state="starting") if locked else None
    try:
        content = read_content(folder)
        largest = largest_curve(content.config.epochs)
        there = (folder / METRICS).is_file()
        lines = tuple(read_lines(folder / METRICS, EpochLine, largest=largest)) if there else ()
    except InputError as error:
        return Watched(path=folder, state="unreadable", reason=str(error), changed=changed)
    saved = _saved_state(folder / RESUME)
    state = ("running" if locked else "stopped") if content.status == "running" else content.status
    epochs = float(lines[-1].epoch) if lines else 0.0
    if content.status == "finished":
        epochs = float(content.config.epochs)
    elif images := (content.images or {}).get("train"):
        epochs += saved.get("step", 0) / -(-images // content.config.batch_size)
    peak = content.peak_memory_bytes
    return Watched(
        path=folder,
        state=state,
        content=content,
        lines=lines,
        epochs=epochs,
        seconds=content.seconds if content.seconds is not None else saved.get("seconds"),
        peak_bytes=peak if isinstance(peak, int) else saved.get("peak_bytes") or None,
        reason=(content.reason or "") if state == "failed" else "",
        changed=changed,
    )


def _saved_state(path: Path) -> Mapping[str, Any]:
    """Returns the training state of a checkpoint without its tensors; {} where there is none."""
    try:
        with safe_open(own_file(path), framework="numpy") as file:
            state = json.loads((file.metadata() or {})["state"])
    # It is replaced while it is read, or of another program: the display goes on without it.
    except (OSError, SafetensorError, KeyError, ValueError, InputError):
        return {}
    return state if isinstance(state, dict) else {}


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
