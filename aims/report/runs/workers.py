"""Work of a report that is spread over processes: many small things that do not know of each other."""

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

# So many small files take as long as starting a process.
_WORTH_IT = 500
_TOGETHER = 64
# More are refused on Windows.
_MOST = 61


class Workers:
    """Maps functions, by so many processes where there is enough to do; used with `with`.

    Args:
        jobs: number of processes; with 1 everything is done here. More are those of
            `aims.core.processes.process_pool`, which says what they ask of a script.
    """

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[T], R], items: Sequence[T], *, weight: int = 1) -> Iterator[R]:
        """The results in order. Processes begin at once; what is done here is done when it is asked for.

        Args:
            function: of a module, not of another function.
            items: what can be sent to a process.
            weight: how much more there is to do for an item than to read a small file.

        Raises:
            AimsError: a process died; on iteration.
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
            self._pool.shutdown(wait=error is None, cancel_futures=True)


def _taken(results: Iterator[R]) -> Iterator[R]:
    try:
        yield from results
    except BrokenProcessPool:
        raise AimsError(
            "a process of the report was killed, perhaps for want of memory; try again with --jobs 1"
        ) from None
