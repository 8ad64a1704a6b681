"""Pools of worker processes, signals that end a process, and how processes share the cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread, current_thread, main_thread
from types import FrameType
from typing import NoReturn


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
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this process once the other end is closed; nothing is ever sent."""
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)
