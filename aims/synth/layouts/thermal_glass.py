"""The two raw layouts of RGB-Thermal glass: the authors', and the archive `RGB-Thermal-Glass/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.synth.layouts._pictures import Splits, write_path_tables, write_splits


@dataclass(frozen=True, kw_only=True)
class ThermalGlassImage:
    """One image of the dataset.

    Attributes:
        rgb: (height, width, 3) uint8.
        temperature: (height, width) floats, degrees Celsius.
        panes: (height, width) integers, 0 = no glass, else the number of the pane.
    """

    rgb: NDArray[np.uint8]
    temperature: NDArray[np.floating]
    panes: NDArray[np.integer]


def write_authors(root: Path, splits: Splits[ThermalGlassImage], *, numbered: bool = False) -> Path:
    """Writes `SPLIT/SCENE/IMAGE/{rgb.png, temperature.npy, mask.png, boundary.png}` below `root`.

    Args:
        root: folder to write to; made if it is absent.
        splits: images by "SCENE/IMAGE", by split.
        numbered: masks hold the numbers of the panes (uint16) instead of 255 (uint8).

    Returns:
        `root`.
    """

    def files(image: ThermalGlassImage) -> dict[str, NDArray[Any]]:
        glass = ((image.panes > 0) * 255).astype(np.uint8)
        boundary = cv2.morphologyEx(glass, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        return {
            "{split}/{name}/rgb.png": image.rgb,
            "{split}/{name}/temperature.npy": image.temperature,
            "{split}/{name}/mask.png": image.panes.astype(np.uint16) if numbered else glass,
            "{split}/{name}/boundary.png": boundary,
        }

    return write_splits(root, splits, files)


def write_redistributed(
    root: Path, splits: Splits[ThermalGlassImage], *, numbered: bool = False, header: bool = True
) -> Path:
    """Writes the archive `RGB-Thermal-Glass/` below `root`: the authors' files and a CSV table per split.

    Args:
        root: folder to write to; made if it is absent.
        splits: images by "SCENE/IMAGE", by split; the tables keep their order.
        numbered: masks hold the numbers of the panes (uint16) instead of 255 (uint8).
        header: whether the first row of a table holds the names of the columns.

    Returns:
        The folder `RGB-Thermal-Glass`.
    """
    folder = write_authors(root / "RGB-Thermal-Glass", splits, numbered=numbered)
    columns = {name: f"{{split}}/{{name}}/{name}.png" for name in ("rgb", "mask")}
    write_path_tables(folder / "RGB_T_Glass_{split}_GroundTruth.csv", splits, columns, header=header)
    return folder
