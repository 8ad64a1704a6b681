"""The display of a running sweep: a bar with counts and the time left, and a line for every run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Task as BarTask
from rich.text import Text

from aims.cli._terminal import err, warn

if TYPE_CHECKING:
    from aims.suites.plan import PlannedRun
    from aims.suites.tasks import Outcome, SweepObserver

# Assumed cost of a run that is evaluated without training, in epochs of training.
_EVALUATION = 0.5


def count_runs(count: int) -> str:
    """Formats a number of runs: "1 run", "3 runs"."""
    return f"{count} run{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Formats a duration: "42 s", "12 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class _TimeLeft:
    """Estimates the time left, assuming that every epoch of every run takes the same time.

    Args:
        costs: cost of each run by name, in epochs.
    """

    def __init__(self, costs: Mapping[str, float]) -> None:
        self.costs, self.began = costs, time.monotonic()
        # Finished share of each run, 0..1, and the share at its start: a resumed run begins above 0.
        self.done: dict[str, float] = {}
        self.first: dict[str, float] = {}

    def epoch(self, name: str, epoch: int, epochs: int) -> None:
        """Notes that a run begins an epoch."""
        self.done[name] = (epoch - 1) / epochs
        self.first.setdefault(name, self.done[name])

    def ended(self, name: str, *, finished: bool) -> None:
        """Notes that a run has ended; the time of a failed one does not count."""
        self.done[name] = 1.0
        self.first[name] = self.first.get(name, 0.0) if finished else 1.0

    def seconds(self) -> float | None:
        """Returns the seconds left; None before any run has progressed."""
        gained = sum(self.costs[name] * (done - self.first[name]) for name, done in self.done.items())
        rest = sum(cost * (1 - self.done.get(name, 0.0)) for name, cost in self.costs.items())
        return (time.monotonic() - self.began) * rest / gained if gained > 0 else None


class _Bar(Progress):
    """A bar for the sweep with a line below it for each run in progress."""

    def __init__(self) -> None:
        self.now: dict[str, str] = {}
        columns = (
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            _Left(),
        )
        super().__init__(*columns, console=err, transient=True, disable=not err.is_terminal)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        # A copy: rich draws in another thread while runs are added and removed.
        for text in [*self.now.values()]:
            yield Text(f"  {text}", no_wrap=True, overflow="ellipsis")


class _Left(TextColumn):
    """Column with the time left, counted down between updates."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: BarTask) -> Text:
        ends = task.fields["ends"]
        text = "" if ends is None else f"left {duration(max(0.0, ends - time.monotonic()))}"
        return Text(text, style="progress.remaining")


@contextmanager
def sweep_display(runs: Mapping[str, PlannedRun]) -> Iterator[SweepObserver]:
    """Shows the bar and prints a line for every run that has ended.

    If stderr is not a terminal, there is no bar and the lines hold the counts.
    """
    from aims.suites.tasks import RunProgress, SweepObserver, Task

    class Display(SweepObserver):
        def __init__(self, bar: _Bar) -> None:
            self.bar, self.states, self.waits = bar, Counter[str](), set[str]()
            self.left = _TimeLeft({name: run.config.epochs or _EVALUATION for name, run in runs.items()})
            self.task = bar.add_task("", total=len(runs), counts="", ends=None)

        def started(self, task: Task) -> None:
            self.waits.discard(task.name)
            self.progress(task, RunProgress(stage="starts"))

        def waiting(self, task: Task) -> None:
            self.waits.add(task.name)
            words = f"{runs[task.name].words}: waiting for another process, which makes it"
            self.bar.now[task.name] = words
            if not err.is_terminal:
                err.print(words, markup=False, soft_wrap=True)
            self.update()

        def progress(self, task: Task, progress: RunProgress) -> None:
            self.bar.now[task.name] = f"{runs[task.name].words}: {progress.words}"
            if progress.epoch is not None and progress.epochs:
                self.left.epoch(task.name, progress.epoch, progress.epochs)
            self.update()

        def warning(self, task: Task, text: str) -> None:
            warn(f"{runs[task.name].words}: {text}")

        def retrying(self, task: Task, reason: str) -> None:
            self.bar.now.pop(task.name, None)
            self.states["tried again"] += 1
            err.print(f"{runs[task.name].words}: {reason}; it is tried again", markup=False, soft_wrap=True)
            self.update()

        def ended(self, outcome: Outcome) -> None:
            name = outcome.task.name
            self.bar.now.pop(name, None)
            self.states[outcome.status] += 1
            self.left.ended(name, finished=outcome.record is not None)
            self.update()
            how = f"failed: {outcome.reason}" if outcome.status == "failed" else "stopped"
            if outcome.record is not None:
                miou, seconds = outcome.record.scores.miou, outcome.record.content.seconds
                how = f"mIoU {100 * miou:.2f} %, {seconds:.0f} s"
            number = f"{self.count:>{len(str(len(runs)))}}/{len(runs)}"
            counts = "" if err.is_terminal else self.in_brackets()
            err.print(f"{number}  {runs[name].words}: {how}{counts}", markup=False, soft_wrap=True)

        def stopping(self, running: int) -> None:
            if running:
                err.print(f"stopping: {count_runs(running)} to be saved ...", markup=False)

        @property
        def count(self) -> int:
            return self.states["finished"] + self.states["failed"]

        def counts(self) -> list[str]:
            kinds = {
                "running": len(self.bar.now) - len(self.waits),
                "waiting": len(self.waits),
                **{kind: self.states[kind] for kind in ("failed", "tried again")},
            }
            return [f"{number} {kind}" for kind, number in kinds.items() if number]

        def in_brackets(self) -> str:
            left = self.left.seconds() if self.count < len(runs) else None
            words = [*self.counts(), *([f"{duration(left)} left"] if left is not None else [])]
            return f"  ({', '.join(words)})" if words else ""

        def update(self) -> None:
            left = self.left.seconds()
            ends = None if left is None else time.monotonic() + left
            self.bar.update(self.task, completed=self.count, counts=", ".join(self.counts()), ends=ends)

    with _Bar() as bar:
        yield Display(bar)
