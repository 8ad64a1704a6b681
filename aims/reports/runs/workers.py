"""A process pool for the many small, independent tasks of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType
from typing import ParamSpec, TypeVar

from aims.core.errors import AimsError
from aims.core.processes import process_pool

P = ParamSpec("P")
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
        jobs: maximum number of processes, this one among them; with 1, everything runs here. With more, a
            script must guard its main module (see `aims.core.processes.process_pool`).
    """

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs
        self._others = 0
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[T], R], items: Sequence[T], *, weight: int = 1) -> Iterator[R]:
        """Returns the results in order; the other processes compute them, from now on.

        Args:
            function: a module-level function, so that it can be pickled.
            items: arguments, picklable.
            weight: work per item, in multiples of reading a small file.

        Raises:
            AimsError: if a process died; on iteration, if it dies then.
        """
        if not self._is_worth_it(len(items) * weight):
            return map(function, items)
        parts = _parts(items, max(1, _TOGETHER // weight))
        return _results([self._submit(_each, function, part) for part in parts])

    def share(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Returns the results of little work an item in order; on iteration, this process computes as well.

        Args:
            function: a module-level function, so that it can be pickled.
            items: arguments, picklable.

        Raises:
            AimsError: if a process died; on iteration, if it dies then.
        """
        if not self._is_worth_it(len(items)):
            return map(function, items)
        parts = _parts(items, _TOGETHER)
        # Each process has one part beside the one that it computes.
        ahead = 2 * self._others
        started: list[Future[list[R]]] = [self._submit(_each, function, part) for part in parts[:ahead]]

        def computed() -> Iterator[R]:
            for part in parts[ahead:]:
                if sum(not future.done() for future in started) < ahead:
                    started.append(self._submit(_each, function, part))
                else:
                    here: Future[list[R]] = Future()
                    here.set_result(_each(function, part))
                    started.append(here)
            yield from _results(started)

        return computed()

    def prepare(self, function: Callable[[], object]) -> None:
        """Lets every other process call a function before its next task, without waiting for it.

        Args:
            function: a module-level function that imports what the next tasks need.

        Raises:
            AimsError: if a process died.
        """
        for _ in range(self._others):
            self._submit(function)

    def end(self) -> None:
        """Says that no more tasks come: each process ends, unwaited for, once it has done its own."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            # After an error, do not wait for tasks whose results nobody reads.
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    def _is_worth_it(self, work: int) -> bool:
        """Returns whether others are to compute; starts them for the first work that is worth it."""
        if self._jobs > 1 and self._pool is None and work >= _WORTH_IT:
            self._others = min(self._jobs - 1, max(1, work // _WORTH_IT), _MOST)
            self._pool = process_pool(self._others)
        return self._pool is not None and work >= _TOGETHER

    def _submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        assert self._pool is not None
        with _deaths_named():
            return self._pool.submit(function, *args, **kwargs)


def _parts(items: Sequence[T], length: int) -> list[Sequence[T]]:
    return [items[start : start + length] for start in range(0, len(items), length)]


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]


def _results(futures: Iterable[Future[list[R]]]) -> Iterator[R]:
    with _deaths_named():
        for future in futures:
            yield from future.result()


@contextmanager
def _deaths_named() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise AimsError(
            "a process of the report was killed, perhaps for want of memory; try again with --jobs 1"
        ) from None
