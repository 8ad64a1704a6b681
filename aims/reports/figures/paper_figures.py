"""The paper's plots, drawn from our runs together with the published numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from aims.core.vocabulary import PROTOCOLS
from aims.reports.figures.style import COLOURS, SAME_BYTES, svg_and_png
from aims.reports.paper.cells import FilledCell, FilledTable, select_setting
from aims.reports.runs.conditions import Condition
from aims.reports.runs.curves import read_metrics
from aims.reports.runs.results import Result
from aims.reports.tables.captions import condition_title

_PUBLISHED = {"marker": "D", "markerfacecolor": "white", "color": "#444444", "linestyle": "none", "zorder": 4}
_STYLE: Any = {  # matplotlib's type names every key
    **SAME_BYTES,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "legend.frameon": False,
}

#: Function that draws one panel under one condition.
Draw = Callable[[Axes, FilledTable, Sequence[Result]], None]


def draw_figure(panels: Sequence[Sequence[FilledTable]], results: Sequence[Result]) -> tuple[str, bytes]:
    """Draws a figure with one row per condition and one column per panel.

    Args:
        panels: for each panel, one filled table per condition.
        results: every finished run, pooled over seeds; Figure 5b plots more of them than a cell holds.

    Returns:
        SVG and PNG; equal arguments give equal bytes.
    """
    conditions = list(dict.fromkeys(table.condition for panel in panels for table in panel))
    shown: list[Condition | None] = [condition for condition in conditions if condition]
    shown = shown or [None]
    width, height = (6.4, 3.4) if len(panels) == 1 else (3.0 * len(panels), 2.8)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height * len(shown)), layout="constrained")
        # matplotlib returns a single subfigure, and below a single axes, without an array around it.
        parts: Any = np.atleast_1d(np.asarray(figure.subfigures(len(shown), 1)))
        for part, condition in zip(parts, shown, strict=True):
            part.suptitle(condition_title(condition), fontsize=9)
            for axes, panel in zip(np.atleast_1d(part.subplots(1, len(panels))), panels, strict=True):
                table = next((each for each in panel if each.condition == condition), panel[0])
                _DRAW[table.paper.key](axes, table, results)
            _legend(part)
        return svg_and_png(figure, dpi=160)


def _bars(axes: Axes, table: FilledTable, _: Sequence[Result]) -> None:
    """Draws one horizontal bar per row, the first on top."""
    cells = [table.cells[row, table.paper.columns[0]] for row in table.paper.rows]
    places = range(len(cells))
    for place, filled in zip(places, cells, strict=True):
        if filled.value is not None:
            label = "ours, 95 % interval"
            axes.barh(place, filled.value, 0.6, color=COLOURS[0], xerr=_reach(filled), capsize=3, label=label)
    known = [(place, filled.cell.published) for place, filled in zip(places, cells, strict=True)]
    _mark(axes, [(value, place) for place, value in known if value is not None])
    axes.set_yticks(places, [filled.cell.row for filled in cells])
    axes.invert_yaxis()
    axes.set(xlabel="mIoU, %", xlim=(0, None))
    axes.grid(axis="y", visible=False)


def _over_numbers(axes: Axes, table: FilledTable, _: Sequence[Result]) -> None:
    """Draws one line per column; the row names are the x values."""
    paper = table.paper
    ticks = [float(row) for row in paper.rows]
    for colour, column in zip(COLOURS, paper.columns, strict=False):
        cells = [table.cells[row, column] for row in paper.rows]
        ours = [(x, filled) for x, filled in zip(ticks, cells, strict=True) if filled.value is not None]
        if ours:
            reach = np.concatenate([_reach(filled) for _, filled in ours], axis=1)
            values = [filled.value or 0.0 for _, filled in ours]
            name = column if len(paper.columns) > 1 else "ours"
            axes.errorbar(
                [x for x, _ in ours], values, reach, marker="o", capsize=3, color=colour, label=name
            )
        printed = [(x, filled.cell.published) for x, filled in zip(ticks, cells, strict=True)]
        several = len(paper.columns) > 1
        _mark(
            axes,
            [(x, value) for x, value in printed if value is not None],
            label=f"published, {column}" if several else "published",
            color=colour if several else _PUBLISHED["color"],
        )
    if paper.corner == "learning rate":
        axes.set_xscale("log")
    else:
        axes.set_xticks(ticks, paper.rows)
    axes.set(xlabel=paper.corner, ylabel="mIoU, %")


def _over_images(axes: Axes, table: FilledTable, results: Sequence[Result]) -> None:
    """Draws one line per row over the number of training images."""
    seen: set[float] = set()
    for colour, row in zip(COLOURS, table.paper.rows, strict=False):
        query = table.paper.cells[row, "all"].query
        settings: dict[float, list[Result]] = {}
        for result in results:
            images = result.train_images
            if images is not None and query and query.fits(result.config) and _under(result, table):
                settings.setdefault(images, []).append(result)
        # Of several settings the one that the tables choose; none where that cannot be said.
        chosen = {images: select_setting(found) for images, found in settings.items()}
        by_images = {images: result for images, result in chosen.items() if result}
        if by_images:
            seen |= set(by_images)
            counts = sorted(by_images)
            axes.plot(counts, [100 * by_images[x].miou for x in counts], marker="o", color=colour, label=row)
    axes.set(xlabel="training images", ylabel="mIoU, %")
    if not seen:
        axes.text(0.5, 0.5, "no runs yet", transform=axes.transAxes, ha="center", va="center")
        return
    axes.set_xscale("log")
    axes.set_xticks(sorted(seen), [f"{images:,.0f}" for images in sorted(seen)])
    axes.minorticks_off()


def _curves(axes: Axes, table: FilledTable, _: Sequence[Result]) -> None:
    """Draws scores over epochs, and horizontal lines where the paper's curves end."""
    drawn = False
    for colour, row in zip(COLOURS, table.paper.rows, strict=False):
        filled = table.cells[row, table.paper.columns[0]]
        if filled.cell.published is not None:
            axes.axhline(filled.cell.published, color=colour, linestyle=":", linewidth=1)
        by_epoch: dict[int, list[float]] = {}
        for run in filled.result.runs if filled.result else ():
            for line in read_metrics(run.path, run.config.epochs):
                score = line.test_miou if line.val_miou is None else line.val_miou
                if score is not None:
                    by_epoch.setdefault(line.epoch, []).append(100 * score)
        if by_epoch:
            drawn = True
        epochs = sorted(by_epoch)
        means = [float(np.mean(by_epoch[epoch])) for epoch in epochs]
        axes.plot(epochs, means, marker="o", color=colour, label=row)
    axes.plot([], [], color="#444444", linestyle=":", linewidth=1, label="published end")
    on_test = table.condition and PROTOCOLS[table.condition.protocol].select_on == "test"
    split = "test" if on_test else "validation"
    axes.set(xlabel="epoch", ylabel=f"{split} mIoU, %" if drawn else "mIoU, %")


def _under(result: Result, table: FilledTable) -> bool:
    condition, config = table.condition, result.config
    if condition is None:
        return False
    place = (config.protocol, config.backbone, config.limit)
    starts = config.method == "scratch" or config.weights == condition.weights
    return place == (condition.protocol, condition.backbone, condition.limit) and starts


def _reach(filled: FilledCell) -> list[list[float]]:
    """Lengths of the error bar below and above the value, shape (2, 1); 0 without an interval."""
    if not filled.interval or filled.value is None:
        return [[0.0], [0.0]]
    low, high = filled.interval
    # A percentile interval need not contain the mean, and matplotlib refuses negative lengths.
    return [[max(0.0, filled.value - low)], [max(0.0, high - filled.value)]]


def _mark(
    axes: Axes, points: Sequence[tuple[float, float]], label: str = "published", **changes: Any
) -> None:
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, label=label, **{**_PUBLISHED, **changes})


def _legend(part: SubFigure) -> None:
    """Draws one legend for all panels, below them."""
    entries: dict[str, Any] = {}
    for axes in part.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        columns = min(4, len(entries))
        part.legend(entries.values(), entries, loc="outside lower center", ncols=columns, fontsize=8)


_DRAW: Mapping[str, Draw] = {
    "figure4": _bars,
    "figure5a": _over_numbers,
    "figure5b": _over_images,
    "figure6k": _over_numbers,
    "figure6d": _over_numbers,
    "figure6n": _over_numbers,
    "figure7": _curves,
}
