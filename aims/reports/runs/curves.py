"""Reads the training curves of runs, for the page and for the figures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from aims.core.curve import EpochLine, largest_curve
from aims.core.errors import InputError
from aims.core.files import own_file
from aims.core.records import METRICS

#: Curves that the page draws over epochs: field of `metrics.jsonl`, axis label, factor to the label's unit.
CURVES = (("loss", "training loss", 1.0), ("val_miou", "validation mIoU, %", 100.0))

#: The curves of one run in the order of `CURVES`, each a pair (epochs, values).
Curves = Sequence[tuple[Sequence[int], Sequence[float]]]

# Significant digits of a value: the curves are embedded in the page, and all digits would double its size.
_DIGITS = 4
_LINES = msgspec.json.Decoder(EpochLine)


def read_metrics(run: Path, epochs: int) -> list[EpochLine]:
    """Reads metrics.jsonl of a run of so many epochs up to the first line that cannot be parsed.

    Empty without the file, or if it is larger than it can be.
    """
    # A missing or damaged curve must not fail the report: the scores do not depend on it.
    largest = largest_curve(epochs)
    try:
        with own_file(run / METRICS).open("rb") as file:
            data = file.read(largest + 1)
    except (OSError, InputError):
        return []
    if len(data) > largest:
        return []
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _LINES.decode_lines(data)
    # Some line is damaged: decode line by line to keep those before it.
    lines: list[EpochLine] = []
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        for line in data.splitlines():
            lines.append(_LINES.decode(line))
    return lines


def read_curves(run: Path, epochs: int) -> Curves:
    """Reads the curves of a run of so many epochs that the page draws, in the order of `CURVES`."""
    lines = read_metrics(run, epochs)
    curves = []
    for name, _, factor in CURVES:
        points = [
            (line.epoch, float(f"{factor * value:.{_DIGITS}g}"))
            for line in lines
            if (value := getattr(line, name)) is not None
        ]
        curves.append(([epoch for epoch, _ in points], [value for _, value in points]))
    return curves
