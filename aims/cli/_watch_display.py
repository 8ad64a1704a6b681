"""The table of `aims watch`: one line a run where the terminal is wide enough for its name, else two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from aims.cli._sweep_display import duration
from aims.cli._terminal import add_columns, plain_table
from aims.core.config import NO_TUNING, RunConfig, told_apart
from aims.engine.watching import STATES, Watched

# Columns of the terminal that a table takes beside the names of its runs, and at most.
_BESIDE, _WIDEST = 82, 140
_STYLES = {"running": "green", "starting": "green", "stopped": "yellow", "failed": "red", "unreadable": "red"}
_BARS = "▁▂▃▄▅▆▇█"
_CURVE = 12


class Overview:
    """Everything that is known of the runs, as wide as the console.

    Args:
        runs: the runs in the order to show them.
        height: largest number of lines; None for all.
    """

    def __init__(self, runs: Sequence[Watched], height: int | None = None) -> None:
        self.runs, self.height = runs, height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names, shared = _names(self.runs)
        wide = options.max_width >= _BESIDE + max(map(len, names.values()), default=0)
        # Above and below the runs: counts, headings and their line, what is left out, the pictures.
        fit = len(self.runs) if self.height is None else max(1, (self.height - 7) // (1 if wide else 2))
        shown = self.runs[:fit]
        yield Text(f"{_counts(self.runs)}{shared}", style="bold")
        if wide:
            yield _table(shown, names, options.max_width)
        else:
            yield from (line for run in shown for line in _lines(run, names[run.path], options.max_width))
        if len(shown) < len(self.runs):
            yield Text(f"and {len(self.runs) - len(shown)} more", style="dim")
        yield from self._remarks(shown, names)

    def _remarks(self, shown: Sequence[Watched], names: Mapping[Path, str]) -> Iterator[RenderableType]:
        for run in [run for run in shown if run.reason][:2]:
            reason = " ".join(run.reason.split())
            yield Text(f"{names[run.path]}: {reason}", style="red", no_wrap=True, overflow="ellipsis")
        newest = max((run for run in self.runs if run.samples), key=lambda run: run.changed, default=None)
        if newest is not None:
            yield Text(f"pictures of the latest: {newest.samples}", style="dim", overflow="fold")


def _counts(runs: Sequence[Watched]) -> str:
    states = [run.state for run in runs]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states) or "no runs yet"


def _table(runs: Sequence[Watched], names: Mapping[Path, str], width: int) -> Table:
    table = plain_table(width=min(width, _WIDEST))
    table.add_column("run", no_wrap=True, overflow="ellipsis", ratio=1)
    add_columns(table, "", "epoch", "loss", "", "mIoU", "memory", "time", "left", left=("",), no_wrap=True)
    for run in runs:
        table.add_row(
            names[run.path],
            Text(run.state, style=_STYLES.get(run.state, "")),
            _epoch(run),
            _loss(run),
            _curve(run),
            _score(run),
            _memory(run),
            "" if run.seconds is None else duration(run.seconds),
            "" if run.seconds_left is None else duration(run.seconds_left),
        )
    return table


def _lines(run: Watched, name: str, width: int) -> Iterator[Text]:
    """The two lines of a run; what matters least is left out where they are too long."""
    left = "" if run.seconds_left is None else f"{duration(run.seconds_left)} left"
    parts = {
        "epoch": _epoch(run),
        "loss": _loss(run),
        "curve": _curve(run),
        "score": _score(run),
        "memory": _memory(run),
        "left": left,
    }
    for least in ("curve", "memory"):
        if 2 + len(run.state) + sum(2 + len(part) for part in parts.values() if part) > width:
            del parts[least]
    yield Text(name, style="bold", no_wrap=True, overflow="ellipsis")
    words = Text(f"  {run.state}", style=_STYLES.get(run.state, ""), no_wrap=True, overflow="ellipsis")
    yield words.append("".join(f"  {part}" for part in parts.values() if part), style="default")


def _names(runs: Sequence[Watched]) -> tuple[dict[Path, str], str]:
    """Names runs by their method, the settings in which runs of one method differ, and their data.

    Returns:
        Names by folder; and what several runs share, which their names leave out.
    """
    configs = [run.config for run in runs if run.config is not None]
    data = {config.data for config in configs}
    shared = f", {data.pop()}" if len(data) == 1 and len(configs) > 1 else ""
    names = {run.path: run.path.name for run in runs}
    paths = [run.path for run in runs if run.config is not None]
    alike: dict[tuple[str, ...], list[RunConfig]] = {}
    for config in configs:
        alike.setdefault(_kind(config), []).append(config)
    for path, config, told in zip(paths, configs, told_apart(configs, _kind), strict=True):
        name = _method(config, told, alike[_kind(config)])
        where = "" if shared else f"{config.data}, "
        names[path] = f"{name}, {where}seed {config.seed}"
    return names, shared


def _kind(config: RunConfig) -> tuple[str, ...]:
    return config.method, config.tuning, config.data


def _method(config: RunConfig, told: Sequence[str], alike: Sequence[RunConfig]) -> str:
    """Returns method and tuning, with the settings in which `alike` differ."""
    parts = [*filter(None, [config.options_text]), *told]
    for name in ("protocol", "backbone"):
        if len({getattr(each, name) for each in alike}) > 1:
            parts.append(getattr(config, name))
    tuning = "" if config.tuning == NO_TUNING else f" {config.tuning}"
    return f"{config.method}{tuning}" + (f" ({', '.join(parts)})" if parts else "")


def _epoch(run: Watched) -> str:
    return f"{int(run.epochs)}/{run.config.epochs}" if run.config and run.config.epochs else ""


def _loss(run: Watched) -> str:
    losses = [line.loss for line in run.lines if line.loss is not None]
    return f"{losses[-1]:.3f}" if losses else ""


def _curve(run: Watched) -> str:
    """Draws the losses of the epochs, at most `_CURVE` of them, evenly spaced."""
    losses = [line.loss for line in run.lines if line.loss is not None]
    if len(losses) < 2:
        return ""
    count = min(_CURVE, len(losses))
    chosen = [losses[round(k * (len(losses) - 1) / (count - 1))] for k in range(count)]
    low, high = min(chosen), max(chosen)
    scale = (len(_BARS) - 1) / (high - low or 1)
    return "".join(_BARS[round((loss - low) * scale)] for loss in chosen)


def _score(run: Watched) -> str:
    return "" if run.score is None else f"{run.score[0]} {100 * run.score[1]:.2f} %"


def _memory(run: Watched) -> str:
    return f"{run.peak_bytes / 1e9:.1f} GB" if run.peak_bytes else ""
