"""What the commands share: consoles, progress, JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

#: Results go to stdout, progress and remarks to stderr.
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


class _Speed(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        text = "" if speed is None else f"{speed:.1f} {task.fields['unit']}/s"
        return Text(text, style="progress.data.speed")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress display on stderr; draws nothing where stderr is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        _Speed(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield progress


class WarningHandler(logging.Handler):
    """Writes log lines to stderr as it is now: a progress display puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        warn(record.getMessage())


def warn(message: str) -> None:
    """Writes one warning to stderr, above a progress display."""
    print(f"warning: {message}", file=sys.stderr)


def print_json(value: Mapping[str, Any]) -> None:
    """Writes one JSON document to stdout."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
