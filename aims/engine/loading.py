"""Items of a dataset by key, read ahead by worker processes where there are some."""

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
    """Reads items by key in order, ahead of their use where there are worker processes.

    Args:
        data: gives items by key.
        keys: what its `__getitem__` takes, in order; may be a generator.
        workers: processes; 0 reads in this one.
        pin_memory: page-lock what is read, for a faster way to a GPU.

    Raises:
        AimsError: as reading raised it, also in a worker; or a worker was killed.
    """
    items = DataLoader(
        _ErrorsAsItems(data),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        pin_memory=pin_memory,
        # A fork of a process with Arrow's threads can hang.
        multiprocessing_context="spawn" if workers else None,
    )
    with worker_deaths():
        for item in _started(items):
            if isinstance(item, AimsError):
                raise item
            yield item


@contextmanager
def worker_deaths() -> Iterator[None]:
    """Turns the death of a worker process into one error; wrap all work that has workers in it.

    Torch reports it by a signal, which may interrupt any line.

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
    # Ctrl-C goes to all processes, but the one that trains decides when to stop: workers inherit the block.
    # Starting Python's tracker of resources would lift it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return iter(items)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_worker_death(error: Exception) -> bool:
    """Whether an error comes from a lost worker: torch says so, or what it was about to hand over is gone."""
    text = str(error)
    if text.startswith("Caught") and "in DataLoader worker" in text:
        # Raised by reading itself, and brought here by torch.
        return False
    if isinstance(error, RuntimeError):
        return "DataLoader worker" in text
    frames = traceback.extract_tb(error.__traceback__)
    return "in pin memory thread" in text or any("multiprocessing" in frame.filename for frame in frames)


@dataclass(frozen=True)
class _ErrorsAsItems(TorchDataset[Item | AimsError]):
    """Returns an error of ours as an item: torch would pass on the text of a traceback alone."""

    data: TorchDataset[Item]

    def __getitem__(self, key: Any) -> Item | AimsError:
        try:
            return self.data[key]
        except AimsError as error:
            return error
