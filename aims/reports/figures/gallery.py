"""The same instances under every row of a comparison: pictures stored once, and masks as outlines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.core.records import INSTANCES
from aims.core.sizes import EDGES, LARGE_CLASSES, SIZES
from aims.data.looks import draw_of
from aims.data.overlays import click_in_picture, predicted_mask
from aims.data.read import Dataset
from aims.reports.comparison.table import Comparison
from aims.reports.figures.panels import sensor_stream, webp
from aims.reports.runs.instances import Key, read_instances
from aims.reports.runs.results import Result

#: Masks on a page, which limit its size: about 0.6 kB each, its share of the picture included.
MASKS_A_PAGE = 1600
#: Fewest and most instances of a modality.
FEWEST, MOST = 6, 24

# Largest side of a stored picture in pixels; smaller crops are stored as they are, and enlarged by the page.
_SIDE = 224
_QUALITY = 82
# Side of the crop: this multiple of the instance's larger side, but at least this share of the image's.
_MARGIN = 2.0
_LEAST = 0.3
_SCORES = ("image_id", "instance_id", "iou", "area")
_MASKS = (*_SCORES, "class_id", "click", "click_size", "rle_grid", "rle_native")


@dataclass(frozen=True, kw_only=True)
class Mask:
    """The mask of one row on an instance.

    Attributes:
        place: place of the row in its table.
        iou: 0..1.
        path: outlines as an SVG path in pixels of the picture, to be filled by the even-odd rule.
    """

    place: int
    iou: float
    path: str


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A picture around an instance, with what every row made of it.

    Attributes:
        id: unique among all instances of a page.
        uri: the picture as a data URI.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        image_id: image of the dataset.
        instance_id: id of the instance in the image.
        class_name: name of its class.
        area_px: pixels of the instance in the image.
        size: name of its size class in `aims.core.sizes.SIZES`.
        click: (x, y) in pixels of the picture.
        truth: outlines of the true mask, as of `Mask.path`.
        masks: one per row with a score, in the order of the table.
        mean_iou: mean over the rows that are no floors, or over all where there are only floors.
    """

    id: str
    uri: str
    width: int
    height: int
    image_id: str
    instance_id: int
    class_name: str
    area_px: int
    size: str
    click: tuple[float, float]
    truth: str
    masks: tuple[Mask, ...]
    mean_iou: float


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Instances of one modality, in ascending order of their mean IoU.

    Attributes:
        modality: name of the modality.
        stream: the stream that is shown.
        instances: the instances.
        typical: place of the instance in the middle, among large ones where there are any.
        rule: sentences on how the instances were chosen and what is drawn.
    """

    modality: str
    stream: str
    instances: tuple[Instance, ...]
    typical: int
    rule: str


class Galleries:
    """Draws the galleries of a page; the more rows there are, the fewer instances each has.

    Args:
        datasets: datasets by fingerprint, from `aims.reports.figures.panels.open_datasets`.
        tables: all tables of the page.
    """

    def __init__(self, datasets: Mapping[str, Dataset], tables: Sequence[Comparison]) -> None:
        self._datasets = datasets
        masks = sum(name in row.cells for table in tables for row in table.rows for name in table.modalities)
        self._drawn = 0
        self._most = max(FEWEST, min(MOST, MASKS_A_PAGE // max(1, masks)))

    def draw(self, table: Comparison) -> tuple[Gallery, ...]:
        """Draws one gallery for every modality of a table; none without its dataset.

        Raises:
            AimsError: a run's masks or the dataset cannot be read.
        """
        dataset = self._datasets.get(table.fingerprint)
        if dataset is None:
            return ()
        found = (self._gallery(table, modality, dataset) for modality in table.modalities)
        return tuple(gallery for gallery in found if gallery is not None)

    def _gallery(self, table: Comparison, modality: str, dataset: Dataset) -> Gallery | None:
        runs = {
            place: _instances(cell.result)
            for place, row in enumerate(table.rows)
            if (cell := row.cells.get(modality)) and cell.result
        }
        judges = [place for place in runs if not table.rows[place].is_floor] or [*runs]
        refs = {ref.image_id: ref for ref in dataset.refs}
        keys, total = choose([_ious(runs[place]) for place in judges], refs, self._most)
        if not keys:
            return None
        lines = {place: _lines(path, set(keys)) for place, path in runs.items()}
        stream = sensor_stream(modality, dataset)
        shown = []
        for key in keys:
            image = dataset.read(refs[key[0]], (stream,))
            base = draw_of(dataset, stream, image.streams[stream]).pixels
            known = {place: line for place, found in lines.items() if (line := found.get(key))}
            iou = float(np.mean([known[place]["iou"] for place in judges]))
            self._drawn += 1
            name = f"shot-{self._drawn}"
            shown.append(_instance(name, key, base, image.instances == key[1], known, iou, dataset))
        large = [place for place, one in enumerate(shown) if one.size in SIZES[LARGE_CLASSES]]
        middle = large or [*range(len(shown))]
        return Gallery(
            modality=modality,
            stream=stream,
            instances=tuple(shown),
            typical=middle[len(middle) // 2],
            rule=_rule(len(keys), total, stream),
        )


def choose(
    scored: Sequence[Mapping[Key, float]], images: Mapping[str, Any], most: int
) -> tuple[list[Key], int]:
    """Chooses instances at even steps of the order by mean IoU, including the worst and the best.

    Args:
        scored: IoU by instance, of every row that has a say.
        images: the images that can be shown.
        most: maximum number of instances, at least 2.

    Returns:
        The instances in ascending order of their mean IoU, and the number of those to choose from.
    """
    common = set.intersection(*map(set, scored))
    means = {key: float(np.mean([each[key] for each in scored])) for key in common if key[0] in images}
    order = sorted(means, key=lambda key: (means[key], key))
    steps = min(most, len(order))
    return [order[round(k * (len(order) - 1) / max(1, steps - 1))] for k in range(steps)], len(order)


def outline(mask: NDArray[np.bool_]) -> str:
    """The outlines of a mask along the edges of its pixels, holes included, as an SVG path."""
    # Each pixel becomes 2 x 2: even places of a contour are left and upper edges, odd ones the others.
    doubled = np.ascontiguousarray(mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1))
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return "".join(_path(np.asarray((contour[:, 0] + 1) // 2, np.int32)) for contour in contours)


def _path(points: NDArray[np.int32]) -> str:
    """A closed path through points of shape (n, 2), in SVG's relative commands."""
    steps = [(dx, dy) for dx, dy in np.diff(points, axis=0).tolist() if dx or dy]
    text = "".join(f"h{dx}" if not dy else f"v{dy}" if not dx else f"l{dx} {dy}" for dx, dy in steps)
    return f"M{points[0, 0]} {points[0, 1]}{text}z".replace(" -", "-")


def _instances(result: Result) -> Path:
    """The scored instances of the lowest seed."""
    return result.runs[0].path / INSTANCES


def _ious(path: Path) -> dict[Key, float]:
    table = read_instances(path, columns=list(_SCORES))
    columns = (table[name].to_pylist() for name in ("image_id", "instance_id", "iou"))
    return {(image_id, instance_id): iou for image_id, instance_id, iou in zip(*columns, strict=True)}


def _lines(path: Path, keys: set[Key]) -> dict[Key, dict[str, Any]]:
    """The rows of some instances with their masks."""
    table = read_instances(path, columns=list(_MASKS))
    of = zip(table["image_id"].to_pylist(), table["instance_id"].to_pylist(), strict=True)
    places = [place for place, key in enumerate(of) if key in keys]
    return {(line["image_id"], line["instance_id"]): line for line in table.take(places).to_pylist()}


def _instance(
    name: str,
    key: Key,
    base: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    lines: Mapping[int, Mapping[str, Any]],
    mean_iou: float,
    dataset: Dataset,
) -> Instance:
    size = (truth.shape[0], truth.shape[1])
    top, bottom, left, right = window(truth)
    factor = min(1.0, _SIDE / max(bottom - top, right - left))
    target = (max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor)))

    def drawn(mask: NDArray[np.bool_]) -> str:
        cut = mask[top:bottom, left:right].astype(np.uint8)
        return outline(cv2.resize(cut, target, interpolation=cv2.INTER_NEAREST).astype(bool))

    first = next(iter(lines.values()))
    click, area = click_in_picture(first, size), int(truth.sum())
    class_id, classes = first["class_id"] or 0, dataset.spec.classes
    shown: NDArray[np.uint8] = np.ascontiguousarray(
        cv2.resize(base[top:bottom, left:right], target, interpolation=cv2.INTER_AREA)
    )
    return Instance(
        id=name,
        uri=webp(shown, _QUALITY),
        width=target[0],
        height=target[1],
        image_id=key[0],
        instance_id=key[1],
        class_name=classes[class_id - 1] if 0 < class_id <= len(classes) else "",
        area_px=area,
        size=SIZES[int(np.digitize(area / truth.size, EDGES))],
        # + 0.5: a click is a pixel's index, and is drawn at the centre of that pixel.
        click=(round((click[0] + 0.5 - left) * factor, 1), round((click[1] + 0.5 - top) * factor, 1)),
        truth=drawn(truth),
        masks=tuple(
            Mask(place=place, iou=line["iou"], path=drawn(predicted_mask(line, size)))
            for place, line in lines.items()
        ),
        mean_iou=mean_iou,
    )


def window(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the crop around a mask: a square where the image is large enough."""
    if not mask.any():
        return 0, mask.shape[0], 0, mask.shape[1]
    extents = [(int(found.min()), int(found.max()) + 1) for found in np.nonzero(mask)]
    side = max(_MARGIN * max(high - low for low, high in extents), _LEAST * max(mask.shape))
    (top, bottom), (left, right) = _ends(extents, mask.shape, side)
    return top, bottom, left, right


def _ends(extents: Sequence[tuple[int, int]], shape: Sequence[int], side: float) -> Iterator[tuple[int, int]]:
    for (low, high), length in zip(extents, shape, strict=True):
        span = min(length, max(1, round(side)))
        start = min(max(0, (low + high - span) // 2), length - span)
        yield start, start + span


def _rule(shown: int, total: int, stream: str) -> str:
    which = (
        f"All {total:,} test instances"
        if shown == total
        else f"{shown} of {total:,} test instances: of the lowest and the highest IoU, and between them at "
        "even steps of the order"
    )
    return (
        f"{which}, by the mean IoU over the methods of the table. {stream.capitalize()} around the "
        "instance; white: the truth; coloured: the mask of each row's lowest seed; red: the click."
    )
