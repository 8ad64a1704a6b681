"""Worker processes, as conversions and reports use them."""

from __future__ import annotations

import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def process_pool(jobs: int) -> ProcessPoolExecutor:
    """A pool of so many processes.

    Spawned, not forked: a fork of a process with running threads (Arrow, BLAS) can hang. They ignore Ctrl-C,
    so that one message comes, from the process that made the pool. Each imports the main module: a script
    that asks for them needs its `if __name__ == "__main__"`.
    """
    return ProcessPoolExecutor(jobs, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
