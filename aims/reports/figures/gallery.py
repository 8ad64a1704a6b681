"""Small pictures of instances of one result, in ascending order of their IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.core.records import INSTANCES
from aims.data.looks import draw_of
from aims.data.overlays import click_in_picture, predicted_mask
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.reports.figures.panels import Shot, draw_click, sensor_stream, webp
from aims.reports.runs.instances import read_instances
from aims.reports.runs.results import Result

#: Maximum number of pictures per result, and per page, which limits its size: about 4 kB per picture.
PICTURES_A_RESULT = 9
PICTURES_A_PAGE = 540
#: Fewer would not show the worst, the middle and the best.
FEWEST = 3

_SIDE = 176
_QUALITY = 72
# RGB of the predicted outline: cyan is far from greys and from the colours of thermal and depth images.
_PREDICTED = (0, 224, 255)
# Side of the crop: this multiple of the instance's larger side, but at least this share of the image's.
_MARGIN = 1.7
_LEAST = 0.3
# Lengths of a dash and of a gap, in pixels along an outline.
_DASH, _GAP = 7, 4
# Number of images of a dataset that are cached.
_KEPT = 32
_COLUMNS = ("image_id", "instance_id", "iou", "area", "click", "click_size", "rle_grid", "rle_native")


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures of instances of one result.

    Attributes:
        shots: pictures in ascending order of IoU.
        rule: sentences on how the instances were chosen and what is drawn.
    """

    shots: tuple[Shot, ...]
    rule: str


class Galleries:
    """Draws the galleries of a page; the more results there are, the fewer pictures each has.

    Args:
        datasets: datasets by fingerprint, from `aims.reports.figures.panels.open_datasets`.
        results: number of results on the page.
    """

    def __init__(self, datasets: Mapping[str, Dataset], results: int) -> None:
        self._sets = {fingerprint: _Pictures(dataset) for fingerprint, dataset in datasets.items()}
        self._each = max(FEWEST, min(PICTURES_A_RESULT, PICTURES_A_PAGE // max(1, results)))
        self._left = PICTURES_A_PAGE

    def draw(self, result: Result) -> Gallery | None:
        """Draws the gallery of a result from the run with the lowest seed.

        Returns:
            The gallery, or None if its dataset is missing or the page has `PICTURES_A_PAGE` already.

        Raises:
            AimsError: the run's masks cannot be read.
        """
        found = self._sets.get(result.config.fingerprint)
        if found is None or self._left < self._each:
            return None
        rows, total = choose(result.runs[0].path / INSTANCES, self._each)
        stream = sensor_stream(result.config.modality, found.dataset)
        known = [row for row in rows if row["image_id"] in found.refs]
        shots = tuple(_shot(row, *found.read(row["image_id"], stream)) for row in known)
        self._left -= len(shots)
        return Gallery(shots=shots, rule=_rule(len(shots), total, stream, result.seeds[0]))


class _Pictures:
    """Images and instance maps of a dataset; the last ones are cached, as methods show the same images."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._kept: dict[tuple[str, str], tuple[NDArray[np.uint8], NDArray[Any]]] = {}

    @cached_property
    def refs(self) -> dict[str, ImageRef]:
        return {ref.image_id: ref for ref in self.dataset.refs}

    def read(self, image_id: str, stream: str) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        key = (image_id, stream)
        if key not in self._kept:
            image = self.dataset.read(self.refs[image_id], (stream,))
            drawn = draw_of(self.dataset, stream, image.streams[stream]).pixels
            # A dict keeps the order of insertion: the first key is the oldest.
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = drawn, image.instances
        return self._kept[key]


def choose(path: Path, most: int) -> tuple[list[dict[str, Any]], int]:
    """Reads instances at evenly spaced ranks of IoU, including the worst and the best.

    Args:
        path: `instances.parquet` of a run.
        most: maximum number of instances, at least 2.

    Returns:
        Rows with their masks in ascending order of IoU, and the number of instances of the run.

    Raises:
        AimsError: the file cannot be read.
    """
    table = read_instances(path, columns=list(_COLUMNS))
    keys = list(zip(*(table[name].to_pylist() for name in ("iou", "image_id", "instance_id")), strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    steps = min(most, len(order))
    places = [order[round(k * (len(order) - 1) / max(1, steps - 1))] for k in range(steps)]
    return table.take(places).to_pylist(), len(order)


def _rule(shown: int, total: int, stream: str, seed: int) -> str:
    which = (
        f"All {total:,} instances of seed {seed}, in the order of their IoU"
        if shown == total
        else f"{shown} of {total:,} instances of seed {seed}: the worst, the best, and between them those at "
        "even steps of the order by IoU"
    )
    return (
        f"{which}. {stream.capitalize()} around the instance, the truth in white, the prediction in cyan and "
        "dashed, the click in red."
    )


def _shot(row: Mapping[str, Any], base: NDArray[np.uint8], instances: NDArray[Any]) -> Shot:
    truth = instances == row["instance_id"]
    size = (truth.shape[0], truth.shape[1])
    predicted = predicted_mask(row, size)
    shown = draw_instance(base, truth, predicted, click_in_picture(row, size))
    note = f"IoU {row['iou']:.2f}"
    where = f"instance {row['instance_id']} of {row['image_id']}"
    return Shot(uri=webp(shown, _QUALITY), note=note, alt=f"{where}, {int(truth.sum()):,} px: {note}")


def draw_instance(
    base: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    click: tuple[float, float],
) -> NDArray[np.uint8]:
    """Crops an image around an instance and draws the outlines of truth and prediction, and the click.

    Args:
        base: (height, width, 3) RGB image.
        truth: (height, width) true mask.
        predicted: (height, width) predicted mask.
        click: (x, y) in pixels of `base`.

    Returns:
        RGB image whose larger side has about 176 pixels.
    """
    top, bottom, left, right = _window(truth | predicted)
    factor = _SIDE / max(bottom - top, right - left)
    target = (max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor)))
    # Nearest keeps pixels sharp when they are enlarged; area averages them when the crop is reduced.
    way = cv2.INTER_NEAREST if factor >= 1 else cv2.INTER_AREA
    shown: NDArray[np.uint8] = np.ascontiguousarray(
        cv2.resize(base[top:bottom, left:right], target, interpolation=way)
    )
    outlines = [_contours(mask[top:bottom, left:right], target) for mask in (truth, predicted)]
    # A black outline below each keeps it visible on a light image.
    for contours in outlines:
        cv2.drawContours(shown, contours, -1, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.drawContours(shown, outlines[0], -1, (255, 255, 255), 2, cv2.LINE_AA)
    # Dashed, so that colour alone does not distinguish it from the true outline.
    for contour in outlines[1]:
        for start in range(0, len(contour), _DASH + _GAP):
            cv2.polylines(shown, [contour[start : start + _DASH]], False, _PREDICTED, 2, cv2.LINE_AA)
    # + 0.5: a click is a pixel's index, and is drawn at the centre of that pixel.
    draw_click(shown, ((click[0] + 0.5 - left) * factor, (click[1] + 0.5 - top) * factor))
    return shown


def _window(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the crop around a mask: a square where the image is large enough."""
    if not mask.any():
        return 0, mask.shape[0], 0, mask.shape[1]
    ends = []
    extents = [(int(found.min()), int(found.max()) + 1) for found in np.nonzero(mask)]
    side = max(_MARGIN * max(high - low for low, high in extents), _LEAST * max(mask.shape))
    for (low, high), length in zip(extents, mask.shape, strict=True):
        span = min(length, max(1, round(side)))
        start = min(max(0, (low + high - span) // 2), length - span)
        ends += [start, start + span]
    return ends[0], ends[1], ends[2], ends[3]


def _contours(mask: NDArray[np.bool_], size: tuple[int, int]) -> Sequence[NDArray[Any]]:
    """Contours of a mask that is resized to (width, height)."""
    enlarged = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    # CCOMP: holes have outlines too. No approximation: dashes are measured in contour pixels.
    contours, _ = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return contours
