"""Costs of a group of runs: parameters, FLOPs, time, memory, learning rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from aims.core.checks import lowest
from aims.reports.runs.load import Run

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Costs of a group of runs; a field is None unless every run records it.

    Attributes:
        trained_parameters: minimum and maximum number of trained parameters.
        flops: minimum and maximum of the operations for one image with one click.
        seconds: mean wall time of a run.
        device: kind of the device ("cpu", "cuda"); None where the runs used different ones.
        device_hours: mean of `Run.hours`; None where `device` is.
        peak_memory_bytes: maximum over the runs.
        learning_rates: minimum and maximum, over the results, of the number of learning rates tried, as
            separate runs or in a sweep that stopped them early; 0 where nothing is trained.
        not_checked: the names of those that the maker of a run alone says, separated by spaces.
    """

    trained_parameters: tuple[int, int] | None
    flops: tuple[int, int] | None
    seconds: float | None
    device: str | None
    device_hours: float | None
    peak_memory_bytes: int | None
    learning_rates: tuple[int, int]
    not_checked: str = ""

    @classmethod
    def of(cls, runs: Sequence[Run], learning_rates: Sequence[int]) -> Costs:
        """Collects the costs of runs.

        Args:
            runs: at least one.
            learning_rates: number of learning rates tried, one entry per result that the runs belong to.
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
            not_checked=" ".join(lowest([run.check for run in runs]).not_checked),
        )

    @cached_property
    def most(self) -> dict[str, Any]:
        """The costs by field name, with the maximum of those that are a range."""
        return {
            item.name: value[1] if isinstance(value := getattr(self, item.name), tuple) else value
            for item in dataclasses.fields(self)
        }


def _known(values: Iterable[T | None]) -> list[T]:
    """The values as a list, or an empty list if any of them is None."""
    found = list(values)
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else []
