"""The lines of a run's metrics.jsonl."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from aims.core.structs import Count, Share


class EpochLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of metrics.jsonl.

    Attributes:
        epoch: its number, from 1.
        loss: mean training loss of its steps.
        lr: learning rate.
        val_miou: mean IoU on the validation part, where it was scored then.
        val_dice: mean Dice, likewise.
        val_loss: mean loss, likewise; None if it is not finite.
        test_miou: mean IoU on the test split, under protocols that select on it.
        test_dice: mean Dice, likewise.
        test_loss: mean loss, likewise.
    """

    epoch: Count
    loss: float | None = None
    lr: float | None = None
    val_miou: Share | None = None
    val_dice: Share | None = None
    val_loss: float | None = None
    test_miou: Share | None = None
    test_dice: Share | None = None
    test_loss: float | None = None

    def miou(self, split: str) -> float | None:
        """The mean IoU on a split, "val" or "test", if the epoch was scored on it."""
        found: float | None = getattr(self, f"{split}_miou")
        return found


def metrics_text(lines: Sequence[EpochLine]) -> str:
    """The content of metrics.jsonl."""
    return "".join(f"{json.dumps(msgspec.to_builtins(line))}\n" for line in lines)
