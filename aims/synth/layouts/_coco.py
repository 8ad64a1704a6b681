"""COCO instance annotations, with masks as uncompressed RLE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class CocoFile:
    """The content of one instances file, image by image.

    Args:
        classes: category names; category ids count from 1.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, file_name: str, size: tuple[int, ...], masks: Iterable[tuple[int, Mask]]) -> None:
        """Adds an image and its annotations.

        Args:
            file_name: the image's name.
            size: (height, width) in pixels.
            masks: category id and (height, width) mask of each annotation.
        """
        height, width = size
        image_id = len(self._images) + 1
        self._images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        for category_id, mask in masks:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            x, y = int(columns[0]), int(rows[0])
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": {"size": list(mask.shape), "counts": _run_lengths(mask)},
                    "area": int(mask.sum()),
                    "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
                    "iscrowd": 0,
                }
            )

    def content(self) -> dict[str, Any]:
        """The file's content, for JSON."""
        return {
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": k, "name": name} for k, name in enumerate(self._classes, start=1)],
        }


def class_regions(class_map: NDArray[np.integer]) -> Iterator[tuple[int, Mask]]:
    """Yields class id and mask of each 8-connected region of a class, class by class."""
    for class_id in range(1, int(class_map.max()) + 1):
        count, regions = cv2.connectedComponents((class_map == class_id).astype(np.uint8), connectivity=8)
        for k in range(1, count):
            yield class_id, regions == k


def instance_masks(instances: NDArray[np.integer]) -> Iterator[tuple[int, Mask]]:
    """Yields category id 1 and the mask of each instance, in the order of the instances' numbers."""
    for instance in np.unique(instances[instances > 0]).tolist():
        yield 1, instances == instance


def _run_lengths(mask: Mask) -> list[int]:
    """Returns the lengths of the runs of 0, 1, 0, ... in column-major order; the first may be 0."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts: list[int] = np.diff([0, *edges, mask.size]).tolist()
    return counts
