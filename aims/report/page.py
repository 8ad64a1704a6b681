"""The report as one HTML page that loads nothing: tables, curves and panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2

from aims.report.comparison import Comparison, ComparisonCell
from aims.report.comparison_words import (
    TIED,
    cell_interval,
    column_name,
    comparison_facts,
    counts,
    difference_lines,
    notes,
    paired_notes,
    seconds_text,
    seeds_text,
    size_columns,
    size_note,
    trained_text,
)
from aims.report.curves import Curves, draw_curves
from aims.report.panels import Panel, draw_panels, open_datasets
from aims.report.runs import LeftOut
from aims.report.wording import percent

#: How to go on with a sensor of one's own.
NEXT_STEPS = (
    (
        "describe your folder in one TOML (README, Your own sensor)",
        "aims convert folder SENSOR.toml",
    ),
    ("train and evaluate", "aims run --method simcmf --modality STREAM --backbone sam-tiny"),
    ("tables and this page", "aims report"),
)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One table with what belongs to it; its highest score fills a bar."""

    table: Comparison
    highest: float
    curves: tuple[Curves, ...]
    panels: tuple[Panel, ...]


def render_page(
    comparisons: Sequence[Comparison],
    left_out: Sequence[LeftOut],
    *,
    data: Path | None = None,
    title: str = "AIMS leaderboard",
) -> str:
    """Draws the page.

    Args:
        comparisons: the tables.
        left_out: run folders in no table.
        data: a converted dataset or a folder of several, for the panels; None for no panels.
        title: heading.

    Returns:
        HTML. Names from runs are escaped. The same runs and data give the same text.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "column_name": column_name, "interval": cell_interval}
    template = environment.from_string(files("aims.report").joinpath("index.html.j2").read_text("utf-8"))
    datasets = open_datasets(data)
    parts = [
        _Part(
            table=table,
            highest=max(cell.miou for row in table.rows for cell in row.cells.values()) or 1.0,
            curves=draw_curves(table),
            panels=draw_panels(table, datasets),
        )
        for table in comparisons
    ]
    return template.render(
        title=title,
        parts=parts,
        left_out=left_out,
        tied=TIED,
        facts=comparison_facts,
        counts=counts,
        notes=notes,
        paired_notes=paired_notes,
        difference=difference_lines,
        seeds=seeds_text,
        trained=trained_text,
        seconds=seconds_text,
        size_columns=size_columns,
        size_note=size_note,
        share=_share,
        next_steps=NEXT_STEPS,
    )


def _share(cell: ComparisonCell, highest: float) -> str:
    """Length of a cell's bar in percent."""
    return f"{100 * cell.miou / highest:.1f}"
