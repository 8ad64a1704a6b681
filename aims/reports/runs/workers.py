"""A process pool for the many small, independent tasks of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

from aims.core.errors import AimsError
from aims.core.processes import process_pool

T = TypeVar("T")
R = TypeVar("R")

# Reading this many small files takes as long as starting a process.
_WORTH_IT = 500
# Amount of work that is sent to a process at once; less than that is done in this process.
_TOGETHER = 64
# `ProcessPoolExecutor` raises on Windows for more workers.
_MOST = 61


class Workers:
    """Maps functions over items, in processes if there is enough work; a context manager.

    Args:
        jobs: maximum number of processes; with 1, everything runs in this process. With more, a script must
            guard its main module (see `aims.core.processes.process_pool`).
    """

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[T], R], items: Sequence[T], *, weight: int = 1) -> Iterator[R]:
        """Returns the results in order; processes start at once, without them items are computed lazily.

        Args:
            function: a module-level function, so that it can be pickled.
            items: arguments, picklable.
            weight: work per item, in multiples of reading a small file.

        Raises:
            AimsError: on iteration, if a process died.
        """
        if self._jobs > 1 and self._pool is None and len(items) * weight >= _WORTH_IT:
            self._pool = process_pool(min(self._jobs, max(2, len(items) * weight // _WORTH_IT), _MOST))
        if self._pool is None or len(items) * weight < _TOGETHER:
            return map(function, items)
        return _taken(self._pool.map(function, items, chunksize=max(1, _TOGETHER // weight)))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            # After an error, do not wait for tasks whose results nobody reads.
            self._pool.shutdown(wait=error is None, cancel_futures=True)


def _taken(results: Iterator[R]) -> Iterator[R]:
    try:
        yield from results
    except BrokenProcessPool:
        raise AimsError(
            "a process of the report was killed, perhaps for want of memory; try again with --jobs 1"
        ) from None
