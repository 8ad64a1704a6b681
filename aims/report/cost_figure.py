"""Score against cost: one row of plots a comparison, as SVG, as PNG, and as the numbers behind them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from aims.report.comparison import MEAN, Comparison, ComparisonRow
from aims.report.comparison_words import column_name, comparison_title, short
from aims.report.cost import COSTS, device_unit
from aims.report.curves import COLOURS, FIGURE_STYLE, TEXT, inline_svg
from aims.report.floors import DISC
from aims.report.render import condition_fields, whole, write_csv
from aims.report.wording import percent

#: The costs that are drawn; what they are called below an axis.
AXES = {
    "trained parameters": "trained parameters",
    "FLOPs an image": "FLOPs an image",
    "device hours a run": "device hours a run",
    "peak memory": "peak memory, bytes",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_WIDTH, _HEIGHT = 11.0, 3.4
_DPI = 130
# More would run into each other below a narrow plot.
_TICKS = 4


def cost_files(tables: Sequence[Comparison]) -> dict[str, str | bytes]:
    """The figure on white, as SVG and PNG, and the numbers behind it, by the names of the files."""
    svg, png = _draw(tables, ("svg", "png"))
    return {
        "cost.csv": cost_csv(tables),
        "cost.svg": svg.decode("utf-8").replace(TEXT, "#16191f"),
        "cost.png": png,
    }


def cost_inline(table: Comparison) -> str:
    """The figure of one table as SVG inside a page, in the colours of its text; empty without a model."""
    if not any(_score(table, row) for row in table.rows if not row.is_floor):
        return ""
    (svg,) = _draw([table], ("svg",), inline=True)
    return inline_svg(svg.decode("utf-8"))


def cost_alt(table: Comparison) -> str:
    """What the figure of one table shows, in words."""
    return f"mIoU with {column_name(cost_column(table))} against {', '.join(AXES)}: numbers of the table"


def cost_csv(tables: Sequence[Comparison]) -> str:
    """The numbers of the figure: one line a row of a table, where it has a score to draw."""
    place = ("protocol", "backbone", "limit", "weights", "dataset", "fingerprint")
    fields: tuple[str, ...] = (*place, "row", "method", "tuning", "modality", "miou", "low", "high")
    fields += ("trained_parameters", "flops", "seconds", "device", "device_hours", "peak_memory_bytes")
    fields += ("learning_rates",)
    return write_csv(
        fields, (_line(table, row) for table in tables for row in table.rows if _score(table, row))
    )


def _line(table: Comparison, row: ComparisonRow) -> dict[str, Any]:
    low, high = row.cells[cost_column(table)].interval or (None, None)
    value = {cost.name: cost.value(row) for cost in COSTS}
    return {
        **condition_fields(table.condition),
        "dataset": table.dataset,
        "fingerprint": table.fingerprint,
        "row": row.label,
        "method": row.method,
        "tuning": row.results[0].config.tuning,
        "modality": column_name(cost_column(table)),
        "miou": percent(_score(table, row)),
        "low": percent(low),
        "high": percent(high),
        "trained_parameters": whole(value["trained parameters"]),
        "flops": whole(value["FLOPs an image"]),
        "seconds": None if row.seconds is None else f"{row.seconds:.6g}",
        "device": row.device,
        "device_hours": None if row.hours is None else f"{row.hours:.6g}",
        "peak_memory_bytes": whole(row.peak_bytes),
        "learning_rates": row.learning_rates[1],
    }


def cost_column(table: Comparison) -> str:
    """Whose score is drawn: the mean, else the modality that most rows have."""
    if table.mean_over:
        return MEAN
    return max(table.modalities, key=lambda name: sum(name in row.cells for row in table.rows))


def _score(table: Comparison, row: ComparisonRow) -> float | None:
    cell = row.cells.get(cost_column(table))
    return cell.miou if cell else None


def _draw(tables: Sequence[Comparison], kinds: Sequence[str], *, inline: bool = False) -> list[bytes]:
    """The figure in several formats; inside a page, whose text says of which table it is, on no ground."""
    files = []
    # Names may hold dollar signs; they are no formulas.
    with mpl.rc_context({**FIGURE_STYLE, "text.parse_math": False}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT * max(1, len(tables))), layout="constrained")
        if not tables:
            figure.text(0.5, 0.5, "There is no finished run.", ha="center", va="center")
        styles = _Styles(row for table in tables for row in table.rows if not row.is_floor)
        parts = figure.subfigures(max(1, len(tables)), 1, squeeze=False).flat
        for part, table in zip(parts, tables, strict=False):
            _draw_table(part, table, styles, titled=not inline)
        for kind in kinds:
            found = io.BytesIO()
            metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
            figure.savefig(found, format=kind, dpi=_DPI, transparent=inline, metadata=metadata)
            files.append(found.getvalue())
            # The layout stays: to find it takes as long as to draw.
            figure.set_layout_engine("none")
    return files


class _Styles:
    """A colour a method, a marker a tuning; where the colours are used up, hollow markers."""

    def __init__(self, rows: Iterable[ComparisonRow]) -> None:
        known = [(row.method, row.results[0].config.tuning) for row in rows]
        self.methods = sorted({method for method, _ in known})
        self.tunings = sorted({tuning for _, tuning in known})

    def __call__(self, row: ComparisonRow) -> dict[str, Any]:
        place = self.methods.index(row.method)
        marker = self.tunings.index(row.results[0].config.tuning)
        colour = COLOURS[place % len(COLOURS)]
        hollow = place // len(COLOURS) % 2 == 1
        return {
            "color": colour,
            "marker": _MARKERS[marker % len(_MARKERS)],
            "markerfacecolor": "none" if hollow else colour,
            "markeredgewidth": 1.6 if hollow else 0.6,
            "markeredgecolor": colour if hollow else TEXT,
        }


def _draw_table(part: SubFigure, table: Comparison, styles: _Styles, *, titled: bool) -> None:
    if titled:
        part.suptitle(comparison_title(table), fontsize=9, x=0.01, ha="left")
    column = cost_column(table)
    rows = [row for row in table.rows if column in row.cells and not row.is_floor]
    disc = next(
        (row.cells[column].miou for row in table.rows if row.method == DISC and column in row.cells), None
    )
    costs = [cost for cost in COSTS if cost.name in AXES]
    for place, (cost, axes) in enumerate(zip(costs, part.subplots(1, len(costs), sharey=True), strict=True)):
        drawn = [(value, row) for row in rows if (value := cost.value(row)) is not None]
        _points(axes, drawn, column, styles)
        if disc is not None:
            axes.axhline(100 * disc, color=TEXT, linewidth=0.9, linestyle="--", alpha=0.6)
            axes.annotate(
                DISC,
                (0.99, 100 * disc),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
            )
        label = AXES[cost.name]
        if cost.name == "device hours a run":
            units = {device_unit(row.device) for _, row in drawn}
            label += f", {units.pop()}" if len(units) == 1 else ""
        axes.set(xlabel=label, ylabel="" if place else f"mIoU, %, {column_name(column)}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.15, color=TEXT)
    names = dict(sorted({(row.method, row.results[0].config.tuning): row for row in rows}.items()))
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            markersize=7,
            label=method if tuning == "none" else f"{method}, {tuning}",
            **styles(row),
        )
        for (method, tuning), row in names.items()
    ]
    if handles:
        part.legend(
            handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False, fontsize=9
        )


def _points(axes: Axes, drawn: Sequence[tuple[float, ComparisonRow]], column: str, styles: _Styles) -> None:
    """Scores with their intervals over a logarithmic axis; zero has a place of its own, left of it."""
    known = [value for value, _ in drawn if value > 0]
    if not drawn:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center", fontsize=9)
        axes.set_xticks([])
        return
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    low, high = low / 1.6, high * 1.6
    zero = low / (high / low) ** 0.18
    has_zero = len(known) < len(drawn)
    for value, row in drawn:
        cell = row.cells[column]
        at, score = value or zero, 100 * cell.miou
        if cell.interval:
            axes.plot([at, at], [100 * end for end in cell.interval], color=TEXT, alpha=0.35, linewidth=1)
        axes.plot([at], [score], linestyle="", markersize=7, **styles(row))
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
    """At most four round numbers of a logarithmic axis, and two at least."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        finer = [step * 10.0**decade for decade in decades for step in steps]
        finer = [tick for tick in finer if low <= tick <= high]
        if len(found) > 1 and len(finer) > _TICKS:
            break
        found = finer
    return found[:: max(1, math.ceil(len(found) / _TICKS))]


def _tick_text(value: float) -> str:
    return short(value) if value >= 1 else f"{value:.3g}"
