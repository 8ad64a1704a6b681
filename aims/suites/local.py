"""Computing runs on this machine, each in its own process, several at a time.

Separate processes have separate memory: the peak memory in a record is that of its run, and a run that is
killed for lack of memory does not end the others.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from aims.core.processes import held_signals, release_signals
from aims.engine.stopping import StopRequest
from aims.suites.tasks import (
    Ending,
    Message,
    Outcome,
    SweepObserver,
    Task,
    Work,
    outcome_of,
    perform,
    train_and_evaluate,
)

_POLL_SECONDS = 0.2


def run_here(
    runs: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    jobs: int,
    retries: int = 0,
    observer: SweepObserver | None = None,
    work: Work = train_and_evaluate,
) -> list[Outcome]:
    """Computes runs in order; a failed run does not stop the others.

    A run whose process dies without an error, most often for lack of memory, is restarted alone after all
    others and resumes from its checkpoint. A run that raises an error is not restarted.

    A run that another process works on waits until that process ends: its record is then taken over, or the
    run is resumed. Other runs go first.

    On Ctrl-C or SIGTERM running runs save their state and no other starts. A second Ctrl-C ends everything at
    once.

    Args:
        runs: name and keyword arguments of each run.
        jobs: number of runs at a time. The cores are divided among them, since trainings with more threads
            than cores slow each other down tenfold.
        retries: largest number of restarts of a run.
        observer: receives the progress.
        work: function that each process calls.

    Returns:
        Outcomes of the runs in order of ending; runs that were not started are left out.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, min(jobs, len(runs))))
    tasks = [Task(name=name, arguments=arguments, threads=threads) for name, arguments in runs]
    return _Processes(tasks, jobs, retries, observer or SweepObserver(), work).run()


class _Processes:
    """The processes of one sweep, and the outcomes of its runs."""

    def __init__(
        self, tasks: Sequence[Task], jobs: int, retries: int, observer: SweepObserver, work: Work
    ) -> None:
        self.waiting, self.jobs, self.observer, self.work = deque(tasks), jobs, observer, work
        self.crashed: deque[Task] = deque()
        self.busy: set[str] = set()
        self.retries, self.tries = retries, Counter[str]()
        self.running: dict[Connection, tuple[Task, SpawnProcess]] = {}
        self.outcomes: list[Outcome] = []
        self.stopping = False

    def run(self) -> list[Outcome]:
        stop = StopRequest()
        with stop.listening():
            try:
                while self.running or ((self.waiting or self.crashed) and not self.stopping):
                    if stop.signal is not None and not self.stopping:
                        self._stop()
                    while len(self.running) < self.jobs and (task := self._next()) is not None:
                        self._start(task)
                    for connection in wait(list(self.running), timeout=_POLL_SECONDS):
                        assert isinstance(connection, Connection)
                        self._hear(connection)
            except KeyboardInterrupt:
                for _, process in self.running.values():
                    process.kill()
                raise
            finally:
                for _, process in self.running.values():
                    process.terminate()
        return self.outcomes

    def _next(self) -> Task | None:
        """Takes the first task that no other process works on; None if none is to start now."""
        if self.stopping:
            return None
        if self.crashed and not self.waiting and not self.running:
            self.waiting.append(self.crashed.popleft())
        for task in self.waiting:
            if not task.is_busy():
                self.waiting.remove(task)
                return task
            self._wait_for(task)
        return None

    def _wait_for(self, task: Task) -> None:
        if task.name not in self.busy:
            self.busy.add(task.name)
            self.observer.waiting(task)

    def _start(self, task: Task) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=(theirs, self.work, task), name=task.name)
        with held_signals():
            process.start()
            self.running[ours] = (task, process)
        # With our copy of its end closed, the pipe ends when the process does.
        theirs.close()
        self.tries[task.name] += 1
        self.busy.discard(task.name)
        self.observer.started(task)

    def _stop(self) -> None:
        self.stopping = True
        self.observer.stopping(len(self.running))
        for _, process in self.running.values():
            process.terminate()

    def _hear(self, connection: Connection) -> None:
        task, process = self.running[connection]
        try:
            message: Message | Ending = connection.recv()
        except (EOFError, OSError):
            process.join()
            message = "died", _death(process.exitcode or 0)
        if not isinstance(message, tuple):
            self.observer.hear(task, message)
            return
        process.join()
        connection.close()
        del self.running[connection]
        self._end(task, message)

    def _end(self, task: Task, ending: Ending) -> None:
        kind, content = ending
        if kind == "busy":
            # The other process has come first, after the lock was looked at.
            self.tries[task.name] -= 1
            self.waiting.append(task)
            self._wait_for(task)
            return
        if kind == "died" and self.stopping:
            # Where a run does not catch SIGTERM, as while it reads, it ends at once and nothing is lost.
            ending = "stopped", "stopped"
        elif kind == "died" and self.tries[task.name] <= self.retries:
            self.crashed.append(task)
            self.observer.retrying(task, content)
            return
        outcome = outcome_of(task, ending, self.tries[task.name])
        self.outcomes.append(outcome)
        self.observer.ended(outcome)


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed: out of memory, most often; try fewer --jobs"
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"its process ended without a word ({ended})"


def _process(connection: Connection, work: Work, task: Task) -> None:
    """Performs a task in a new process, and sends messages and ending to the sweep."""
    # A process group of its own, so that Ctrl-C reaches the sweep only, which sends SIGTERM once: a second
    # signal would end a training without saving.
    os.setpgid(0, 0)
    release_signals()
    try:
        connection.send(perform(work, task, connection.send))
    except BrokenPipeError:
        # The sweep has ended; the last checkpoint stays.
        return
