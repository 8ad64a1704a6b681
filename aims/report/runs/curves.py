"""Training curves of runs, for the page to draw and for figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aims.core.records import METRICS

#: What the page draws over epochs: name in `metrics.jsonl`, what it is called, the factor to what is shown.
CURVES = (("loss", "training loss", 1.0), ("val_miou", "validation mIoU, %", 100.0))

#: Of one run, in the order of `CURVES`: epochs and values.
Curves = Sequence[tuple[Sequence[int], Sequence[float]]]

# More digits than a screen can show would double the page.
_DIGITS = 4
# JSON's integers have no bound, and Python reads its NaN and Infinity.
_FINITE = 1e300
_UNREADABLE = (ValueError, RecursionError)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a line that is not readable ends them."""
    # A curve is an extra: what is missing or damaged must not cost the report.
    try:
        texts = (run / METRICS).read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []
    lines: list[Any]
    try:
        lines = json.loads(f"[{','.join(texts)}]")
    except _UNREADABLE:
        lines = []
        with suppress(*_UNREADABLE):
            for text in texts:
                lines.append(json.loads(text))
    known = (isinstance(line, dict) and isinstance(line.get("epoch"), int) for line in lines)
    return lines[: next((place for place, good in enumerate(known) if not good), len(lines))]


def read_curves(run: Path) -> Curves:
    """The curves of a run that a page draws, without what is no finite number."""
    lines = read_metrics(run)
    curves = []
    for name, _, factor in CURVES:
        points = [
            (line["epoch"], float(f"{factor * value:.{_DIGITS}g}"))
            for line in lines
            if abs(line["epoch"]) < _FINITE
            and isinstance(value := line.get(name), int | float)
            and abs(value) < _FINITE
        ]
        curves.append(([epoch for epoch, _ in points], [value for _, value in points]))
    return curves
