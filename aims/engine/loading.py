"""Items of a dataset by key, read ahead by worker processes where there are some."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
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
        _Answering(data),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        pin_memory=pin_memory,
        # A fork of a process with Arrow's threads can hang.
        multiprocessing_context="spawn" if workers else None,
    )
    try:
        for item in _started(items):
            if isinstance(item, AimsError):
                raise item
            yield item
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise AimsError(
            f"a process that reads ahead died ({error}): out of memory, most often; try fewer --workers"
        ) from None


def _started(items: Iterable[Item]) -> Iterator[Item]:
    # Ctrl-C goes to all processes, but the one that trains decides when to stop. Workers inherit the block.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return iter(items)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class _Answering(TorchDataset[Item | AimsError]):
    """Gives an error of ours back as an item: torch would bring it from a worker as a traceback's text."""

    data: TorchDataset[Item]

    def __getitem__(self, key: Any) -> Item | AimsError:
        try:
            return self.data[key]
        except AimsError as error:
            return error
