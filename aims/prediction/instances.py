"""The objects that were found in one picture, as run-length codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.errors import InputError
from aims.core.records import Rle


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Objects of one picture, which may overlap.

    Attributes:
        size: (height, width) of the picture.
        rles: mask of each object as COCO RLE.
        scores: (objects,) the IoU that the model predicts for each mask, 0..1 by its training.
        stability: (objects,) the IoU of each mask at a raised and a lowered threshold; None if not computed.
        points: (objects, 2) the click, (x, y) in pixels, that found each object; None if there were others.
    """

    size: tuple[int, int]
    rles: list[Rle]
    scores: NDArray[np.float32]
    stability: NDArray[np.float32] | None = None
    points: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.rles)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(objects, height, width) masks."""
        if not self.rles:
            return np.zeros((0, *self.size), bool)
        planes = coco_mask.decode([dict(rle) for rle in self.rles])
        return np.ascontiguousarray(planes.transpose(2, 0, 1)).astype(bool)

    @property
    def areas(self) -> NDArray[np.int64]:
        """(objects,) numbers of pixels."""
        return np.array([coco_mask.area(dict(rle)) for rle in self.rles], np.int64)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(objects, 4) bounding boxes (x, y, width, height) in pixels, as in COCO."""
        return np.array([coco_mask.toBbox(dict(rle)) for rle in self.rles], np.float64).reshape(-1, 4)

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
            labels[coco_mask.decode(dict(self.rles[k])).astype(bool)] = k + 1
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
            rles=[self.rles[k] for k in places.tolist()],
            scores=self.scores[places],
            stability=None if self.stability is None else self.stability[places],
            points=None if self.points is None else self.points[places],
        )
