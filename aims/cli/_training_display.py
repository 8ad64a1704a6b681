"""The display of a run or a pretraining; imported late, as the engine imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aims.cli._terminal import Stages, err, progress_bar
from aims.core.curve import EpochLine
from aims.engine.train import RunObserver


@contextmanager
def training_display(
    unit: str, other_unit: str, words: Callable[..., str], *, smoothing: float = 0.0
) -> Iterator[Any]:
    """Shows a bar with the loss where stderr is a terminal, and prints a line of every score.

    Args:
        unit: what the stage "train" counts.
        other_unit: what all other stages count.
        words: the line, from what `RunObserver.epoch` or `PretrainObserver.scored` takes.
        smoothing: share of the losses before in the loss that is shown.
    """

    class Display(RunObserver):
        loss = 0.0

        def stage(self, name: str, total: int, done: int = 0) -> None:
            # A total of 0 is not known yet.
            stages.begin(name, total or None, done, unit=unit if name == "train" else other_unit)

        def advance(self, count: int = 1, *, loss: float | None = None) -> None:
            stages.update(advance=count)
            if loss is not None:
                self.loss = smoothing * self.loss + (1 - smoothing) * loss if self.loss else loss
                stages.update(note=f"loss {self.loss:.3f}")

        def epoch(self, line: EpochLine) -> None:
            self.scored(line)

        def scored(self, *numbers: Any) -> None:
            err.print(words(*numbers), markup=False, soft_wrap=True)

    with progress_bar() as progress:
        stages = Stages(progress)
        yield Display()
