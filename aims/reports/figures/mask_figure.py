"""Chooses what the figures of masks show: the runs of one modality, and instances that all of them scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aims.core.records import INSTANCES
from aims.core.vocabulary import MODALITIES
from aims.data.read import Dataset
from aims.reports.comparison.table import Comparison
from aims.reports.figures.panels import sensor_stream
from aims.reports.paper.published import PAPER_BACKBONE, PAPER_PROTOCOL
from aims.reports.runs.instances import Key, pick_instances, read_scored
from aims.reports.runs.load import Run
from aims.reports.runs.results import Result

#: File names of the paper's figures by modality, in the paper's order.
FIGURES = {
    "depth": "figure9_depth",
    "thermal": "figure10_thermal",
    "polarization": "figure11_polarization",
    "nir": "figure12_nir",
    "hha": "figure13_hha",
}
#: The shown methods with their headings; the instances are ordered by the IoU of the last one.
SHOWN = {"zero-shot": "zero-shot", "scratch": "scratch", "simcmf": "SimCMF"}
#: Quantiles of SimCMF's IoU that are shown, 0 = lowest, 1 = highest.
PLACES = {"worst": 0.0, "median": 0.5, "best": 1.0}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One method of a figure.

    Attributes:
        run: the run with the lowest seed of the method's best tuning.
        stream: the stream that its mask is drawn on.
    """

    run: Run
    stream: str


@dataclass(frozen=True, kw_only=True)
class MaskFigure:
    """One modality of one comparison.

    Attributes:
        table: the comparison.
        modality: name of the modality.
        dataset: the dataset of the comparison.
        stream: the stream that is shown as the input.
        columns: columns by method, in order of `SHOWN`; SimCMF is always among them.
        keys: instances by the names in `PLACES`; with fewer instances than places, some names are missing.
    """

    table: Comparison
    modality: str
    dataset: Dataset
    stream: str
    columns: Mapping[str, Column]
    keys: Mapping[str, Key]

    @property
    def is_papers(self) -> bool:
        """Whether the paper has a figure of this modality of this dataset."""
        return self.modality in FIGURES and self.dataset.name == MODALITIES[self.modality].datasets[0]

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: conditions closest to the paper's first, then the paper's order of modalities."""
        condition, known = self.table.condition, list(FIGURES)
        place = known.index(self.modality) if self.modality in known else len(known)
        far = (
            condition.protocol != PAPER_PROTOCOL,
            condition.backbone != PAPER_BACKBONE,
            bool(condition.limit),
        )
        return (*far, self.slug, self.dataset.name, place, self.modality, self.table.fingerprint)

    @property
    def slug(self) -> str:
        """The condition as part of a file name."""
        condition = self.table.condition
        limit = f"limit{condition.limit}" if condition.limit else ""
        parts = (condition.protocol, condition.backbone, condition.weights_label.split(" ")[-1], limit)
        return "_".join(part for part in parts if part)


def find_mask_figures(tables: Sequence[Comparison], datasets: Mapping[str, Dataset]) -> list[MaskFigure]:
    """Finds all modalities that can be drawn: their dataset is available, and SimCMF has a run on them.

    Args:
        tables: the comparisons; those of RGB stacked with a sensor are skipped, as in the paper.
        datasets: datasets by fingerprint, from `aims.reports.figures.panels.open_datasets`.

    Raises:
        AimsError: a run's instances cannot be read.
    """
    return sorted(_mask_figures(tables, datasets), key=lambda figure: figure.order)


def _mask_figures(tables: Sequence[Comparison], datasets: Mapping[str, Dataset]) -> Iterator[MaskFigure]:
    for table in tables:
        dataset = datasets.get(table.fingerprint)
        if dataset is None or table.mixes_rgb:
            continue
        for modality in table.modalities:
            columns = _columns(tables, table, modality, dataset)
            keys = _choose([column.run for column in columns.values()]) if "simcmf" in columns else {}
            if keys:
                yield MaskFigure(
                    table=table,
                    modality=modality,
                    dataset=dataset,
                    stream=sensor_stream(modality, dataset),
                    columns=columns,
                    keys=keys,
                )


def _columns(
    tables: Sequence[Comparison], table: Comparison, modality: str, dataset: Dataset
) -> dict[str, Column]:
    of_table = (table.condition, table.fingerprint)
    alike = [each for each in tables if (each.condition, each.fingerprint) == of_table]
    columns = {}
    for method in SHOWN:
        # The paper's figures show zero-shot SAM on the RGB image, where there is one (its section 12).
        seen = ("rgb", f"rgb-{modality}", modality) if method == "zero-shot" else (modality,)
        for name in seen:
            result = _best(alike, method, name)
            if result is not None:
                stream = "rgb" if name != modality else sensor_stream(modality, dataset)
                columns[method] = Column(run=result.runs[0], stream=stream)
                break
    return columns


def _best(tables: Sequence[Comparison], method: str, modality: str) -> Result | None:
    cells = [
        row.cells[modality]
        for table in tables
        for row in table.rows
        if row.method == method and modality in row.cells
    ]
    best = max(cells, key=lambda cell: cell.value, default=None)
    return best.result if best else None


def _choose(runs: Sequence[Run]) -> dict[str, Key]:
    """Picks the instances at `PLACES` among those that all runs scored; duplicates are left out.

    Args:
        runs: one run per method, SimCMF's last.
    """
    columns = ["image_id", "instance_id", "area", "iou"]
    scored = [read_scored(run.path / INSTANCES, columns=columns) for run in runs]
    common = set.intersection(*(set(each) for each in scored))
    chosen: dict[str, Key] = {}
    for name, key in zip(PLACES, pick_instances(scored[-1], common, [*PLACES.values()]), strict=False):
        if key not in chosen.values():
            chosen[name] = key
    return chosen
