"""Tiny trees in the layouts of the datasets of the zoo, and what their conversion must give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from raw_folder import label_map, ramp


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A tree of few files, and what is read from it.

    Attributes:
        write: writes it into a folder.
        splits: the image ids of each split that is read.
        corner: the first pixel of each stream of the first image, channel by channel.
        objects: classes of the instances of the first image, in the order of their first pixels.
    """

    write: Callable[[Path], None]
    splits: Mapping[str, Sequence[str]]
    corner: Mapping[str, Sequence[float]]
    objects: Sequence[str]


def save(path: Path, array: np.ndarray) -> None:
    """Saves an array as a picture; three and four channels are RGB and RGBA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.ndim == 3:
        array = array.squeeze(-1) if array.shape[2] == 1 else array[..., [2, 1, 0, *range(3, array.shape[2])]]
    assert cv2.imwrite(str(path), array)


def drawn(first: Any, second: Any, background: Any = 0) -> np.ndarray:
    """The labels of `label_map`, with values or colours of one's own for its two regions."""
    return np.array([background, first, second], np.uint8)[label_map()]


def write_cwfid(root: Path) -> None:
    for number in range(1, 61):
        save(root / "images" / f"{number:03}_image.png", ramp(number, 3, np.uint8))
        save(root / "annotations" / f"{number:03}_annotation.png", drawn((255, 0, 0), (0, 255, 0), (0, 0, 0)))


def write_thermal_udder(root: Path) -> None:
    for number, split in enumerate(("train", "val", "test"), start=1):
        save(root / "images" / split / f"{number}.png", ramp(number, 1, np.uint8))
        save(root / "masks" / split / f"{number}.png", drawn(255, 0))


#: The tree of each dataset of the zoo.
TREES = {
    "cwfid": Tree(
        write=write_cwfid,
        splits={
            "train": [
                f"{number:03}"
                for number in range(1, 61)
                if number not in (1, 3, 4, 9, 10, 13, 15, 21, 22, 26, 29, 30, 32, 35, 39, 44, 47, 48, 54, 60)
            ],
            "test": [
                f"{number:03}"
                for number in (1, 3, 4, 9, 10, 13, 15, 21, 22, 26, 29, 30, 32, 35, 39, 44, 47, 48, 54, 60)
            ],
        },
        corner={"nir": [52], "red": [2]},
        objects=["weed", "crop"],
    ),
    "thermal-udder": Tree(
        write=write_thermal_udder,
        splits={"train": ["1"], "val": ["2"], "test": ["3"]},
        corner={"thermal": [1]},
        objects=["udder"],
    ),
}
