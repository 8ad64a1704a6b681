"""The report as one self-contained HTML page: sortable and filterable tables, details, curves, pictures."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from aims.core.texts import finalize_html
from aims.core.vocabulary import MODALITIES
from aims.reports.comparison.captions import comparison_facts
from aims.reports.comparison.descriptions import detail_tables, scores_table
from aims.reports.comparison.table import Comparison, ComparisonRow
from aims.reports.figures.cost_figure import CostFigure, cost_alt
from aims.reports.figures.gallery import Galleries
from aims.reports.figures.panels import Panel, draw_panels, open_datasets
from aims.reports.figures.style import COLOURS, inline_svg
from aims.reports.page.details import RUN_COLUMNS, Details
from aims.reports.runs.curves import CURVES
from aims.reports.runs.load import LeftOut
from aims.reports.tables.table import Table

#: Steps for one's own sensor that the page lists: (description, command).
NEXT_STEPS = (
    ("describe your folder in one TOML; its guesses are marked", "aims init SENSOR"),
    ("convert it", "aims convert folder SENSOR.toml --raw SENSOR"),
    ("train and evaluate", "aims run --method simcmf --modality STREAM --backbone sam-tiny"),
    ("tables and this page", "aims report"),
    ("click on objects in a browser, and label further pictures", "aims click runs/RUN SENSOR"),
)
_FILES = ("index.html.j2", "table.html.j2", "details.html.j2", "page.css", "page.js")


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One comparison as the template renders it; bars are scaled to `highest`, `marks` are by row label."""

    place: int
    table: Comparison
    scores: Table
    details: list[Table]
    marks: dict[str, Markup]
    highest: float
    panels: tuple[Panel, ...]
    cost: str
    cost_alt: str


def render_page(
    comparisons: Sequence[Comparison],
    left_out: Sequence[LeftOut],
    *,
    costs: Sequence[CostFigure | None],
    data: Path | None = None,
    title: str = "AIMS leaderboard",
) -> str:
    """Renders the page.

    Args:
        comparisons: the tables.
        left_out: run folders that are in no table.
        costs: for each table, its figure of score against cost, or None.
        data: a converted dataset or a folder of several, for the pictures; None draws none.
        title: heading.

    Returns:
        HTML. Names from runs are escaped, and the content security policy admits no script but the page's
        own. The same runs and data give the same text.
    """
    texts = {name: files("aims.reports.page").joinpath(name).read_text("utf-8") for name in _FILES}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        finalize=finalize_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    datasets = open_datasets(data)
    parts = [
        _Part(
            place=place,
            table=table,
            scores=scores_table(table, costs=True),
            details=detail_tables(table),
            marks={row.label: _marks(row) for row in table.rows},
            # `or 1.0`: the bars divide by it, and all scores may be 0.
            highest=max(cell.value for row in table.rows for cell in row.cells.values()) or 1.0,
            panels=draw_panels(table, datasets),
            cost=inline_svg(figure.svg) if figure else "",
            cost_alt=cost_alt(table),
        )
        for place, (table, figure) in enumerate(zip(comparisons, costs, strict=True))
    ]
    shown = {result.runs[0].folder for table in comparisons for result in table.results}
    script = texts["page.js"]
    return environment.get_template("index.html.j2").render(
        title=title,
        parts=parts,
        details=Details(comparisons, Galleries(datasets, len(shown))),
        curves=CURVES,
        colours=COLOURS,
        run_columns=RUN_COLUMNS,
        filters=_filters(comparisons),
        left_out=left_out,
        facts=comparison_facts,
        zip=zip,
        next_steps=NEXT_STEPS,
        style=Markup(texts["page.css"]),
        script=Markup(script),
        # The browser runs only the script with this hash, whatever a name in a run record injects.
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


def _filters(comparisons: Sequence[Comparison]) -> dict[str, list[str]]:
    """The values of each filter of the page, by the filter's name."""
    rows = [row for table in comparisons for row in table.rows]
    order = list(MODALITIES)
    modalities = {name for table in comparisons for name in table.modalities}
    return {
        "protocol": sorted({table.condition.protocol for table in comparisons}),
        "modality": sorted(
            modalities, key=lambda name: (order.index(name) if name in order else len(order), name)
        ),
        "tuning": sorted({row.tuning for row in rows}),
        "backbone": sorted({table.condition.backbone for table in comparisons}),
    }


def _marks(row: ComparisonRow) -> Markup:
    """The HTML data attributes of a row that the page filters by."""
    marks = Markup('data-tuning="{}" data-name="{}" data-has="{}"')
    return marks.format(row.tuning, row.label.lower(), json.dumps(list(row.cells)))


def _number(value: float | None) -> str:
    """A number for the page's script to sort by; empty for None."""
    return "" if value is None else repr(value)
