"""The details that a cell of the page opens: its runs, provenance, instances, and training curves."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from aims.core.checks import SELECTION
from aims.core.config import RunConfig
from aims.core.sizes import LARGE_NAME
from aims.core.words import count
from aims.reports.comparison.captions import comparison_title
from aims.reports.comparison.costs import COSTS
from aims.reports.comparison.table import MEAN, Comparison, ComparisonRow
from aims.reports.runs.costs import Costs
from aims.reports.runs.curves import Curves
from aims.reports.runs.load import Run
from aims.reports.runs.results import Result
from aims.reports.tables.marks import marked
from aims.reports.tables.numbers import interval, percent, seed_list, short
from aims.reports.tables.scores import Score


@dataclass(frozen=True, kw_only=True)
class Detail:
    """The details of one result, or of a mean over modalities.

    Attributes:
        key: id of its element in the page.
        heading: method, tuning and modality.
        place: title of the table that it belongs to.
        score: mIoU in percent and its interval.
        parts: for a mean, (modality, key, score) of each modality; else empty.
        settings: (name, value) of each setting of the configuration.
        costs: (name, value) of each known cost.
        runs: one line per run, with the columns `RUN_COLUMNS`.
        provenance: (name, distinct values over the runs) of each known fact.
        shown: (index of the table, index of the row, modality) whose masks are its own; None for a mean.
    """

    key: str
    heading: str
    place: str
    score: str
    parts: tuple[tuple[str, str, str], ...]
    settings: tuple[tuple[str, str], ...]
    costs: tuple[tuple[str, str], ...]
    runs: tuple[tuple[str, ...], ...]
    provenance: tuple[tuple[str, tuple[str, ...]], ...]
    shown: tuple[int, int, str] | None


RUN_COLUMNS = (
    *("run", "check", "modality", "seed", "mIoU", LARGE_NAME, "validation", "epoch", "seconds", "memory"),
    *("at once", "finished"),
)


class Details:
    """Collects the details of a page's cells; cells of one result in several tables share them.

    Args:
        comparisons: the tables of the page.
    """

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        self.all: list[Detail] = []
        #: Training curves by id of the details, then by seed.
        self.curves: dict[str, dict[int, Curves]] = {}
        self._tables = comparisons
        self._keys: dict[tuple[int, int, str] | str, str] = {}
        for place, table in enumerate(comparisons):
            for line, row in enumerate(table.rows):
                for column in table.columns:
                    if column in row.cells:
                        self._add((place, line, column), table, row, column)

    def key(self, place: int, line: int, column: str) -> str:
        """Id of the details of a cell, given the index of its table, the index of its row, and its column."""
        return self._keys[place, line, column]

    def trained(self, place: int, modality: str) -> list[tuple[int, str]]:
        """(index of the row, id of the details) of every row of a table that has curves with a modality."""
        rows = enumerate(self._tables[place].rows)
        keys = [(line, self.key(place, line, modality)) for line, row in rows if modality in row.cells]
        return [(line, key) for line, key in keys if key in self.curves]

    def _add(self, cell: tuple[int, int, str], table: Comparison, row: ComparisonRow, column: str) -> None:
        result = row.cells[column].result
        if result is not None and result.runs[0].folder in self._keys:
            self._keys[cell] = self._keys[result.runs[0].folder]
            return
        key = f"details-{len(self.all) + 1}"
        self._keys[cell] = key
        if result is not None:
            self._keys[result.runs[0].folder] = key
            self.all.append(_of_result(key, table, row, result, cell))
            known = {run.config.seed: run.curves for run in result.runs}
            drawn = {seed: curves for seed, curves in known.items() if any(epochs for epochs, _ in curves)}
            if drawn:
                self.curves[key] = drawn
        else:
            parts = [(name, self.key(*cell[:2], name), row.cells[name]) for name in table.mean_over]
            self.all.append(_of_mean(key, table, row, parts))


def _of_result(
    key: str, table: Comparison, row: ComparisonRow, result: Result, shown: tuple[int, int, str]
) -> Detail:
    cell = next(cell for cell in row.cells.values() if cell.result is result)
    modality = result.config.modality
    return Detail(
        key=key,
        heading=row.label if row.is_floor else f"{row.label}: {modality}",
        place=comparison_title(table),
        score=_score(cell),
        parts=(),
        settings=_settings(result.config, seed_list(result.seeds)),
        costs=_costs(result.costs),
        runs=tuple(map(_run_line, result.runs)),
        provenance=_provenance(result.runs),
        shown=shown,
    )


def _of_mean(
    key: str, table: Comparison, row: ComparisonRow, parts: Sequence[tuple[str, str, Score]]
) -> Detail:
    runs = [run for _, _, cell in parts if cell.result for run in cell.result.runs]
    return Detail(
        key=key,
        heading=f"{row.label}: mean over {len(parts)} modalities",
        place=comparison_title(table),
        score=_score(row.cells[MEAN]),
        parts=tuple((name, part, _score(cell)) for name, part, cell in parts),
        settings=(),
        costs=_costs(row.costs),
        runs=tuple(map(_run_line, dict.fromkeys(runs))),
        provenance=_provenance(runs),
        shown=None,
    )


def _score(cell: Score) -> str:
    return f"{percent(cell.value)} {interval(cell.interval)}".strip()


def _settings(config: RunConfig, seeds_of_result: str) -> tuple[tuple[str, str], ...]:
    """(name, value) of every field of the configuration that is set."""
    shown = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    shown |= {"options": config.options_text, "lr": f"{config.lr:g}", "seed": seeds_of_result}
    return tuple(
        (name.replace("_", " "), str(value)) for name, value in shown.items() if value not in (None, "")
    )


def _costs(costs: Costs) -> tuple[tuple[str, str], ...]:
    return tuple((cost.name, text) for cost in COSTS if (text := cost.text(costs)))


def _run_line(run: Run) -> tuple[str, ...]:
    content, peak, unchecked = run.content, run.peak_bytes, run.check.not_checked
    return (
        run.folder,
        run.check.level,
        run.config.modality,
        str(run.config.seed),
        percent(run.miou),
        percent(run.miou_large),
        marked(percent(run.val_miou), SELECTION in unchecked),
        "" if content.scores is None else str(content.scores.epoch),
        marked("" if content.seconds is None else f"{content.seconds:,.1f}", "seconds" in unchecked),
        marked("" if peak is None else f"{short(peak)}B", "peak_memory_bytes" in unchecked),
        _at_once(run),
        (content.finished or "").replace("T", " ")[:16],
    )


def _at_once(run: Run) -> str:
    """Micro-batch and batch size, e.g. "2 of 4", for a run whose memory was too small for the whole batch."""
    images = run.content.micro_batch
    if not images or images * (run.content.processes or 1) >= run.config.batch_size:
        return ""
    return f"{images} of {run.config.batch_size}"


def _provenance(runs: Sequence[Run]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """How the runs were made: for each fact, its distinct values over the runs."""
    facts: Mapping[str, Callable[[Run], str | None]] = {
        "commit": lambda run: run.content.code.commit or None if run.content.code else None,
        "versions": _versions,
        "hardware": _hardware,
        "command": _command,
        "weights": lambda run: run.config.weights,
        "dataset": lambda run: f"{run.config.dataset}, content {run.config.fingerprint}",
        "licence": lambda run: run.content.dataset.license or None if run.content.dataset else None,
        "source": lambda run: run.content.dataset.url or None if run.content.dataset else None,
        "signed by": lambda run: run.check.signer,
        "epoch chosen on": lambda run: run.content.selected_on or None,
    }
    found = ((name, tuple(dict.fromkeys(filter(None, map(of, runs))))) for name, of in facts.items())
    return tuple((name, said) for name, said in found if said)


def _versions(run: Run) -> str:
    code, hardware = run.content.code, run.content.hardware
    said = [
        ("AIMS", code and code.aims),
        ("torch", code and code.torch),
        ("Python", hardware and hardware.python),
    ]
    return ", ".join(f"{name} {version}" for name, version in said if version)


def _hardware(run: Run) -> str:
    hardware, processes = run.content.hardware, run.content.processes or 1
    if hardware is None:
        return ""
    words = [hardware.name or "", hardware.device]
    words += [f"{processes} processes"] if processes > 1 else []
    words += [count(hardware.threads, "thread")] if hardware.threads else []
    return ", ".join(filter(None, words))


def _command(run: Run) -> str:
    """The command line; paths are cut to their last part, so that the page does not publish local folders."""
    said = run.content.command
    if not said:
        return ""
    program = _last(said[0])
    return " ".join(["aims" if program == "__main__.py" else shlex.quote(program), *map(_shown, said[1:])])


def _shown(argument: str) -> str:
    name, equals, value = argument.rpartition("=")
    # Absolute paths, paths from the home folder, and those with a drive of Windows.
    if re.match(r"[/~\\]|[A-Za-z]:[\\/]", value):
        return f"{name}{equals}…/{shlex.quote(_last(value))}"
    return shlex.quote(argument)


def _last(path: str) -> str:
    # The run may have been made on another system than the one that writes the page.
    return (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).name
