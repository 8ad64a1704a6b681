"""A set so small that every number of it can be counted by hand, with names that HTML must escape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from aims.core.schema import Converter, DatasetSpec, Sample, SemanticMap, StreamSpec

NAMES = ("a1", "a2 <i>", "b1&\"'")
LEAF, STONE = 1, 2


def class_map(image_id: str) -> np.ndarray:
    labels = np.zeros((2, 3) if image_id == NAMES[2] else (4, 6), np.uint8)
    if image_id == NAMES[0]:
        labels[:2, :2], labels[3] = LEAF, STONE
    elif image_id == NAMES[1]:
        labels[0, 0] = labels[2, 3] = LEAF
    elif image_id == NAMES[2]:
        labels[1] = STONE
    return labels


def depth(image_id: str) -> np.ndarray:
    """2 m, 4 m and 6 m; the first has a missing value, a NaN, and one beyond the range."""
    size = class_map(image_id).shape
    array = np.full((*size, 1), 2.0 * (NAMES.index(image_id) + 1), np.float32)
    if image_id == NAMES[0]:
        array[0, :3, 0] = 0, np.nan, 12
    return array.astype(np.float64) if image_id == NAMES[1] else array


def gas(image_id: str) -> np.ndarray:
    """Two channels: 1, 3, 5 and ten times that."""
    level = 2 * NAMES.index(image_id) + 1
    return np.full((*class_map(image_id).shape, 2), (level, 10 * level), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Tiny(Converter):
    """Three images and one without an instance."""

    name: ClassVar[str] = "tiny"

    def spec(self) -> DatasetSpec:
        return DatasetSpec(
            name="tiny",
            classes=("leaf", "stone & <sand>", "absent"),
            streams={
                "depth": StreamSpec(channels=1, unit="m", valid_range=(0, 10), missing=0.0),
                "gas": StreamSpec(channels=2, unit="ppm"),
            },
            license="none & <free>",
            citation="A. Nobody",
            url="https://example.org/tiny",
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        return {"train": [*NAMES[:2], "empty"], "test": NAMES[2:]}

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        return []

    def read(self, split: str, image_id: str) -> Sample:
        known = image_id in NAMES
        like = image_id if known else NAMES[1]
        return Sample(
            image_id=image_id,
            group="field" if split == "train" else "<lab>",
            streams={"depth": depth(like), "gas": gas(like)},
            labels=SemanticMap(class_map=class_map(image_id)),
        )
