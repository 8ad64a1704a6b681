"""Pools of worker processes, signals that end a process, and how processes share the cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from threading import Thread, current_thread, main_thread
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP raise KeyboardInterrupt inside the `with` block, so that it cleans up.

    Nothing changes outside the main thread, where Python allows no signal handlers, and for signals that are
    ignored, as SIGHUP is under `nohup`, or handled by other than Python.
    """
    wanted = (signal.SIGTERM, signal.SIGHUP) if current_thread() is main_thread() else ()
    handlers = {number: signal.getsignal(number) for number in wanted}
    before = {number: found for number, found in handlers.items() if found not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def held_signals() -> Iterator[None]:
    """Holds signals back while a process starts; they come at the end of the `with` block.

    A process whose parent is interrupted while it starts it ends with a traceback. The new process holds them
    back as well, until it calls `release_signals`.
    """
    # Starting multiprocessing's resource tracker unblocks signals, so it comes before they are blocked.
    resource_tracker.ensure_running()
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _HELD}
    # Other threads take a signal that this one blocks, and Python then calls its handler here.
    in_main = current_thread() is main_thread()
    ours = {number: found for number, found in handlers.items() if callable(found) and in_main}
    for number in ours:
        signal.signal(number, lambda number, frame: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in ours.items():
            signal.signal(number, handler)
        for missed in came:
            signal.raise_signal(missed)


def release_signals() -> None:
    """Lets the signals through that the start of this process held back."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


#: Each decides how threads of OpenMP (GNU's, Intel's, LLVM's) wait; the last two belong to one runtime each.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def share_cores() -> None:
    """Lets threads of OpenMP sleep while they wait for others, unless the environment says how they wait.

    By default they keep their cores busy for milliseconds. Of two processes with as many threads as there are
    cores, each then waits for threads whose cores the other keeps busy, and both take many times as long. It
    has an effect before torch is imported, and on new processes. The results have the same bits.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


class ProcessPool(ProcessPoolExecutor):
    """A pool whose processes end with the one that made it, however that ends.

    Processes are spawned, because forking a process with running threads (Arrow, BLAS) can deadlock. They
    ignore Ctrl-C, so that only the process that made the pool reports it.

    Args:
        jobs: number of processes.
    """

    def __init__(self, jobs: int) -> None:
        context = get_context("spawn")
        # Its writing end is in this process alone, and closes with it.
        self._reader, self._writer = context.Pipe(duplex=False)
        super().__init__(jobs, context, _begin, (self._reader,))

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Schedules a call; the first ones start the processes."""
        with held_signals():
            return super().submit(function, *args, **kwargs)

    def end(self) -> None:
        """Ends the processes at once; tasks that have not finished are lost."""
        self.shutdown(wait=False, cancel_futures=True)
        self._writer.close()


def process_pool(jobs: int) -> ProcessPool:
    """Creates a pool of `jobs` processes.

    Each imports the main module: a script that uses a pool needs `if __name__ == "__main__"`.
    """
    return ProcessPool(jobs)


def _begin(lifeline: Connection) -> None:
    share_cores()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    release_signals()
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this process once the other end is closed; nothing is ever sent."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
