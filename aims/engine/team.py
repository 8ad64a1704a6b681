"""The processes that work on one run together: one alone, or those that `accelerate launch` started.

Every process computes its share of each batch and of the images to score; gradients are summed, rows
collected. The first one alone writes files and talks. Numbers are those of one process up to the order of
sums: every instance counts once, and a batch is the same batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

_Item = TypeVar("_Item")


class Team:
    """One process alone.

    Attributes:
        index: of this process.
        size: how many there are.
    """

    index = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.index == 0

    def share(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """What of some items is this process's."""
        return items[self.index :: self.size]

    def any(self, flag: bool) -> bool:
        """Whether it holds in any process."""
        return flag

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Puts the sum over all processes into tensors of one type, in place."""

    def gather(self, items: list[_Item]) -> list[_Item]:
        """The items of all processes, in order of the processes."""
        return items

    def wait(self) -> None:
        """Until all processes are here."""


class LaunchedTeam(Team):
    """Several processes, as `accelerate launch` or torchrun start them.

    Args:
        cpu: whether they compute on the CPU.
    """

    def __init__(self, *, cpu: bool) -> None:
        # Imported here: it takes a second, and one process alone needs nothing of it.
        from accelerate import PartialState

        # NCCL refuses two processes on one GPU; Gloo takes its tensors, too.
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._share_gpus = not cpu and torch.cuda.is_available() and local > torch.cuda.device_count()
        self._state = PartialState(cpu=cpu, **({"backend": "gloo"} if self._share_gpus else {}))
        self.index, self.size = self._state.process_index, self._state.num_processes
        self.device: torch.device = self._state.device

    def any(self, flag: bool) -> bool:  # noqa: D102
        raised = torch.tensor(float(flag), device=self.device)
        self.sum([raised])
        return bool(raised > 0)

    def sum(self, tensors: Iterable[Tensor]) -> None:  # noqa: D102
        from accelerate.utils import reduce

        parts = list(tensors)
        # One message: many small ones would each cost the way there and back.
        flat = reduce(torch.cat([part.flatten() for part in parts]), "sum")
        for part, total in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(total.view_as(part))

    def gather(self, items: list[_Item]) -> list[_Item]:  # noqa: D102
        from accelerate.utils import gather_object

        gathered: list[_Item] = gather_object(items)
        return gathered

    def wait(self) -> None:  # noqa: D102
        if self._share_gpus:
            # accelerate names a GPU by the process's number, and there are fewer.
            torch.distributed.barrier()
        else:
            self._state.wait_for_everyone()


def find_team(device: torch.device) -> Team:
    """The team that this process was started in.

    Args:
        device: of the kind on which it will compute.
    """
    return LaunchedTeam(cpu=device.type == "cpu") if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Team()
