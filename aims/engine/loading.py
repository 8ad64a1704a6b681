"""Loading dataset items by key, ahead of their use if there are worker processes."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from aims.core.errors import AimsError

Item = TypeVar("Item")


def loader(data: TorchDataset[Item], keys: Iterable[Any], workers: int, pin_memory: bool) -> Generator[Item]:
    """Yields items by key, in order, read ahead if there are worker processes.

    Args:
        data: dataset of the items.
        keys: keys for `data.__getitem__`, in order; may be a generator.
        workers: number of worker processes; 0 reads in this process.
        pin_memory: whether to page-lock the items, for faster copies to a GPU.

    Raises:
        AimsError: reading raised it, in this process or in a worker; or a worker was killed.
    """
    items = DataLoader(
        _ErrorsAsItems(data),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        pin_memory=pin_memory,
        # Forking a process in which Arrow runs threads can deadlock.
        multiprocessing_context="spawn" if workers else None,
    )
    with worker_deaths():
        for item in _started(items):
            if isinstance(item, AimsError):
                raise item
            yield item


@contextmanager
def worker_deaths() -> Iterator[None]:
    """Turns the death of a worker process into an `AimsError`; wraps all work that uses workers.

    PyTorch reports the death in a signal handler, so the error can arise at any line.

    Raises:
        AimsError: a worker died.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if not _is_worker_death(error):
            raise
        raise AimsError(
            f"a process that reads ahead died ({error}): out of memory, most often; try fewer --workers"
        ) from None


def _started(items: Iterable[Item]) -> Iterator[Item]:
    # A terminal sends Ctrl-C to all processes, but only the training process may act on it: workers start
    # with SIGINT blocked. The resource tracker comes first, as starting it unblocks SIGINT.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return iter(items)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_worker_death(error: Exception) -> bool:
    """Returns whether an error comes from a dead worker, by torch's message or by where it was raised."""
    text = str(error)
    if text.startswith("Caught") and "in DataLoader worker" in text:
        # The dataset raised it, and PyTorch reraised it here.
        return False
    if isinstance(error, RuntimeError):
        return "DataLoader worker" in text
    frames = traceback.extract_tb(error.__traceback__)
    return "in pin memory thread" in text or any("multiprocessing" in frame.filename for frame in frames)


@dataclass(frozen=True)
class _ErrorsAsItems(TorchDataset[Item | AimsError]):
    """Returns an `AimsError` as an item: PyTorch would replace its message by a traceback."""

    data: TorchDataset[Item]

    def __getitem__(self, key: Any) -> Item | AimsError:
        try:
            return self.data[key]
        except AimsError as error:
            return error
