"""The lines of a run's metrics.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from aims.core.structs import Count, Share

#: Largest size of metrics.jsonl in bytes, whatever the number of epochs.
LARGEST_CURVE = 1 << 24


class EpochLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of metrics.jsonl.

    Attributes:
        epoch: number of the epoch, from 1; 0 is the model before its first step, which is not selected.
        loss: mean training loss over the steps of the epoch; None at epoch 0.
        lr: learning rate; None at epoch 0.
        val_miou: mean IoU on the validation part, 0..1; None in epochs that are not scored on it.
        val_dice: mean Dice on the validation part, 0..1.
        val_loss: mean loss on the validation part; None also if it is not finite.
        test_miou: mean IoU on the test split, 0..1, under protocols that select on it.
        test_dice: mean Dice on the test split, 0..1.
        test_loss: mean loss on the test split; None also if it is not finite.
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
        """Returns the mean IoU on a split, "val" or "test"; None if the epoch was not scored on it."""
        found: float | None = getattr(self, f"{split}_miou")
        return found


def best_epoch(lines: Iterable[EpochLine], split: str) -> tuple[int, float] | None:
    """Finds the epoch that is selected: the best on a split, the earlier of equals, and never epoch 0.

    Returns:
        The epoch and its mean IoU, 0..1; None if no epoch was scored on the split.
    """
    scored = [(miou, -line.epoch) for line in lines if line.epoch and (miou := line.miou(split)) is not None]
    if not scored:
        return None
    miou, epoch = max(scored)
    return -epoch, miou


def largest_curve(epochs: int) -> int:
    """Returns the largest size of metrics.jsonl in bytes after so many epochs; a line has some 300."""
    return min(LARGEST_CURVE, 1024 * (epochs + 1))


def metrics_text(lines: Sequence[EpochLine]) -> str:
    """Formats the content of metrics.jsonl."""
    return "".join(f"{json.dumps(msgspec.to_builtins(line))}\n" for line in lines)
