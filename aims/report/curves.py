"""Training curves of the runs of a table, as SVG that takes the colours of the page around it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aims.core.records import METRICS
from aims.report.comparison import Comparison, ComparisonRow

# Okabe and Ito (2008): told apart by colour-blind readers too; black is left to the text.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
_DASHES = ("-", "--", ":")
# More curves cannot be told apart; the rows of a table begin with the best.
_DRAWN = len(COLOURS) * len(_DASHES)
#: Stands for the colour of the text around; no curve has it.
TEXT = "#010203"
#: Of every figure: the same runs give the same bytes, and text stays text.
FIGURE_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "aims",
    "font.family": "sans-serif",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), TEXT),
    "legend.labelcolor": TEXT,
}


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The curves of one modality.

    Attributes:
        modality: name of the modality.
        svg: the picture.
        alt: what it shows, in words.
    """

    modality: str
    svg: str
    alt: str


def draw_curves(table: Comparison) -> tuple[Curves, ...]:
    """Draws training loss and validation mIoU over epochs for every modality; nothing where none trained."""
    return tuple(curves for modality in table.modalities if (curves := _modality(table, modality)))


def _modality(table: Comparison, modality: str) -> Curves | None:
    # One more than can be drawn is read, to know whether there are more.
    found = ((row, lines) for row in table.rows if (lines := _seeds(row, modality)))
    trained = [*islice(found, _DRAWN + 1)]
    if not trained:
        return None
    left = f"the first {_DRAWN} rows of the table" if len(trained) > _DRAWN else None
    trained = trained[:_DRAWN]
    # Names may hold dollar signs; they are no formulas.
    with mpl.rc_context({**FIGURE_STYLE, "text.parse_math": False}):
        figure = Figure(figsize=(8.4, 2.9), layout="constrained")
        loss, score = figure.subplots(1, 2)
        for place, (row, seeds) in enumerate(trained):
            style = {
                "color": COLOURS[place % len(COLOURS)],
                "linestyle": _DASHES[place // len(COLOURS) % len(_DASHES)],
            }
            _draw(loss, seeds, "loss", 1, row.label, style)
            _draw(score, seeds, "val_miou", 100, row.label, style)
        for axes, label in ((loss, "training loss"), (score, "validation mIoU, %")):
            axes.set(xlabel="epoch", ylabel=label)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.15, color=TEXT)
        figure.legend(
            *loss.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(4, len(trained)),
            frameon=False,
            fontsize=8,
            title=left,
            title_fontsize=8,
        )
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Curves(
        modality=modality,
        svg=inline_svg(text.getvalue()),
        alt=f"{modality}: training loss and validation mIoU over epochs of "
        + ", ".join(row.label for row, _ in trained)
        + (f"; {left}" if left else ""),
    )


def inline_svg(svg: str) -> str:
    """What stands inside a page: without the XML head, and with the page's own text colour."""
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL).replace(TEXT, "currentColor")


def _seeds(row: ComparisonRow, modality: str) -> list[list[dict[str, Any]]]:
    cell = row.cells.get(modality)
    runs = cell.result.runs if cell and cell.result else ()
    return [lines for run in runs if (lines := read_metrics(run.path))]


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a line that is not readable ends them."""
    lines: list[dict[str, Any]] = []
    # A curve is an extra: what is missing or damaged must not cost the report.
    with suppress(OSError, ValueError):
        for text in (run / METRICS).read_text("utf-8").splitlines():
            line = json.loads(text)
            if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
                break
            lines.append(line)
    return lines


def _draw(
    axes: Axes,
    seeds: Sequence[Iterable[dict[str, Any]]],
    name: str,
    factor: float,
    label: str,
    style: dict[str, Any],
) -> None:
    """The mean over seeds, and a band from the lowest to the highest."""
    by_epoch: dict[int, list[float]] = {}
    for lines in seeds:
        for line in lines:
            if isinstance(line.get(name), int | float):
                by_epoch.setdefault(line["epoch"], []).append(factor * line[name])
    epochs = sorted(by_epoch)
    values = [by_epoch[epoch] for epoch in epochs]
    marker = "o" if len(epochs) < 20 else ""
    means = [float(np.mean(some)) for some in values]
    axes.plot(epochs, means, marker=marker, label=label, linewidth=1.6, markersize=3, **style)
    if any(len(some) > 1 for some in values):
        lows, highs = [min(some) for some in values], [max(some) for some in values]
        axes.fill_between(epochs, lows, highs, color=style["color"], alpha=0.15, linewidth=0)
