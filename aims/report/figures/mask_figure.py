"""What the pictures of masks show: the runs of one modality, and the instances that all of them scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aims.core.errors import AimsError
from aims.core.records import INSTANCES
from aims.core.vocabulary import MODALITIES
from aims.data.read import Dataset
from aims.report.figures.panels import Key, sensor_stream
from aims.report.runs.load import Run
from aims.report.runs.results import Result
from aims.report.tables.comparison import Comparison
from aims.report.tables.published import PAPER_BACKBONE, PAPER_PROTOCOL

#: Figures of one modality each, in the paper's order.
FIGURES = {
    "depth": "figure9_depth",
    "thermal": "figure10_thermal",
    "polarization": "figure11_polarization",
    "nir": "figure12_nir",
    "hha": "figure13_hha",
}
#: The methods that are shown, and how they are called; the last one orders the instances.
SHOWN = {"zero-shot": "zero-shot", "scratch": "scratch", "simcmf": "SimCMF"}
#: Places in the order of SimCMF's IoU, 0 = worst, 1 = best.
PLACES = {"worst": 0.0, "median": 0.5, "best": 1.0}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One method in a picture.

    Attributes:
        run: lowest seed of its best tuning.
        stream: what its mask is laid over.
    """

    run: Run
    stream: str


@dataclass(frozen=True, kw_only=True)
class MaskFigure:
    """One modality of one table.

    Attributes:
        table: the table.
        modality: name of the modality.
        dataset: the dataset of the table.
        stream: what is shown as the input.
        columns: by method, in order of `SHOWN`; SimCMF's is there.
        keys: instances by their place; of very few, some places are missing.
    """

    table: Comparison
    modality: str
    dataset: Dataset
    stream: str
    columns: Mapping[str, Column]
    keys: Mapping[str, Key]

    @property
    def is_papers(self) -> bool:
        """Whether the paper shows this modality of this dataset."""
        return self.modality in FIGURES and self.dataset.name == MODALITIES[self.modality].datasets[0]

    @property
    def order(self) -> tuple[Any, ...]:
        """To sort by: the condition nearest to the paper's first, then the paper's order of modalities."""
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
        """The condition as a part of a file's name."""
        condition = self.table.condition
        limit = f"limit{condition.limit}" if condition.limit else ""
        parts = (condition.protocol, condition.backbone, condition.weights_label.split(" ")[-1], limit)
        return "_".join(part for part in parts if part)


def find_mask_figures(tables: Sequence[Comparison], datasets: Mapping[str, Dataset]) -> list[MaskFigure]:
    """Everything that a picture can be made of: a dataset at hand, and a run of SimCMF on it.

    Args:
        tables: the comparisons. RGB stacked with a sensor is not shown: the paper has no picture of it.
        datasets: from `aims.report.figures.panels.open_datasets`.

    Raises:
        AimsError: a run's instances cannot be read.
    """
    return sorted(_mask_figures(tables, datasets), key=lambda figure: figure.order)


def read_instances(run: Run, **options: Any) -> list[dict[str, Any]]:
    """The instances of a run, or what the options of `pyarrow.parquet.read_table` leave of them.

    Raises:
        AimsError: the file cannot be read.
    """
    path = run.path / INSTANCES
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, **options).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise AimsError(f"{path}: its masks cannot be read ({error})") from None
    return rows


def _mask_figures(tables: Sequence[Comparison], datasets: Mapping[str, Dataset]) -> Iterator[MaskFigure]:
    for table in tables:
        dataset = datasets.get(table.fingerprint)
        if dataset is None or table.mixes_rgb:
            continue
        for modality in table.modalities:
            columns = _columns(tables, table, modality, dataset)
            keys = (
                _choose([_scores(column.run) for column in columns.values()]) if "simcmf" in columns else {}
            )
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
        # The paper's figures show SAM as it is on the RGB picture, where there is one (its section 12).
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
    best = max(cells, key=lambda cell: cell.miou, default=None)
    return best.result if best else None


def _scores(run: Run) -> dict[Key, tuple[int, float]]:
    """Area and IoU of every scored instance."""
    rows = read_instances(run, columns=["image_id", "instance_id", "area", "iou"])
    return {(row["image_id"], row["instance_id"]): (row["area"], row["iou"]) for row in rows}


def _choose(scored: Sequence[Mapping[Key, tuple[int, float]]]) -> dict[str, Key]:
    """The instances at `PLACES`, of the larger half: little is seen of small ones.

    Args:
        scored: area and IoU of the instances of every method, SimCMF's last.
    """
    *_, ours = scored
    common = set.intersection(*(set(each) for each in scored))
    by_area = sorted(common, key=lambda key: (-ours[key][0], key))
    larger = by_area[: max(len(PLACES), (len(by_area) + 1) // 2)]
    order = sorted(larger, key=lambda key: (ours[key][1], key))
    chosen: dict[str, Key] = {}
    for name, place in PLACES.items():
        if order and (key := order[round(place * (len(order) - 1))]) not in chosen.values():
            chosen[name] = key
    return chosen
