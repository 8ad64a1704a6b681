"""What a row of a comparison cost: columns of its tables, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aims.core.config import NO_TUNING
from aims.report.tables.comparison import Comparison, ComparisonRow
from aims.report.tables.comparison_words import listed, seconds_text, short, span, trained_text

#: What a device hour is of, by torch's kind of device; GPUs of other makers have kinds of their own.
_UNITS = {"cpu": "core-h"}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One kind of cost.

    Attributes:
        name: heading of its column.
        short: heading where there is little room.
        text: of a row, for people; empty where unknown.
        value: of a row, to sort by and to draw; None where unknown.
    """

    name: str
    short: str
    text: Callable[[ComparisonRow], str]
    value: Callable[[ComparisonRow], float | None]


def hours_text(row: ComparisonRow) -> str:
    """Device hours with their unit, e.g. "0.027 core-h" or "1.3 GPU-h"; empty where unknown."""
    if row.hours is None:
        return ""
    number = f"{row.hours:,.0f}" if row.hours >= 10 else f"{row.hours:.2g}"
    return f"{number} {device_unit(row.device)}"


def device_unit(device: str | None) -> str:
    """What hours of a device are called."""
    return _UNITS.get(device or "", "GPU-h")


def _flops_text(row: ComparisonRow) -> str:
    return "" if row.flops is None else span(*row.flops, short)


def _memory_text(row: ComparisonRow) -> str:
    return "" if row.peak_bytes is None else f"{short(row.peak_bytes)}B"


def _rates_text(row: ComparisonRow) -> str:
    return span(*row.learning_rates, str)


def _most(found: tuple[float, float] | None) -> float | None:
    return None if found is None else found[1]


#: The costs in the order of their columns.
COSTS = (
    Cost(name="trained parameters", short="trained", text=trained_text, value=lambda row: _most(row.trained)),
    Cost(name="FLOPs an image", short="FLOPs", text=_flops_text, value=lambda row: _most(row.flops)),
    Cost(name="seconds a run", short="s a run", text=seconds_text, value=lambda row: row.seconds),
    Cost(name="device hours a run", short="device hours", text=hours_text, value=lambda row: row.hours),
    Cost(name="peak memory", short="memory", text=_memory_text, value=lambda row: row.peak_bytes),
    Cost(
        name="learning rates tried",
        short="lrs tried",
        text=_rates_text,
        value=lambda row: _most(row.learning_rates),
    ),
)


def cost_notes(table: Comparison) -> list[str]:
    """What a reader must know about the costs of a table."""
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
    return notes


def _devices(table: Comparison) -> Sequence[str]:
    runs = [run for result in table.results for run in result.runs]
    return list(
        dict.fromkeys(
            f"{hardware.name} ({hardware.device})" for run in runs if (hardware := run.content.hardware)
        )
    )
