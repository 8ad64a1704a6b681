"""Makes runs on this machine: each in a process of its own, so many at a time.

A process of its own keeps a run's memory to itself: its record then says the truth about its peak, and a run
that is killed for lack of memory takes none of the others with it.
"""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

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
_HELD = (signal.SIGINT, signal.SIGTERM)


def run_here(
    runs: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    jobs: int,
    retries: int = 0,
    observer: SweepObserver | None = None,
    work: Work = train_and_evaluate,
) -> list[Outcome]:
    """Makes runs, the first ones first; one that fails stops no other.

    A run whose process dies without a word is begun again when no other is left, and alone: memory was short,
    most often. It goes on from where it was saved. One that fails by an error of its own would do so again.

    Ctrl-C or SIGTERM stops: what is running saves itself and no other begins. A second Ctrl-C ends
    everything at once.

    Args:
        runs: name and arguments of each.
        jobs: how many at a time. The cores are dealt out among them, since trainings whose threads
            outnumber the cores slow each other down tenfold.
        retries: how often a run is begun again.
        observer: is told of progress.
        work: what each process does.

    Returns:
        How the runs ended, in order of ending; those that were not begun are left out.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, min(jobs, len(runs))))
    tasks = [Task(name=name, arguments=arguments, threads=threads) for name, arguments in runs]
    return _Processes(tasks, jobs, retries, observer or SweepObserver(), work).run()


class _Processes:
    """The processes of one sweep, and what became of them."""

    def __init__(
        self, tasks: Sequence[Task], jobs: int, retries: int, observer: SweepObserver, work: Work
    ) -> None:
        self.waiting, self.jobs, self.observer, self.work = deque(tasks), jobs, observer, work
        self.crashed: deque[Task] = deque()
        self.retries, self.tries = retries, Counter[str]()
        self.running: dict[Connection, tuple[Task, SpawnProcess]] = {}
        self.outcomes: list[Outcome] = []
        self.stopping = False

    def run(self) -> list[Outcome]:
        # Imported here: it needs torch, which the processes of a test can do without.
        from aims.engine.train import StopRequest

        stop = StopRequest()
        with stop.listening():
            try:
                while self.running or ((self.waiting or self.crashed) and not self.stopping):
                    if stop.signal is not None and not self.stopping:
                        self._stop()
                    while self.waiting and len(self.running) < self.jobs and not self.stopping:
                        self._start(self.waiting.popleft())
                    if self.crashed and not self.running and not self.stopping:
                        self._start(self.crashed.popleft())
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

    def _start(self, task: Task) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=(theirs, self.work, task), name=task.name)
        # A helper of multiprocessing, which lets the signals in when it starts: before we hold them.
        resource_tracker.ensure_running()
        with _held_signals():
            process.start()
        # Ours is closed so that the pipe ends when the process does.
        theirs.close()
        self.running[ours] = (task, process)
        self.tries[task.name] += 1
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
        if kind == "died" and self.stopping:
            # Between two epochs or while it reads, a process ends at once: nothing is lost then.
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


@contextmanager
def _held_signals() -> Iterator[None]:
    """Keeps signals back while a process starts, which inherits that and lets them in when it is ready."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _process(connection: Connection, work: Work, task: Task) -> None:
    """What runs in a process of its own."""
    # Out of the terminal's group: Ctrl-C reaches the sweep alone, which then asks to save with SIGTERM, once.
    # Twice would end a training without saving.
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)

    try:
        connection.send(perform(work, task, connection.send))
    except BrokenPipeError:
        # The sweep is gone: what was saved stays.
        return
