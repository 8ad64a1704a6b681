"""The display of a run or a pretraining. Import it in functions only: the engine imports torch."""

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
    """Shows a bar with the loss if stderr is a terminal, and prints a line for every score.

    Args:
        unit: unit that the stage "train" counts, such as images.
        other_unit: unit that all other stages count.
        words: formats the line; takes the arguments of `RunObserver.epoch` or `PretrainObserver.scored`.
        smoothing: weight of the previous losses in the exponential moving average that is shown, 0..1.
    """

    class Display(RunObserver):
        loss = 0.0

        def stage(self, name: str, total: int, done: int = 0) -> None:
            # A total of 0 means that it is not known yet; rich expects None then.
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
