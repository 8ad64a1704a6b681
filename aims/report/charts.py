"""Training curves of one result: small charts as SVG, light enough for every cell of a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

from markupsafe import Markup

from aims.report.curves import read_metrics
from aims.report.runs import Run

#: Name in `metrics.jsonl`, what it is called, and the factor to what is shown.
_CURVES = (("loss", "training loss", 1.0), ("val_miou", "validation mIoU, %", 100.0))
_WIDTH, _HEIGHT = 300, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 22
_DASHES = ("", "6 3", "2 3", "8 3 2 3")

Curve = Sequence[tuple[int, float]]


def draw_charts(runs: Sequence[Run]) -> tuple[Markup, ...]:
    """Draws the curves of a result over epochs, a line a seed; nothing where its runs have none."""
    metrics = {run.config.seed: read_metrics(run.path) for run in runs}
    charts = []
    for name, title, factor in _CURVES:
        curves = {
            seed: [
                (line["epoch"], factor * line[name])
                for line in lines
                if isinstance(line.get(name), int | float) and math.isfinite(line[name])
            ]
            for seed, lines in metrics.items()
        }
        if any(curves.values()):
            charts.append(draw_chart(title, {seed: curve for seed, curve in curves.items() if curve}))
    return tuple(charts)


def draw_chart(title: str, curves: dict[int, Curve]) -> Markup:
    """Draws one chart.

    Args:
        title: what is drawn.
        curves: (epoch, value) by seed, none of them empty.
    """
    points = list(chain.from_iterable(curves.values()))
    first, last = min(epoch for epoch, _ in points), max(epoch for epoch, _ in points)
    low, high = min(value for _, value in points), max(value for _, value in points)

    def at(epoch: int, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((epoch - first) / (last - first) if last > first else 0.5)
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * ((high - value) / (high - low) if high > low else 0.5)
        return f"{x:.1f},{y:.1f}"

    lines = []
    for place, (seed, curve) in enumerate(sorted(curves.items())):
        dash = _DASHES[place % len(_DASHES)]
        lines.append(
            Markup('<polyline points="{}" stroke-dasharray="{}"><title>seed {}</title></polyline>').format(
                " ".join(at(*point) for point in curve), dash, seed
            )
        )
        # A single epoch is no line.
        lines += [Markup('<circle cx="{}" cy="{}" r="2.5"/>').format(*at(*curve[-1]).split(","))]
    bottom = _HEIGHT - _BOTTOM
    labels = [
        (_LEFT - 5, _TOP + 4, "end", _number(high)),
        (_LEFT - 5, bottom, "end", _number(low) if high > low else ""),
        (_LEFT, _HEIGHT - 7, "start", f"epoch {first}" if last > first else ""),
        (_WIDTH - _RIGHT, _HEIGHT - 7, "end", str(last) if last > first else f"epoch {last}"),
    ]
    texts = [Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(*label) for label in labels]
    alt = f"{title} over epochs {first} to {last}, between {_number(low)} and {_number(high)}"
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption>'
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<path class="axis" d="M{} {}V{}H{}"/>{}{}</svg></figure>'
    ).format(
        *(title, _WIDTH, _HEIGHT, alt, _LEFT, _TOP, bottom, _WIDTH - _RIGHT),
        *(Markup("").join(lines), Markup("").join(texts)),
    )


def _number(value: float) -> str:
    return f"{value:.3g}"
