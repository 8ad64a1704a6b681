"""Consoles, progress displays, tables, warnings and JSON output that the commands share."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any, TextIO

from rich import box
from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from aims.core.texts import one_line, printable


class Terminal(Console):
    """A console that shows what a terminal would obey, and goes on where nobody reads stderr any more."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Renders an object; names in files may hold escape sequences, which only rich itself may send."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def render_str(self, text: str, **options: Any) -> Text:
        """Makes a text of a string; before the layout, which counts letters."""
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        """Ends a command whose results nobody reads; one whose remarks nobody reads goes on.

        Raises:
            BrokenPipeError: the reader of stdout went away.
        """
        if not self.stderr:
            raise BrokenPipeError
        discard(sys.stderr)


# Wider than any table.
_ANYWHERE = 10_000

#: Results go to stdout, progress and remarks to stderr.
out = Terminal(highlight=False, soft_wrap=True)
err = Terminal(stderr=True, highlight=False)


def discard(stream: TextIO) -> None:
    """Lets everything that is written to a standard stream from now on vanish."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tolerate_any_text() -> None:
    """Lets the standard streams escape letters that their encoding lacks, and names that are no text."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Speed(ProgressColumn):
    """Column with the units per second, in one line however narrow the terminal is."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        text = "" if speed is None else f"{speed:.1f} {task.fields['unit']}/s"
        return Text(text, style="progress.data.speed")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress display on stderr, which draws nothing if stderr is not a terminal."""
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


class Counter:
    """One bar of a progress display that counts."""

    def __init__(self, progress: Progress, name: str, total: int | None, unit: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=total, note="", unit=unit)

    def total(self, total: int) -> None:
        """Sets the total number of units."""
        self._progress.update(self._task, total=total)

    def advance(self, count: int = 1) -> None:
        """Adds finished units."""
        self._progress.update(self._task, advance=count)


@contextmanager
def counting(name: str, total: int | None = None, unit: str = "images") -> Iterator[Counter]:
    """Shows a bar with the number of finished units while the block runs."""
    with progress_bar() as progress:
        yield Counter(progress, name, total, unit)


class Stages:
    """Shows one bar for the current stage of a long job."""

    def __init__(self, progress: Progress) -> None:
        self.bars, self.task = progress, TaskID(-1)

    def begin(self, name: str, total: float | None, done: float = 0, *, unit: str, note: str = "") -> None:
        """Replaces the bar of the previous stage."""
        self.clear()
        self.task = self.bars.add_task(name, total=total, note=note, unit=unit)
        self.update(completed=done)

    def clear(self) -> None:
        """Removes the bar."""
        for task in self.bars.task_ids:
            self.bars.remove_task(task)

    def update(self, **what: Any) -> None:
        """Updates the bar; the arguments are those of `rich.progress.Progress.update`."""
        self.bars.update(self.task, **what)


class FoldingTable(Table):
    """A table that is told row by row, "name value; name value", where words do not fit; bars go first."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders the table, or what it becomes."""
        if self._width(console, options) <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        plain = [column for column in self.columns if not any(isinstance(cell, Bar) for cell in column.cells)]
        if len(plain) < len(self.columns):
            barless = copy(self)
            barless.columns = plain
            yield from barless.__rich_console__(console, options)
            return
        if self.title:
            yield _text(console, self.title)
        first, *others = plain
        for name, *cells in zip(*(column.cells for column in plain), strict=True):
            yield Text.assemble(" ", (f"{first.header} ", "dim"), _text(console, name))
            told = Text("; ").join(
                Text.assemble((f"{column.header} " if column.header else "", "dim"), _text(console, cell))
                for column, cell in zip(others, cells, strict=True)
                if _text(console, cell)
            )
            # Also where the console leaves wrapping to the terminal.
            told.no_wrap, told.overflow = False, "fold"
            yield Padding(told, (0, 0, 0, 4))

    def _width(self, console: Console, options: ConsoleOptions) -> int:
        """Returns the columns of the terminal below which words break."""
        anywhere = options.update(max_width=_ANYWHERE)

        def width(column: Column) -> int:
            sizes = [Measurement.get(console, anywhere, each) for each in (column.header, *column.cells)]
            return max(each.maximum if column.no_wrap else each.minimum for each in sizes)

        # A cell has a space on both sides, and there is another one between cells.
        return sum(width(column) + 3 for column in self.columns) - 1


def _text(console: Console, cell: RenderableType) -> Text:
    if isinstance(cell, Text):
        return Text(cell.plain.strip(), style=cell.style)
    return console.render_str(str(cell))


def plain_table(**options: Any) -> Table:
    """A table with a line below its headings and no other; `options` are those of `rich.table.Table`."""
    return FoldingTable(box=box.SIMPLE_HEAD, header_style="dim", show_edge=False, **options)


def add_columns(table: Table, *names: str, left: Collection[str] = (), **options: Any) -> Table:
    """Adds columns, right-aligned except for those in `left`, and returns the table."""
    for name in names:
        table.add_column(name, justify="left" if name in left else "right", **options)
    return table


class WarningHandler(logging.Handler):
    """Writes log lines to the current `sys.stderr`, which a progress display replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        warn(record.getMessage())


def warn(message: str) -> None:
    """Writes one warning to stderr, above a progress display."""
    print(f"warning: {one_line(message)}", file=sys.stderr)


def print_json(value: Mapping[str, Any]) -> None:
    """Writes one JSON document to stdout."""
    # JSON has escapes of its own for letters that the encoding lacks.
    text = json.dumps(value, indent=2, ensure_ascii=not (sys.stdout.encoding or "").lower().startswith("utf"))
    sys.stdout.write(f"{printable(text)}\n")
