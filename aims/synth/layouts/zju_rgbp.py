"""The two raw layouts of ZJU-RGB-P: the authors', and the archive `zju-rgbp/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.synth.layouts._pictures import Splits, label_map, write_splits


@dataclass(frozen=True, kw_only=True)
class ZJURGBPImage:
    """One image of the dataset.

    Attributes:
        i0: (height, width, 3) uint8 RGB behind a polarizer at 0 degrees.
        i45: (height, width, 3) uint8 RGB behind a polarizer at 45 degrees.
        i90: (height, width, 3) uint8 RGB behind a polarizer at 90 degrees.
        i135: (height, width, 3) uint8 RGB behind a polarizer at 135 degrees.
        labels: (height, width); class ids 0 (background) to 8 for `write_authors`, instance ids with
            0 = background for `write_redistributed`.
    """

    i0: NDArray[np.uint8]
    i45: NDArray[np.uint8]
    i90: NDArray[np.uint8]
    i135: NDArray[np.uint8]
    labels: NDArray[np.integer]


def write_authors(
    root: Path, splits: Splits[ZJURGBPImage], *, degree: str = "°", labels: str = "label"
) -> Path:
    """Writes `{train,val}/{0,45,90,135}/NAME_ANGLE°.png` and `{train,val}/label/NAME.png` below `root`.

    Args:
        root: folder to write to; made if it is absent.
        splits: images by name, by split; `test` is written as `val`.
        degree: text between the angle and `.png`.
        labels: name of the folder of the label maps.

    Returns:
        `root`.
    """

    def files(image: ZJURGBPImage) -> dict[str, NDArray[Any]]:
        angles = {"0": image.i0, "45": image.i45, "90": image.i90, "135": image.i135}
        pictures = {f"{{split}}/{key}/{{name}}_{key}{degree}.png": angles[key] for key in angles}
        return {**pictures, f"{{split}}/{labels}/{{name}}.png": label_map(image.labels)}

    # The real dataset names its evaluation split "val".
    named = {"val" if split == "test" else split: images for split, images in splits.items()}
    # Noise hardly compresses, so a higher level would take time and save no space.
    return write_splits(root, named, files, compress_level=1)


def write_redistributed(root: Path, splits: Splits[ZJURGBPImage]) -> Path:
    """Writes the archive `zju-rgbp/` below `root`: the four angles, and instance maps in `label_sam/`."""
    return write_authors(root / "zju-rgbp", splits, labels="label_sam")
