"""Floors that predict a disc around the click, without sensor data.

Radii are in units of 1/256 of the square root of the image's area, so that a disc covers the same fraction of
images of all sizes. The disc is round in the pixels in which the protocol computes IoU: on the 256 x 256 grid
under `paper`, where the unit is one pixel, and in the image under `strict`. On a map of another size it is
the same region, stretched. The clicked pixel always belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.core.errors import InputError
from aims.core.vocabulary import IOU_GRID
from aims.methods.base import METHODS, ClickedMap, Floor

#: Radii are the multiples of the step; the largest disc covers a 3 x 4 image from any of its corners.
STEP, LARGEST_RADIUS = 0.5, 384.0
RADII: NDArray[np.floating[Any]] = np.arange(1, int(LARGEST_RADIUS / STEP) + 1) * STEP


@METHODS.register("disc")
@dataclass(frozen=True, kw_only=True)
class Disc(Floor):
    """A floor: a disc around the click, of one radius for all instances, chosen on the training part.

    Source: our own; the paper has no floor. Under `paper` the radius is chosen on the test split, as that
    protocol chooses there (protocol.md); under `strict` on the training part without the held-out images. It
    is the radius of the highest mean IoU over all instances with the protocol's click, the smallest if there
    are several.
    """

    def fit(self, images: Iterable[ClickedMap]) -> dict[str, float]:
        """Chooses the radius; the result has the key "radius"."""
        total, instances = np.zeros(len(RADII)), 0
        for image in images:
            total += radius_scores(image).sum(0)
            instances += len(image.ids)
        if not instances:
            raise InputError("there is no instance of sufficient size on which a radius could be chosen")
        return {"radius": float(RADII[total.argmax()])}

    def predict(
        self, image: ClickedMap, sizes: Sequence[tuple[int, int]], chosen: Mapping[str, float]
    ) -> Iterator[tuple[NDArray[np.bool_], ...]]:
        """Predicts a disc of the chosen radius for every click."""
        return _discs(image, [chosen["radius"]] * len(image.ids), sizes)


@METHODS.register("oracle-disc")
@dataclass(frozen=True, kw_only=True)
class OracleDisc(Floor):
    """The best disc around the click for every instance, by the truth: an upper mark for clicking blindly.

    Source: our own; the paper has none. It uses the ground truth, so it is an upper bound for discs.
    """

    def predict(
        self, image: ClickedMap, sizes: Sequence[tuple[int, int]], chosen: Mapping[str, float]
    ) -> Iterator[tuple[NDArray[np.bool_], ...]]:
        """Predicts for every click the disc of the highest IoU, the smallest if there are several."""
        best = RADII[radius_scores(image).argmax(1)]
        return _discs(image, best.tolist(), sizes)


def radius_scores(image: ClickedMap) -> NDArray[np.float64]:
    """Computes the exact IoU of every instance with the discs of all radii at once.

    The pixels of the map, and those of the instance, are counted by the smallest radius that contains them;
    the cumulative sums are the disc's area and the intersection.

    Returns:
        (n, len(RADII)) IoU in 0..1, in the order of `image.ids`; 0 for an instance that is not on the map.
    """
    flat = image.instances.ravel()
    area = np.bincount(flat, minlength=int(image.ids.max(initial=0)) + 1)
    by_id = np.split(np.argsort(flat, kind="stable"), np.cumsum(area)[:-1])
    scores = np.empty((len(image.ids), len(RADII)))
    for k, instance_id in enumerate(image.ids.tolist()):
        reached = _reached(image.clicks[k], image.instances.shape, image.instances.shape).ravel()
        disc, intersection = (
            np.bincount(levels, minlength=len(RADII) + 1)[: len(RADII)].cumsum()
            for levels in (reached, reached[by_id[instance_id]])
        )
        scores[k] = intersection / (disc + area[instance_id] - intersection)
    return scores


def _discs(
    image: ClickedMap, radii: Sequence[float], sizes: Sequence[tuple[int, int]]
) -> Iterator[tuple[NDArray[np.bool_], ...]]:
    for click, radius in zip(image.clicks, radii, strict=True):
        last = round(radius / STEP) - 1
        yield tuple(_reached(click, image.instances.shape, size) <= last for size in sizes)


def _reached(click: NDArray[np.float64], frame: tuple[int, ...], size: tuple[int, ...]) -> NDArray[np.int64]:
    """Finds for every pixel of a map the index in `RADII` of the smallest disc that contains it.

    The index is `len(RADII)` for pixels that no disc contains.

    Args:
        click: (x, y) in pixels of the frame.
        frame: (height, width) of the map in whose pixels discs are round.
        size: (height, width) of the map, onto which the frame is stretched.
    """
    unit = np.sqrt(frame[0] * frame[1]) / IOU_GRID
    stretch = np.divide(frame, size)
    rows, columns = (
        ((np.arange(side) + 0.5) * scale - 0.5 - middle) / (unit * STEP)
        for side, scale, middle in zip(size, stretch, click[::-1], strict=True)
    )
    distance = np.sqrt(rows[:, None] ** 2 + columns**2)
    reached: NDArray[np.int64] = np.clip(np.ceil(distance), 1, len(RADII) + 1).astype(np.int64) - 1
    column, row = ((click + 0.5) / stretch[::-1]).astype(np.int64)
    reached[row, column] = 0
    return reached
