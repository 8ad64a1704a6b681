"""The objects that were found in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.errors import InputError
from aims.core.records import Rle

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Objects of one picture, which may overlap.

    Each is kept as the part of its mask within its bounding box, so that the memory grows with the objects
    and not with the picture.

    Attributes:
        size: (height, width) of the picture.
        parts: mask of each object within its bounding box.
        corners: (objects, 2) the first pixel (x, y) of each bounding box.
        scores: (objects,) the IoU that the model predicts for each mask.
        stability: (objects,) the IoU of each mask at a raised and a lowered threshold; None if not computed.
        points: (objects, 2) the click, (x, y) in pixels, that found each object; None if there were others.
    """

    size: tuple[int, int]
    parts: Sequence[Mask]
    corners: NDArray[np.int64]
    scores: NDArray[np.float32]
    stability: NDArray[np.float32] | None = None
    points: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        masks: NDArray[np.bool_],
        scores: NDArray[np.float32],
        *,
        offset: tuple[int, int] = (0, 0),
        size: tuple[int, int] | None = None,
        **others: Any,
    ) -> Instances:
        """Makes objects of (objects, height, width) masks.

        Args:
            masks: masks of a picture, or of a part of it.
            scores: see `Instances`.
            offset: (x, y) of the part in the picture.
            size: (height, width) of the picture; None if the masks are of the whole.
            **others: `stability` and `points`.
        """
        parts, corners = [], []
        for mask in masks:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            top, left = (int(places[0]) if len(places) else 0 for places in (rows, columns))
            bottom, right = (int(places[-1]) + 1 if len(places) else 0 for places in (rows, columns))
            parts.append(mask[top:bottom, left:right].copy())
            corners.append((left + offset[0], top + offset[1]))
        return cls(
            size=(masks.shape[1], masks.shape[2]) if size is None else size,
            parts=parts,
            corners=np.array(corners, np.int64).reshape(-1, 2),
            scores=scores,
            **others,
        )

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(objects, height, width) masks."""
        planes = np.zeros((len(self), *self.size), bool)
        for k, plane in enumerate(planes):
            plane[self.place(k)] = self.parts[k]
        return planes

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """(objects,) numbers of pixels."""
        return np.array([part.sum() for part in self.parts], np.int64)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """(objects, 4) bounding boxes (x, y, width, height) in pixels, as in COCO."""
        sides = np.array([part.shape[::-1] for part in self.parts], np.int64).reshape(-1, 2)
        return np.concatenate([self.corners, sides], 1)

    @cached_property
    def rles(self) -> list[Rle]:
        """Masks as COCO RLE of the whole picture."""
        return [
            encode_part(part, (x, y), self.size)
            for part, (x, y) in zip(self.parts, self.corners.tolist(), strict=True)
        ]

    def place(self, k: int) -> tuple[slice, slice]:
        """Returns the rows and columns of the bounding box of object `k`."""
        (x, y), (height, width) = self.corners[k].tolist(), self.parts[k].shape
        return slice(y, y + height), slice(x, x + width)

    def label_map(self) -> NDArray[np.uint16]:
        """Returns a (height, width) map: 0 where there is no object, else the object's number, from 1.

        Of masks that overlap the smaller one is on top, of equal ones the later, as in converted datasets.

        Raises:
            InputError: there are more objects than 16 bits can number.
        """
        if len(self) > np.iinfo(np.uint16).max:
            raise InputError(f"{len(self):,} objects in one picture: a map of 16 bits numbers 65,535")
        labels = np.zeros(self.size, np.uint16)
        for k in np.argsort(-self.areas, kind="stable").tolist():
            labels[self.place(k)][self.parts[k]] = k + 1
        return labels

    def annotations(self) -> list[dict[str, Any]]:
        """Returns the objects as annotations of COCO's JSON, without ids and categories."""
        boxes, areas = self.boxes.tolist(), self.areas.tolist()
        found: list[dict[str, Any]] = []
        for k, rle in enumerate(self.rles):
            entry = {"segmentation": rle, "area": areas[k], "bbox": boxes[k], "iscrowd": 0}
            entry["score"] = round(float(self.scores[k]), 6)
            if self.stability is not None:
                entry["stability"] = round(float(self.stability[k]), 6)
            if self.points is not None:
                entry["point"] = self.points[k].tolist()
            found.append(entry)
        return found

    def chosen(self, places: NDArray[np.int64]) -> Instances:
        """Returns the objects at these places, in this order."""
        return Instances(
            size=self.size,
            parts=[self.parts[k] for k in places.tolist()],
            corners=self.corners[places],
            scores=self.scores[places],
            stability=None if self.stability is None else self.stability[places],
            points=None if self.points is None else self.points[places],
        )


def merge(found: Sequence[Instances], size: tuple[int, int]) -> Instances:
    """Puts the objects of several `Instances` of one picture behind each other.

    Stability and points are kept where all have them.
    """

    def joined(name: str, empty: NDArray[Any]) -> NDArray[Any] | None:
        values = [getattr(each, name) for each in found]
        return None if any(value is None for value in values) else np.concatenate([empty, *values])

    return Instances(
        size=size,
        parts=[part for each in found for part in each.parts],
        corners=np.concatenate([np.zeros((0, 2), np.int64), *(each.corners for each in found)]),
        scores=np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)]),
        stability=joined("stability", np.zeros(0, np.float32)),
        points=joined("points", np.zeros((0, 2))),
    )


def encode_part(part: Mask, corner: tuple[int, int], size: tuple[int, int]) -> Rle:
    """Encodes a part of a mask as the COCO RLE of the whole, without making the whole.

    Args:
        part: (height, width) mask; everything outside is 0.
        corner: first pixel (x, y) of the part.
        size: (height, width) of the whole.
    """
    height, width = size
    # COCO's runs go down the columns. Within the part, a run starts where a column's values rise.
    columns = np.zeros((part.shape[1], part.shape[0] + 2), np.int8)
    columns[:, 1:-1] = part.T
    steps = np.diff(columns, axis=1)
    first = (corner[0] + np.arange(part.shape[1])) * height + corner[1]
    starts, ends = (first[column] + row for column, row in (np.nonzero(steps == 1), np.nonzero(steps == -1)))
    # A run to the last row goes on in the next column.
    going_on = starts[1:] == ends[:-1]
    starts, ends = starts[np.r_[True, ~going_on][: len(starts)]], ends[np.r_[~going_on, True][: len(ends)]]
    bounds = np.stack([starts, ends], 1).ravel()
    counts = np.diff(np.concatenate([[0], bounds, [height * width]]))
    # As pycocotools, without an empty run at the end.
    counts = counts[: len(counts) - (counts[-1] == 0)]
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
