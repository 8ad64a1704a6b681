"""The processes that compute one run together: a single one, or those that `accelerate launch` started.

Every process computes its share of each batch and of the images to score; gradients are summed, rows are
gathered. Only the main process writes files and reports progress. The results equal those of a single process
up to the order of summation: batches are the same, and every instance is scored exactly once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from aims.core.errors import AimsError

_Item = TypeVar("_Item")


class ProcessGroup:
    """The group of a single process, and the interface of larger groups.

    Attributes:
        rank: index of this process, from 0.
        world_size: number of processes.
    """

    rank = 0
    world_size = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def shard(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """Returns every `world_size`-th item from `rank` on: the items that this process works on."""
        return items[self.rank :: self.world_size]

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process."""
        return flag

    def all_reduce(self, tensors: Iterable[Tensor]) -> None:
        """Replaces tensors, all of one dtype, by their sums over all processes, in place."""

    def gather(self, items: list[_Item]) -> list[_Item]:
        """Returns the items of all processes, in order of rank."""
        return items

    def barrier(self) -> None:
        """Waits until every process has reached this line."""

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """Waits for every process at the end of the block, and raises in all of them if it raised in one.

        The others would wait forever at the next barrier for the one that failed.

        Raises:
            AimsError: another process failed.
        """
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        if self.any(failure is not None):
            raise failure or AimsError("another process of this run failed; its message says why")


class LaunchedGroup(ProcessGroup):
    """A group of several processes, started by `accelerate launch` or torchrun.

    Args:
        cpu: whether the processes compute on the CPU.
    """

    def __init__(self, *, cpu: bool) -> None:
        # Imported here because it takes a second, and a single process does not need it.
        from accelerate import PartialState

        # NCCL refuses two processes on one GPU; Gloo accepts CUDA tensors, too.
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._share_gpus = not cpu and torch.cuda.is_available() and local > torch.cuda.device_count()
        self._state = PartialState(cpu=cpu, **({"backend": "gloo"} if self._share_gpus else {}))
        self.rank, self.world_size = self._state.process_index, self._state.num_processes
        self.device: torch.device = self._state.device

    def any(self, flag: bool) -> bool:  # noqa: D102
        raised = torch.tensor(float(flag), device=self.device)
        self.all_reduce([raised])
        return bool(raised > 0)

    def all_reduce(self, tensors: Iterable[Tensor]) -> None:  # noqa: D102
        from accelerate.utils import reduce

        parts = list(tensors)
        # One flat tensor: a collective call per tensor would cost a round trip each.
        flat = reduce(torch.cat([part.flatten() for part in parts]), "sum")
        for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(total.view_as(part))

    def gather(self, items: list[_Item]) -> list[_Item]:  # noqa: D102
        from accelerate.utils import gather_object

        gathered: list[_Item] = gather_object(items)
        return gathered

    def barrier(self) -> None:  # noqa: D102
        if self._share_gpus:
            # accelerate would pass the local rank as the GPU's index, and there are fewer GPUs than ranks.
            torch.distributed.barrier()
        else:
            self._state.wait_for_everyone()


def find_process_group(device: torch.device) -> ProcessGroup:
    """Returns the group in which this process was started.

    Args:
        device: device of the type on which it computes.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return LaunchedGroup(cpu=device.type == "cpu") if launched else ProcessGroup()
