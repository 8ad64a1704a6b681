"""The cost columns of the comparison tables, and their notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aims.core.config import NO_TUNING
from aims.reports.comparison.table import Comparison
from aims.reports.runs.costs import Costs
from aims.reports.tables.marks import NOT_CHECKED, marked
from aims.reports.tables.numbers import listed, short, span

#: Unit of device hours by torch's device type; every other type is a GPU (see `device_unit`).
_UNITS = {"cpu": "core-h"}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One cost column.

    Attributes:
        field: name of the field in `Costs`.
        name: heading of the column.
        short: shorter heading, for narrow tables.
        show: formats a value.
        meaning: what the number is.
    """

    field: str
    name: str
    short: str
    show: Callable[[Any], str]
    meaning: str

    def text(self, costs: Costs) -> str:
        """The formatted value or range; empty where unknown."""
        value = getattr(costs, self.field)
        if value is None:
            return ""
        low, high = value if isinstance(value, tuple) else (value, value)
        text = span(low, high, self.show)
        text = f"{text} {device_unit(costs.device)}" if self.field == "device_hours" else text
        return marked(text, self.field in costs.not_checked.split())

    def value(self, costs: Costs) -> float | None:
        """The value to sort by and to plot, the maximum of a range; None where unknown."""
        number: float | None = costs.most[self.field]
        return number


def device_unit(device: str | None) -> str:
    """Unit of device hours: "core-h" on a CPU, else "GPU-h"."""
    return _UNITS.get(device or "", "GPU-h")


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"


#: The costs in the order of their columns.
COSTS = (
    Cost(
        field="trained_parameters",
        name="trained parameters",
        short="trained",
        show=short,
        meaning="Parameters that training changes",
    ),
    Cost(
        field="flops",
        name="FLOPs an image",
        short="FLOPs",
        show=short,
        meaning="Floating-point operations of the forward pass for one image with one click",
    ),
    Cost(
        field="seconds",
        name="seconds a run",
        short="s a run",
        show=_seconds,
        meaning="Wall time of training and evaluation, in seconds",
    ),
    Cost(
        field="device_hours",
        name="device hours a run",
        short="device hours",
        show=_hours,
        meaning="Wall time on all GPUs of a run, or on all its CPU cores (core-h)",
    ),
    Cost(
        field="peak_memory_bytes",
        name="peak memory",
        short="memory",
        show=lambda size: f"{short(size)}B",
        meaning="The most memory that the first process of a run held, on the GPU where there is one",
    ),
    Cost(
        field="learning_rates",
        name="learning rates tried",
        short="lrs tried",
        show=str,
        meaning="Learning rates tried with an otherwise equal configuration",
    ),
)


def cost_notes(table: Comparison) -> list[str]:
    """Notes on the costs of a table."""
    devices = _devices(table)
    notes = [
        "FLOPs: forward, for one image with one click; a multiplication with its addition counts as two. "
        "Device hours: the time of a run on all its GPUs, or on all its CPU cores (core-h)"
        + (f"; here {listed(devices)}." if devices else ".")
        + " Memory: the most that the run's first process held, on the GPU where there is one."
    ]
    if any(result.config.tuning != NO_TUNING for result in table.results):
        notes.append(
            "Learning rates tried: all else but the seed being equal, as runs of this report or in a sweep "
            "that stopped them early."
        )
    if any(row.costs.not_checked for row in table.rows):
        notes.append(NOT_CHECKED)
    return notes


def _devices(table: Comparison) -> Sequence[str]:
    runs = [run for result in table.results for run in result.runs]
    found = (hardware for run in runs if (hardware := run.content.hardware) and hardware.name)
    return list(dict.fromkeys(f"{hardware.name} ({hardware.device})" for hardware in found))
