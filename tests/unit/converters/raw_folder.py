"""A small raw folder with a different value in every pixel and channel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 5, 7
BASE = """\
name = "field"
license = "CC0-1.0"
classes = ["weed", "crop"]

[splits]
train = ["b", "a"]
test = ["c"]

[streams.nir]
files = "nir/{id}.png"
unit = "digital number"

[labels]
files = "labels/{id}.png"
kind = "semantic"
values = { weed = 1, crop = 2 }
"""


def ramp(start: int = 0, channels: int = 1, dtype: Any = np.uint16) -> np.ndarray:
    """(height, width, channels), no value twice: channel k starts at `start` + 50 k."""
    count = HEIGHT * WIDTH
    planes = [start + 50 * channel + np.arange(count).reshape(HEIGHT, WIDTH) for channel in range(channels)]
    return np.stack(planes, axis=-1).astype(dtype)


def label_map() -> np.ndarray:
    """Four pixels of class 1 in row 1, two of class 2 in column 0."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[1, 2:6] = 1
    labels[3:, 0] = 2
    return labels


def write_raw(root: Path) -> Path:
    """Writes what `BASE` describes: image a starts at 1000, b at 2000, c at 3000."""
    for name in ("nir", "labels"):
        (root / name).mkdir(parents=True)
    for number, name in enumerate("abc", start=1):
        cv2.imwrite(str(root / "nir" / f"{name}.png"), ramp(1000 * number))
        Image.fromarray(label_map()).save(root / "labels" / f"{name}.png")
    return root


def says(*parts: str) -> str:
    """A pattern for messages that hold these parts in this order, on one line."""
    return r"\A.*" + ".*".join(map(re.escape, parts)) + r".*\Z"
