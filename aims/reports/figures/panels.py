"""Qualitative panels: the same instances for every method, chosen by a stated rule."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.core.errors import InputError
from aims.core.records import INSTANCES
from aims.core.vocabulary import MODALITIES
from aims.data.looks import draw_of
from aims.data.overlays import click_in_picture, predicted_mask, tinted
from aims.data.read import Dataset, find_datasets
from aims.reports.comparison.table import Comparison, ComparisonRow
from aims.reports.runs.instances import Key, pick_instances, read_scored

#: The shown methods; of each, the best row of the table is taken.
METHODS = ("zero-shot", "scratch", "random-embed", "linear", "vipt", "cmx", "simcmf")
#: Shown quantiles of the IoU of simcmf, or without it of the last method: 0 = lowest, 1 = highest.
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)

_WIDTH = 256
_QUALITY = 88


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One image of a panel.

    Attributes:
        uri: the image as a data URI.
        note: text below the image.
        alt: alternative text.
    """

    uri: str
    note: str
    alt: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Instances of one modality with the masks of every method.

    Attributes:
        modality: name of the modality.
        stream: the stream that is shown.
        columns: headings of the columns.
        rows: images, one row per instance.
        rule: sentences on how the instances were chosen and what is drawn.
    """

    modality: str
    stream: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Shot, ...], ...]
    rule: str


def open_datasets(data: Path | None) -> dict[str, Dataset]:
    """Opens the datasets of a folder, by fingerprint; empty if it holds none, as a report needs none."""
    try:
        return {found.fingerprint: found for found in find_datasets(data)} if data is not None else {}
    except InputError:
        return {}


def draw_panels(table: Comparison, datasets: Mapping[str, Dataset]) -> tuple[Panel, ...]:
    """Draws one panel for every modality of a table.

    Args:
        table: a comparison.
        datasets: datasets by fingerprint, from `open_datasets`.

    Returns:
        The panels; empty if no dataset has the fingerprint of the table.

    Raises:
        AimsError: a run's masks cannot be read.
    """
    dataset = datasets.get(table.fingerprint)
    if dataset is None:
        return ()
    panels = (_panel(table, modality, dataset) for modality in table.modalities)
    return tuple(panel for panel in panels if panel is not None)


def _panel(table: Comparison, modality: str, dataset: Dataset) -> Panel | None:
    shown: dict[str, ComparisonRow] = {}
    for row in table.rows:
        if row.method in METHODS and modality in row.cells:
            shown.setdefault(row.method, row)
    if not shown:
        return None
    rows = sorted(shown.values(), key=lambda row: METHODS.index(row.method))
    scored = [_scored(row, modality) for row in rows]
    first = rows.index(shown.get("simcmf", rows[-1]))
    common = set.intersection(*(set(found) for found in scored))
    keys = dict.fromkeys(pick_instances(scored[first], common, PLACES))
    stream = sensor_stream(modality, dataset)
    refs = {ref.image_id: ref for ref in dataset.refs}
    shots = []
    for key in keys:
        image = dataset.read(refs[key[0]], (stream,))
        base = draw_of(dataset, stream, image.streams[stream]).pixels
        shots.append(_shots(base, image.instances == key[1], key, rows, [found[key] for found in scored]))
    return Panel(
        modality=modality,
        stream=stream,
        columns=(f"{stream}, click", "truth", *(row.label for row in rows)),
        rows=tuple(shots),
        rule=f"Of the larger half of the test instances, ordered by the IoU of {rows[first].label}: the "
        "worst, the quartiles and the best. Coloured: the mask; white: the outline of the truth. The masks "
        "are those of each method's lowest seed.",
    )


def _scored(row: ComparisonRow, modality: str) -> dict[Key, dict[str, Any]]:
    """The scored instances of a row's lowest seed."""
    result = row.cells[modality].result
    assert result is not None  # a modality's cell comes from runs; only means do not
    return read_scored(result.runs[0].path / INSTANCES)


def sensor_stream(modality: str, dataset: Dataset) -> str:
    """The stream that is shown for a modality: the first that is not RGB, or "rgb" if there is none."""
    streams = MODALITIES[modality].streams if modality in MODALITIES else (modality.removeprefix("rgb-"),)
    return next((name for name in streams if name != "rgb" and name in dataset.streams), "rgb")


def _shots(
    base: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    key: Key,
    rows: Sequence[ComparisonRow],
    lines: Sequence[Mapping[str, Any]],
) -> tuple[Shot, ...]:
    size = (truth.shape[0], truth.shape[1])
    click = click_in_picture(lines[0], size)
    where = f"instance {key[1]} of {key[0]}"
    shots = [
        Shot(uri=_uri(base, None, None, click), note=key[0], alt=f"{where} with its click"),
        Shot(uri=_uri(base, truth, truth, click), note=f"{int(truth.sum()):,} px", alt=f"truth of {where}"),
    ]
    for row, line in zip(rows, lines, strict=True):
        mask = predicted_mask(line, size)
        note = f"IoU {line['iou']:.2f}"
        shots.append(Shot(uri=_uri(base, mask, truth, click), note=note, alt=f"{row.label}, {where}: {note}"))
    return tuple(shots)


def _uri(
    base: NDArray[np.uint8],
    mask: NDArray[np.bool_] | None,
    truth: NDArray[np.bool_] | None,
    click: tuple[float, float],
) -> str:
    return webp(draw_mask(base, mask, truth, click), _QUALITY)


def webp(shown: NDArray[np.uint8], quality: int) -> str:
    """Encodes an RGB image (height, width, 3) as a WebP data URI; `quality` is 1..100."""
    # OpenCV encodes BGR.
    bgr = cv2.cvtColor(shown, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def draw_mask(
    base: NDArray[np.uint8],
    mask: NDArray[np.bool_] | None,
    truth: NDArray[np.bool_] | None,
    click: tuple[float, float],
) -> NDArray[np.uint8]:
    """Draws a mask, the true outline and the click on an image, resized to a width of about 256 pixels.

    Args:
        base: (height, width, 3) RGB image; small images are enlarged by a whole factor, without smoothing.
        mask: (height, width) mask that is coloured, or None.
        truth: (height, width) mask that is outlined in white, or None.
        click: (x, y) in pixels of `base`.
    """
    shown = base if mask is None else tinted(base, [mask])
    rows, columns = shown.shape[:2]
    factor = max(1, round(_WIDTH / columns)) if columns < _WIDTH else _WIDTH / columns
    target = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    enlarged: NDArray[np.uint8] = np.ascontiguousarray(
        cv2.resize(shown, target, interpolation=cv2.INTER_NEAREST if factor >= 1 else cv2.INTER_AREA)
    )
    if truth is not None:
        outline = cv2.resize(truth.astype(np.uint8), target, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(outline, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        # White on a wider black outline: visible on light and on dark images.
        for width, level in ((3, 0), (1, 255)):
            cv2.drawContours(enlarged, contours, -1, (level, level, level), width, cv2.LINE_AA)
    draw_click(enlarged, ((click[0] + 0.5) * factor, (click[1] + 0.5) * factor))
    return enlarged


def draw_click(shown: NDArray[np.uint8], at: tuple[float, float]) -> None:
    """Draws a click in place.

    Args:
        shown: (height, width, 3) RGB image.
        at: (x, y) in pixels of `shown`.
    """
    # Red inside white inside black: visible on any image.
    for radius, colour in ((5, (0, 0, 0)), (4, (255, 255, 255)), (2, (220, 20, 60))):
        cv2.circle(shown, (round(at[0]), round(at[1])), radius, colour, cv2.FILLED, cv2.LINE_AA)
