"""The two raw layouts of ZJU-RGB-P: the authors', and the archive `zju-rgbp/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aims.synth.layouts._pictures import write_label_map, write_picture

# The source calls its evaluation pictures val.
_FOLDERS = {"test": "val"}
# Noise does not get smaller by trying harder, which is what writing would wait for.
_COMPRESSION = 1


@dataclass(frozen=True, kw_only=True)
class ZJURGBPImage:
    """One picture of the set.

    Attributes:
        i0: (height, width, 3) uint8 RGB behind a polarizer at 0 degrees.
        i45: the same at 45 degrees.
        i90: the same at 90 degrees.
        i135: the same at 135 degrees.
        labels: (height, width); for `write_authors` the class, 0 (background) to 8; for
            `write_redistributed` a number an instance, 0 is nothing.
    """

    i0: NDArray[np.uint8]
    i45: NDArray[np.uint8]
    i90: NDArray[np.uint8]
    i135: NDArray[np.uint8]
    labels: NDArray[np.integer]


def write_authors(
    root: Path,
    splits: Mapping[str, Mapping[str, ZJURGBPImage]],
    *,
    degree: str = "°",
    labels: str = "label",
) -> Path:
    """Writes `{train,val}/{0,45,90,135}/NAME_ANGLE°.png` and `{train,val}/label/NAME.png` below `root`.

    Args:
        root: folder to write to; made if it is absent.
        splits: pictures by name, by split; `test` is written as the source's `val`.
        degree: what stands between the angle and `.png`.
        labels: folder of the label maps.

    Returns:
        The folder.
    """
    for split, images in splits.items():
        folder = root / _FOLDERS.get(split, split)
        for name, image in images.items():
            for angle in ("0", "45", "90", "135"):
                path = folder / angle / f"{name}_{angle}{degree}.png"
                write_picture(path, getattr(image, f"i{angle}"), compress_level=_COMPRESSION)
            write_label_map(folder / labels / f"{name}.png", image.labels, compress_level=_COMPRESSION)
    return root


def write_redistributed(root: Path, splits: Mapping[str, Mapping[str, ZJURGBPImage]]) -> Path:
    """Writes the archive `zju-rgbp/` below `root`: the four angles, and instance maps in `label_sam/`.

    Returns:
        The folder.
    """
    return write_authors(root / "zju-rgbp", splits, labels="label_sam")
