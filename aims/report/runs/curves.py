"""Training curves of runs, for the page to draw and for figures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from aims.core.curve import EpochLine
from aims.core.records import METRICS

#: What the page draws over epochs: name in `metrics.jsonl`, what it is called, the factor to what is shown.
CURVES = (("loss", "training loss", 1.0), ("val_miou", "validation mIoU, %", 100.0))

#: Of one run, in the order of `CURVES`: epochs and values.
Curves = Sequence[tuple[Sequence[int], Sequence[float]]]

# More digits than a screen can show would double the page.
_DIGITS = 4
_LINES = msgspec.json.Decoder(EpochLine)


def read_metrics(run: Path) -> list[EpochLine]:
    """The lines of a run's metrics.jsonl; a line that is not readable ends them."""
    # A curve is an extra: what is missing or damaged must not cost the report.
    try:
        data = (run / METRICS).read_bytes()
    except OSError:
        return []
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _LINES.decode_lines(data)
    lines: list[EpochLine] = []
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        for line in data.splitlines():
            lines.append(_LINES.decode(line))
    return lines


def read_curves(run: Path) -> Curves:
    """The curves of a run that a page draws."""
    lines = read_metrics(run)
    curves = []
    for name, _, factor in CURVES:
        points = [
            (line.epoch, float(f"{factor * value:.{_DIGITS}g}"))
            for line in lines
            if (value := getattr(line, name)) is not None
        ]
        curves.append(([epoch for epoch, _ in points], [value for _, value in points]))
    return curves
