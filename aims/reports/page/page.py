"""The report as one self-contained HTML page: sortable and filterable tables, details, curves, pictures."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from aims.core.sizes import LARGE_CLASSES, SIZES
from aims.core.texts import finalize_html
from aims.core.vocabulary import MODALITIES
from aims.reports.comparison.captions import comparison_facts
from aims.reports.comparison.descriptions import detail_tables, scores_table
from aims.reports.comparison.pairs import Pairs
from aims.reports.comparison.table import Comparison, ComparisonRow
from aims.reports.figures.cost_figure import CostFigure, cost_alt
from aims.reports.figures.gallery import Galleries, Gallery, Instance, Mask
from aims.reports.figures.panels import open_datasets
from aims.reports.figures.row_styles import RowStyles
from aims.reports.figures.style import inline_svg
from aims.reports.page.board import board
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
_TEMPLATES = ("index.html.j2", "table.html.j2", "gallery.html.j2", "details.html.j2")
# One function of the page: what a file declares, the files after it use.
_SCRIPTS = ("page.js", "plots.js", "dots.js", "curves.js", "tools.js", "gallery.js", "details.js", "state.js")


@dataclass(frozen=True, kw_only=True)
class _Glance:
    """One instance on the first screen, with the masks of the rows of the highest and the lowest score."""

    stream: str
    instance: Instance
    masks: tuple[Mask, ...]
    caption: str


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One comparison as the template renders it; `marks` are by row label, `blocks` by modality."""

    place: int
    name: str
    table: Comparison
    scores: Table
    details: list[Table]
    marks: dict[str, Markup]
    words: str
    board: dict[str, Any]
    best: str
    blocks: tuple[tuple[str, Gallery | None], ...]
    glance: _Glance | None
    cost: str
    cost_alt: str


def render_page(
    comparisons: Sequence[Comparison],
    left_out: Sequence[LeftOut],
    *,
    pairs: Iterable[Mapping[str, Pairs]],
    costs: Iterable[CostFigure | None],
    data: Path | None = None,
    title: str = "AIMS leaderboard",
) -> str:
    """Renders the page.

    Args:
        comparisons: the tables.
        left_out: run folders that are in no table.
        pairs: for each table, the tests of its columns, from `aims.reports.comparison.pairs.pair_tests`.
        costs: for each table, its figure of score against cost, or None. Iterators are asked last, so that
            other processes can make what they yield meanwhile.
        data: a converted dataset or a folder of several, for the pictures; None draws none.
        title: heading.

    Returns:
        HTML. Names from runs are escaped, and the content security policy admits no script but the page's
        own. The same runs and data give the same text.
    """
    texts = {name: _text(name) for name in _TEMPLATES}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=True,
        finalize=finalize_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    template, details = environment.get_template("index.html.j2"), Details(comparisons)
    styles, galleries = RowStyles(comparisons), Galleries(open_datasets(data), comparisons)
    parts = [
        _part(place, table, _name(table, comparisons), tests, styles, galleries, figure)
        for place, (table, tests, figure) in enumerate(zip(comparisons, pairs, costs, strict=True))
    ]
    script = "".join(['"use strict";\n(() => {\n', *map(_text, _SCRIPTS), "})();\n"])
    return template.render(
        title=title,
        parts=parts,
        boards=[part.board for part in parts],
        details=details,
        curves=CURVES,
        run_columns=RUN_COLUMNS,
        filters=_filters(comparisons),
        left_out=left_out,
        facts=comparison_facts,
        zip=zip,
        next_steps=NEXT_STEPS,
        style=Markup(_text("page.css")),
        script=Markup(script),
        # The browser runs only the script with this hash, whatever a name in a run record injects.
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


def _text(name: str) -> str:
    return files("aims.reports.page").joinpath(name).read_text("utf-8")


def _part(
    place: int,
    table: Comparison,
    name: str,
    pairs: Mapping[str, Pairs],
    styles: RowStyles,
    galleries: Galleries,
    figure: CostFigure | None,
) -> _Part:
    column, drawn = table.main_column, galleries.draw(table)
    return _Part(
        place=place,
        name=name,
        table=table,
        scores=scores_table(table, costs=True),
        details=detail_tables(table),
        marks={row.label: _marks(row) for row in table.rows},
        words=" ".join([table.dataset, *table.modalities]).lower(),
        board=board(table, place + 1, pairs, styles),
        best=next((f"{100 * table.rows[row].cells[column].value:.1f}" for row in _learned(table)), ""),
        blocks=tuple(
            (name, next((one for one in drawn if one.modality == name), None)) for name in table.modalities
        ),
        glance=_glance(table, drawn),
        cost=inline_svg(figure.svg) if figure else "",
        cost_alt=cost_alt(table),
    )


def _name(table: Comparison, tables: Sequence[Comparison]) -> str:
    """The dataset, and what tells the table from others of the dataset."""
    others = [comparison_facts(other) for other in tables if other.dataset == table.dataset]
    facts = [fact for fact in comparison_facts(table) if not all(fact in other for other in others)]
    return ", ".join([table.dataset, *facts])


def _learned(table: Comparison) -> list[int]:
    """The places of the rows with a score in the main column but the floors, the highest score first."""
    column, rows = table.main_column, table.rows
    places = [place for place, row in enumerate(rows) if not row.is_floor and column in row.cells]
    return sorted(places, key=lambda place: -rows[place].cells[column].value)


def _glance(table: Comparison, galleries: Sequence[Gallery]) -> _Glance | None:
    rows = _learned(table)
    gallery = next((one for one in galleries if one.modality == table.main_column), None)
    gallery = gallery or next(iter(galleries), None)
    if gallery is None or not rows:
        return None
    instance = gallery.instances[gallery.typical]
    masks = {mask.place: mask for mask in instance.masks}
    # `Gallery.typical` is among large ones where there are any.
    large = "large " if instance.size in SIZES[LARGE_CLASSES] else ""
    return _Glance(
        stream=gallery.stream,
        instance=instance,
        masks=tuple(masks[place] for place in dict.fromkeys((rows[0], rows[-1])) if place in masks),
        caption=f"{instance.image_id}: the middle of the {large}instances below by mean IoU. The methods "
        "with the highest and the lowest score, and their IoU here.",
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
