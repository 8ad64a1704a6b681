"""Plots of score against cost, one per comparison, as SVG and PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from aims.core.config import NO_TUNING
from aims.reports.comparison.captions import comparison_title
from aims.reports.comparison.costs import COSTS, device_unit
from aims.reports.comparison.descriptions import column_name
from aims.reports.comparison.table import Comparison
from aims.reports.figures.row_styles import RowStyle, RowStyles
from aims.reports.figures.style import FIGURE_STYLE, TEXT, svg_and_png, white_svg
from aims.reports.runs.floors import DISC
from aims.reports.tables.numbers import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The plotted costs by their names in `COSTS`, with the labels of their axes.
AXES = {
    "trained parameters": "trained parameters",
    "FLOPs an image": "FLOPs an image",
    "device hours a run": "device hours a run",
    "peak memory": "peak memory, bytes",
}
#: (method, tuning), which a colour and a marker stand for.
Name = tuple[str, str]

_WIDTH, _HEIGHT = 11.0, 3.4
_DPI = 130
# More tick labels would overlap below a narrow plot, and so would closer ones (in parts of the axis).
_TICKS, _APART = 4, 0.17


@dataclass(frozen=True, kw_only=True)
class CostPoint:
    """One row of a comparison as a point.

    Attributes:
        name: method and tuning.
        style: colour and marker of its row.
        miou: score in the plotted column, 0..1.
        interval: its 95 % interval, 0..1, or None.
        costs: costs by the names in `AXES`; None where unknown.
        unit: unit of the device hours, "core-h" or "GPU-h".
    """

    name: Name
    style: RowStyle
    miou: float
    interval: tuple[float, float] | None
    costs: Mapping[str, float | None]
    unit: str


@dataclass(frozen=True, kw_only=True)
class CostPlot:
    """The data of one figure: plain values, so that another process can draw it.

    Attributes:
        title: title of the table.
        column: heading of the column whose scores are plotted.
        points: the rows that have a score, without floors.
        disc: score of the floor `disc`, 0..1, or None.
    """

    title: str
    column: str
    points: tuple[CostPoint, ...]
    disc: float | None


@dataclass(frozen=True, kw_only=True)
class CostFigure:
    """The drawn figure of one table.

    Attributes:
        svg: SVG with a transparent background and text in `aims.reports.figures.style.TEXT`.
        png: PNG of the same figure on white.
    """

    svg: str
    png: bytes


def cost_plot(table: Comparison, styles: RowStyles) -> CostPlot:
    """Collects the data of a table's figure, whose rows have the styles of the report."""
    column = table.main_column
    costs = [cost for cost in COSTS if cost.name in AXES]
    known = [(row, row.cells[column]) for row in table.rows if column in row.cells]
    return CostPlot(
        title=comparison_title(table),
        column=column_name(column),
        points=tuple(
            CostPoint(
                name=(row.method, row.tuning),
                style=styles(row),
                miou=cell.value,
                interval=cell.interval,
                costs={cost.name: cost.value(row.costs) for cost in costs},
                unit=device_unit(row.costs.device),
            )
            for row, cell in known
            if not row.is_floor
        ),
        disc=next((cell.value for row, cell in known if row.method == DISC), None),
    )


def import_drawing() -> None:
    """Imports what `draw_cost` does, which takes as long as drawing a figure."""
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401


def draw_cost(plot: CostPlot) -> CostFigure | None:
    """Draws score against cost; None where nothing but floors has a score."""
    if not plot.points:
        return None
    # Not imported by a process that draws nothing.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(FIGURE_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        _draw(figure, plot)
        svg, png = svg_and_png(figure, dpi=_DPI, transparent=True)
    return CostFigure(svg=svg, png=png)


def cost_files(figures: Sequence[CostFigure | None]) -> dict[str, str | bytes]:
    """Contents of the figures' files by name.

    Args:
        figures: one per table, from `draw_cost`; numbered from 1 as the tables in `comparison.tex` are.
    """
    files: dict[str, str | bytes] = {}
    for number, figure in enumerate(figures, start=1):
        if figure is not None:
            files |= {f"cost-{number}.svg": white_svg(figure.svg), f"cost-{number}.png": figure.png}
    return files


def cost_alt(table: Comparison) -> str:
    """Alternative text for the figure of a table."""
    return f"mIoU with {column_name(table.main_column)} against {', '.join(AXES)}: numbers of the table"


def _draw(figure: Figure, plot: CostPlot) -> None:
    figure.suptitle(plot.title, fontsize=9, x=0.01, ha="left")
    styles = {point.name: _line_style(point.style) for point in plot.points}
    for place, (name, axes) in enumerate(zip(AXES, figure.subplots(1, len(AXES), sharey=True), strict=True)):
        drawn = [(value, point) for point in plot.points if (value := point.costs[name]) is not None]
        _points(axes, drawn, styles)
        if plot.disc is not None:
            axes.axhline(100 * plot.disc, color=TEXT, linewidth=0.9, linestyle="--", alpha=0.6)
            corner, inside = (0.99, 100 * plot.disc), ("axes fraction", "data")
            axes.annotate(DISC, corner, xycoords=inside, ha="right", va="bottom", fontsize=8)
        label = AXES[name]
        if name == "device hours a run":
            units = {point.unit for _, point in drawn}
            label += f", {units.pop()}" if len(units) == 1 else ""
        axes.set(xlabel=label, ylabel="" if place else f"mIoU, %, {plot.column}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.15, color=TEXT)
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", markersize=7, label=_label(name), **styles[name])
        for name in sorted({point.name for point in plot.points})
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False, fontsize=9
    )


def _line_style(style: RowStyle) -> dict[str, Any]:
    """The style as keyword arguments of matplotlib's lines."""
    return {
        "color": style.colour,
        "marker": style.marker,
        "markerfacecolor": "none" if style.hollow else style.colour,
        "markeredgewidth": 1.6 if style.hollow else 0.6,
        "markeredgecolor": style.colour if style.hollow else TEXT,
    }


def _label(name: Name) -> str:
    method, tuning = name
    return method if tuning == NO_TUNING else f"{method}, {tuning}"


def _points(
    axes: Axes, drawn: Sequence[tuple[float, CostPoint]], styles: Mapping[Name, dict[str, Any]]
) -> None:
    """Plots scores with intervals over a logarithmic axis; zero costs get a separate place left of it."""
    known = [value for value, _ in drawn if value > 0]
    if not drawn:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", fontsize=9)
        axes.set_xticks([])
        return
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    low, high = low / 1.6, high * 1.6
    zero = low / (high / low) ** 0.18
    has_zero = len(known) < len(drawn)
    ends = [(value or zero, *point.interval) for value, point in drawn if point.interval]
    if ends:
        at, below, above = np.array(ends).T
        axes.vlines(at, 100 * below, 100 * above, color=TEXT, alpha=0.35, linewidth=1)
    # One artist for all points of a style: hundreds of artists take seconds to draw.
    for name in dict.fromkeys(point.name for _, point in drawn):
        x, y = zip(*((value or zero, 100 * p.miou) for value, p in drawn if p.name == name), strict=True)
        axes.plot(x, y, linestyle="", markersize=7, **styles[name])
    axes.set_xscale("log")
    axes.set_xlim((zero / (high / low) ** 0.08 if has_zero else low), high)
    ticks = _ticks(low, high) if known else []
    axes.set_xticks(
        [*([zero] if has_zero else []), *ticks], [*(["0"] if has_zero else []), *map(_tick_text, ticks)]
    )
    axes.set_xticks([], minor=True)
    if has_zero:
        axes.axvline(low, color=TEXT, linewidth=0.8, linestyle=":", alpha=0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers for the ticks of a logarithmic axis: at most `_TICKS`, if possible at least two."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    closest = (high / low) ** _APART
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        finer = [step * 10.0**decade for decade in decades for step in steps]
        finer = [tick for tick in finer if low <= tick <= high]
        close = any(right < left * closest for left, right in pairwise(finer))
        if len(found) > 1 and (close or len(finer) > _TICKS):
            break
        found = finer
    return found[:: max(1, math.ceil(len(found) / _TICKS))]


def _tick_text(value: float) -> str:
    return short(value) if value >= 1 else f"{value:.3g}"
