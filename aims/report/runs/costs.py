"""What runs cost, taken together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aims.report.runs.load import Run

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What some runs cost; None for what not every one of them says.

    Attributes:
        trained_parameters: fewest and most.
        flops: fewest and most operations for one image with one click.
        seconds: mean time of a run.
        device: kind of the device ("cpu", "cuda"), where all runs say the same.
        device_hours: mean hours of one device that a run took (`Run.hours`), where the device is known.
        peak_memory_bytes: the most memory of any run.
        learning_rates: fewest and most learning rates that were tried for a result, as runs of their own or
            in a sweep that stopped them early; 0 where nothing is trained.
    """

    trained_parameters: tuple[int, int] | None
    flops: tuple[int, int] | None
    seconds: float | None
    device: str | None
    device_hours: float | None
    peak_memory_bytes: int | None
    learning_rates: tuple[int, int]

    @classmethod
    def of(cls, runs: Sequence[Run], learning_rates: Sequence[int]) -> Costs:
        """The costs of runs.

        Args:
            runs: at least one.
            learning_rates: of each result that the runs make, how many were tried.
        """
        trained, flops = _known(run.trained for run in runs), _known(run.flops for run in runs)
        seconds, hours = _known(run.seconds for run in runs), _known(run.hours for run in runs)
        peaks, devices = _known(run.peak_bytes for run in runs), {run.device for run in runs}
        device = devices.pop() if len(devices) == 1 else None
        return cls(
            trained_parameters=(min(trained), max(trained)) if trained else None,
            flops=(int(min(flops)), int(max(flops))) if flops else None,
            seconds=sum(seconds) / len(seconds) if seconds else None,
            device=device,
            device_hours=sum(hours) / len(hours) if hours and device else None,
            peak_memory_bytes=int(max(peaks)) if peaks else None,
            learning_rates=(min(learning_rates), max(learning_rates)),
        )

    @property
    def most(self) -> dict[str, Any]:
        """The costs by name; of two numbers the larger."""
        return {
            name: value[1] if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


def _known(values: Iterable[T | None]) -> list[T]:
    """The values, or none of them where one is missing."""
    found = list(values)
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else []
