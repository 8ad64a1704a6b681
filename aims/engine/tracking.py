"""Sends the progress of a run to an experiment tracker. The run itself is the same with and without one."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any

import msgspec

from aims.core.curve import EpochLine
from aims.core.errors import AimsError
from aims.core.files import write_json
from aims.core.records import SAMPLES, TRACKING, RunRecord
from aims.core.structs import read_struct
from aims.engine.job import Job
from aims.engine.stopping import Stopped
from aims.engine.trackers import Tracker, find_tracker
from aims.engine.train import RunObserver

log = logging.getLogger(__name__)

# Of a split, in an `EpochLine`.
_SCORES = ("miou", "dice", "loss")


class _Known(msgspec.Struct, frozen=True):
    """The content of tracking.json: the identifiers of the run in the trackers that have followed it."""

    runs: dict[str, str]


@contextmanager
def tracking(job: Job, observer: RunObserver) -> Iterator[RunObserver]:
    """Yields an observer that also tells the job's tracker; `observer` itself if the job has none.

    Only the main process tells the tracker, and goes on without it, with a warning, should it fail later.

    Raises:
        AimsError: the tracker cannot be started.
    """
    if job.track is None or not job.distributed.is_main:
        yield observer
        return
    tracked = _Tracked(job, observer, find_tracker(job.track, job.folder))
    try:
        yield tracked
    except Stopped:
        tracked.close(ok=True)
        raise
    except BaseException:
        tracked.close(ok=False)
        raise
    tracked.close(ok=True)


class _Tracked(RunObserver):
    """Passes everything on to another observer, and tells a tracker."""

    def __init__(self, job: Job, observer: RunObserver, tracker: Tracker) -> None:
        self.job, self.observer, self.tracker = job, observer, tracker
        self.step = 0
        # Whether the tracker runs: not before the first number, and no more after a failure.
        self.started = self.failed = False

    def stage(self, name: str, total: int, done: int = 0) -> None:
        if name == "train":
            self.step = done
            self._start()
        self.observer.stage(name, total, done)

    def advance(self, count: int = 1, *, loss: float | None = None) -> None:
        if loss is not None:
            self.step += count
            self._log({"train/loss": loss})
        self.observer.advance(count, loss=loss)

    def epoch(self, line: EpochLine) -> None:
        # The start is scored before the stage "train".
        self._start()
        named = {"train/epoch": line.epoch, "train/epoch_loss": line.loss, "train/lr": line.lr}
        for split in ("val", "test"):
            named |= {f"{split}/{score}": getattr(line, f"{split}_{score}") for score in _SCORES}
        self._log(named)
        self.observer.epoch(line)

    def finished(self, record: RunRecord) -> None:
        content, config = record.content, self.job.config
        if not self.started:
            # Nothing was trained, or not in this process.
            images = (content.images or {}).get("train", 0)
            self.step = config.epochs * -(-images // config.batch_size) if config.epochs else 0
            self._start()
        scores = {f"final/{name}": value for name, value in msgspec.to_builtins(record.scores).items()}
        scores |= {"final/seconds": content.seconds, "final/peak_memory_bytes": content.peak_memory_bytes}
        self._log(scores)
        self._tell(lambda: self.tracker.picture(record.path / SAMPLES, self.step))
        self.observer.finished(record)

    def close(self, *, ok: bool) -> None:
        if self.started:
            self._tell(lambda: self.tracker.finish(ok=ok))

    def _start(self) -> None:
        if self.started:
            return
        path, name = self.job.folder / TRACKING, self.tracker.name
        known: dict[str, str] = {}
        if path.is_file():
            known = read_struct(path, _Known, what="a list of tracked runs").runs
        try:
            with _nothing_on_stdout():
                found = self.tracker.start(known.get(name), self.step + 1)
                if name not in known:
                    self.tracker.configure(_settings(self.job))
        # Trackers raise what their servers and stores do.
        except Exception as error:
            raise AimsError(
                f"--track {name} cannot be started ({_line(error)}); mend that, or leave --track out"
            ) from error
        self.started = True
        write_json(path, {"runs": {**known, name: found}})

    def _log(self, values: dict[str, Any]) -> None:
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        self._tell(lambda: self.tracker.log(numbers, self.step))

    def _tell(self, what: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            with _nothing_on_stdout():
                what()
        except Exception as error:
            self.failed = True
            log.warning("--track %s has failed (%s); the run goes on", self.tracker.name, _line(error))


def _nothing_on_stdout() -> AbstractContextManager[Any]:
    # Stdout is for results, such as the record of `--json`, and some trackers print there.
    return redirect_stdout(sys.stderr)


def _settings(job: Job) -> dict[str, Any]:
    """Returns the configuration as the flat mapping of numbers and texts that trackers take."""
    values = {**dataclasses.asdict(job.config), "device": str(job.device)}
    options = values.pop("options")
    return {
        name: value if isinstance(value, int | float | str) else str(value)
        for name, value in {**values, **options}.items()
        if value is not None
    }


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
