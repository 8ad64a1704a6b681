"""Pools of worker processes."""

from __future__ import annotations

import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def process_pool(jobs: int) -> ProcessPoolExecutor:
    """Creates a pool of `jobs` processes.

    Processes are spawned, because forking a process with running threads (Arrow, BLAS) can deadlock. They
    ignore Ctrl-C, so that only the process that made the pool reports it. Each imports the main module: a
    script that uses a pool needs `if __name__ == "__main__"`.
    """
    return ProcessPoolExecutor(jobs, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
