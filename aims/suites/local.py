"""Makes runs on this machine: each in a process of its own, so many at a time.

A process of its own keeps a run's memory to itself: its record then says the truth about its peak, and a run
that is killed for lack of memory takes none of the others with it.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Literal

from aims.core.errors import AimsError, explain

_POLL_SECONDS = 0.2
_HELD = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a process is given.

    Attributes:
        name: of the run's folder.
        arguments: keyword arguments of `aims.engine.plan.plan`.
        threads: how many threads torch may use.
    """

    name: str
    arguments: Mapping[str, Any]
    threads: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended.

    Attributes:
        task: the task.
        status: "finished"; "failed"; "stopped", saved as far as it was.
        reason: one line, unless it finished.
        record: what the work returned, if it finished: the run's record.
    """

    task: Task
    status: Literal["finished", "failed", "stopped"]
    reason: str = ""
    record: Mapping[str, Any] | None = None


class SweepObserver:
    """What a sweep tells while it works; this one keeps quiet."""

    def started(self, task: Task) -> None:
        """A task begins."""

    def progress(self, task: Task, text: str) -> None:
        """What a task does now, in few words."""

    def warning(self, task: Task, text: str) -> None:
        """A task has warned of something."""

    def ended(self, outcome: Outcome) -> None:
        """A task has ended."""

    def stopping(self, running: int) -> None:
        """All was asked to stop: so many tasks save themselves."""


#: Tells the observer a kind ("progress" or "warning") and a text.
Tell = Callable[[str, str], None]
Work = Callable[[Task, Tell], Mapping[str, Any]]


def train_and_evaluate(task: Task, tell: Tell) -> Mapping[str, Any]:
    """Makes a run, or goes on with it, and returns its record."""
    # Imported here: the parent may be a program that never needs torch.
    import torch

    from aims.engine.plan import plan
    from aims.engine.run import run
    from aims.engine.train import Observer

    class Teller(Observer):
        def stage(self, name: str, total: int, done: int = 0) -> None:
            epochs = job.config.epochs
            tell("progress", f"epoch {done * epochs // total + 1}/{epochs}" if name == "train" else name)

    torch.set_num_threads(min(task.threads, torch.get_num_threads()))
    job = plan(**task.arguments)
    record, _ = run(job, observer=Teller())
    return record.content


def run_here(
    runs: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    jobs: int,
    observer: SweepObserver | None = None,
    work: Work = train_and_evaluate,
) -> list[Outcome]:
    """Makes runs, the first ones first; one that fails stops no other.

    Ctrl-C or SIGTERM stops: what is running saves itself and no other begins. A second Ctrl-C ends
    everything at once.

    Args:
        runs: name and arguments of each.
        jobs: how many at a time. The cores are dealt out among them, since trainings whose threads
            outnumber the cores slow each other down tenfold.
        observer: is told of progress.
        work: what each process does.

    Returns:
        How the runs ended, in order of ending; those that were not begun are left out.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, min(jobs, len(runs))))
    tasks = [Task(name=name, arguments=arguments, threads=threads) for name, arguments in runs]
    return _Processes(tasks, jobs, observer or SweepObserver(), work).run()


class _Processes:
    """The processes of one sweep, and what became of them."""

    def __init__(self, tasks: Sequence[Task], jobs: int, observer: SweepObserver, work: Work) -> None:
        self.waiting, self.jobs, self.observer, self.work = deque(tasks), jobs, observer, work
        self.running: dict[Connection, tuple[Task, SpawnProcess]] = {}
        self.outcomes: list[Outcome] = []
        self.stopping = False

    def run(self) -> list[Outcome]:
        # Imported here: it needs torch, which the processes of a test can do without.
        from aims.engine.train import StopRequest

        stop = StopRequest()
        with stop.listening():
            try:
                while self.running or (self.waiting and not self.stopping):
                    if stop.signal is not None and not self.stopping:
                        self._stop()
                    while self.waiting and len(self.running) < self.jobs and not self.stopping:
                        self._start(self.waiting.popleft())
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
        self.observer.started(task)

    def _stop(self) -> None:
        self.stopping = True
        self.observer.stopping(len(self.running))
        for _, process in self.running.values():
            process.terminate()

    def _hear(self, connection: Connection) -> None:
        task, process = self.running[connection]
        try:
            kind, content = connection.recv()
        except (EOFError, OSError):
            process.join()
            kind, content = "died", process.exitcode
        if kind == "progress":
            self.observer.progress(task, content)
        elif kind == "warning":
            self.observer.warning(task, content)
        else:
            process.join()
            connection.close()
            del self.running[connection]
            outcome = self._outcome(task, kind, content)
            self.outcomes.append(outcome)
            self.observer.ended(outcome)

    def _outcome(self, task: Task, kind: str, content: Any) -> Outcome:
        if kind == "finished":
            return Outcome(task=task, status="finished", record=content)
        if kind == "died":
            # Between two epochs or while it reads, a process ends at once: nothing is lost then.
            kind, content = ("stopped", "stopped") if self.stopping else ("failed", _death(content))
        return Outcome(task=task, status="stopped" if kind == "stopped" else "failed", reason=content)


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

    def tell(kind: str, text: str) -> None:
        connection.send((kind, text))

    logging.basicConfig(level=logging.WARNING, handlers=[_Warnings(tell)], force=True)
    try:
        connection.send(("finished", work(task, tell)))
    except AimsError as error:
        # As training stops: see aims.engine.train.Stopped.
        stopped = error.exit_code == 128 + signal.SIGINT
        connection.send(("stopped" if stopped else "failed", str(error)))
    except BrokenPipeError:
        # The sweep is gone: what was saved stays.
        return
    except MemoryError:
        connection.send(("failed", "out of memory; try fewer --jobs"))
    except OSError as error:
        connection.send(("failed", explain(error)))
    except Exception as error:
        text = " ".join(str(error).split())
        connection.send(("failed", f"{type(error).__name__}: {text}"))


class _Warnings(logging.Handler):
    """Hands log lines to the sweep."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell("warning", record.getMessage())
