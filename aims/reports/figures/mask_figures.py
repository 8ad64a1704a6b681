"""The paper's figures of masks (3 and 9 to 13) from the user's runs, and such figures of other datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.core.files import write_text
from aims.core.records import INSTANCES
from aims.core.vocabulary import MODALITIES
from aims.data.looks import draw_of
from aims.data.overlays import click_in_picture, predicted_mask
from aims.data.read import Dataset
from aims.reports.comparison.table import Comparison
from aims.reports.figures.image_grid import LEGEND, ImageRow, muted, save_image_grid
from aims.reports.figures.mask_figure import FIGURES, SHOWN, MaskFigure, find_mask_figures
from aims.reports.figures.panels import draw_mask
from aims.reports.figures.split_figure import write_split_figure
from aims.reports.runs.instances import Key, read_instances
from aims.reports.tables.captions import condition_title
from aims.reports.tables.results_table import write_csv

_EACH = "Shown are the worst, the median and the best by SimCMF's IoU"
_OVERVIEW = "Shown is the median by SimCMF's IoU"
_RULE = (
    "of the larger half of the test instances; the same instances for all. Of each method the tuning with "
    "the highest mIoU, its lowest seed."
)
_FIELDS = (
    *("figure", "row", "dataset", "fingerprint", "modality", "protocol", "backbone", "limit", "weights"),
    *("image_id", "instance_id", "area_px", "click_x", "click_y", "click_height", "click_width"),
    *("method", "tuning", "seed", "run", "seen", "iou", "rule"),
)

_Line = tuple[str, MaskFigure, Key]


def write_qualitative(tables: Sequence[Comparison], datasets: Mapping[str, Dataset], out: Path) -> list[Path]:
    """Writes all figures of masks that there are runs and datasets for, each with a CSV of its instances.

    `paper/figure9_depth.png` and so on show the paper's dataset of a modality, and `paper/figure3.png` one
    row of each; `panels/panels_DATASET_MODALITY.png` and `panels/panels_DATASET.png` are their counterparts
    for other datasets. Each condition (protocol, backbone, weights, limit) has separate figures: the one
    closest to the paper's keeps the plain name, the others append their condition to it. `figure8.png` in
    either folder shows how the label map of one image per dataset is split into instances.

    Args:
        tables: the comparisons.
        datasets: datasets by fingerprint, from `aims.reports.figures.panels.open_datasets`.
        out: folder of the report.

    Returns:
        Paths of the written files.

    Raises:
        AimsError: a run's masks or a dataset cannot be read.
    """
    grids: dict[str, tuple[list[_Line], str]] = {}
    overviews: dict[tuple[str, ...], list[_Line]] = {}
    for figure in find_mask_figures(tables, datasets):
        name = f"panels/panels_{figure.dataset.name}"
        own = f"paper/{FIGURES[figure.modality]}" if figure.is_papers else f"{name}_{figure.modality}"
        lines = [(place, figure, key) for place, key in figure.keys.items()]
        grids[_free(own, figure, grids)] = lines, _EACH
        # The paper's datasets share one overview; every other dataset has a separate one.
        whole = ("paper/figure3",) if figure.is_papers else (name, figure.table.fingerprint)
        middle = figure.keys.get("median", lines[0][2])
        overviews.setdefault((*whole, figure.slug), []).append((figure.modality, figure, middle))
    for (name, *_), lines in overviews.items():
        if len(lines) > 1 or name.startswith("paper"):
            grids[_free(name, lines[0][1], grids)] = lines, _OVERVIEW
    written: list[Path] = []
    for name, (lines, what) in grids.items():
        written += _write(out / name, lines, f"{what}, {_RULE}")
    at_hand = {table.fingerprint: datasets.get(table.fingerprint) for table in tables}
    found = [dataset for dataset in at_hand.values() if dataset]
    papers = {name for modality in MODALITIES.values() for name in modality.datasets}
    for folder, is_papers in (("paper", True), ("panels", False)):
        some = [dataset for dataset in found if (dataset.name in papers) == is_papers]
        written += write_split_figure(some, out / folder / "figure8")
    return written


def _free(name: str, figure: MaskFigure, taken: Mapping[str, Any]) -> str:
    choices = (name, f"{name}_{figure.slug}", f"{name}_{figure.slug}_{figure.table.fingerprint[:8]}")
    return next(choice for choice in choices if choice not in taken)


def _write(base: Path, lines: Sequence[_Line], rule: str) -> list[Path]:
    methods = [method for method in SHOWN if any(method in figure.columns for _, figure, _ in lines)]
    rows, table = [], []
    for label, figure, key in lines:
        row, scored = _row(label, figure, key, methods)
        rows.append(row)
        table += [{"figure": base.name, "row": label, **line, "rule": rule} for line in scored]
    condition = condition_title(lines[0][1].table.condition)
    names = ", ".join(dict.fromkeys(figure.dataset.name for _, figure, _ in lines))
    caption = f"{names}: {condition[0].lower()}{condition[1:]}. {rule} {LEGEND}"
    png, listed = base.with_name(f"{base.name}.png"), base.with_name(f"{base.name}.csv")
    save_image_grid(png, ("input", *(SHOWN[method] for method in methods), "truth"), rows, caption)
    write_text(listed, write_csv(_FIELDS, table))
    return [png, listed]


def _row(
    label: str, figure: MaskFigure, key: Key, methods: Sequence[str]
) -> tuple[ImageRow, list[dict[str, Any]]]:
    """The row of images of one instance, and the lines of the CSV for it, one per method with a run."""
    dataset, condition = figure.dataset, figure.table.condition
    ref = next(ref for ref in dataset.refs if ref.image_id == key[0])
    streams = tuple(dict.fromkeys((figure.stream, *(column.stream for column in figure.columns.values()))))
    image = dataset.read(ref, streams)
    bases = {name: draw_of(dataset, name, image.streams[name]).pixels for name in streams}
    truth = image.instances == key[1]
    size = (truth.shape[0], truth.shape[1])
    pictures: list[NDArray[np.uint8] | None] = []
    notes, scored = [], []
    for method in methods:
        column = figure.columns.get(method)
        if column is None:
            pictures.append(None)
            notes.append("no run")
            continue
        scores = read_instances(column.run.path / INSTANCES, key=key).to_pylist()[0]
        config = column.run.config
        click = click_in_picture(scores, size)
        pictures.append(draw_mask(muted(bases[column.stream]), predicted_mask(scores, size), truth, click))
        aside = f", sees {column.stream}" if column.stream != figure.stream else ""
        notes.append(f"IoU {scores['iou']:.2f}{aside}")
        scored.append(
            {
                "dataset": dataset.name,
                "fingerprint": dataset.fingerprint,
                "modality": figure.modality,
                **dataclasses.asdict(condition),
                "weights": config.weights,
                "image_id": key[0],
                "instance_id": key[1],
                "area_px": scores["area"],
                **dict(zip(("click_x", "click_y"), scores["click"], strict=True)),
                **dict(zip(("click_height", "click_width"), scores["click_size"], strict=True)),
                "method": method,
                "tuning": config.tuning,
                "seed": config.seed,
                "run": column.run.folder,
                "seen": config.modality,
                "iou": scores["iou"],
            }
        )
    base = bases[figure.stream]
    row = ImageRow(
        label=label,
        pictures=(draw_mask(base, None, None, click), *pictures, draw_mask(muted(base), truth, truth, click)),
        notes=(f"{figure.stream}, {key[0]}", *notes, f"{int(truth.sum()):,} px"),
    )
    return row, scored
