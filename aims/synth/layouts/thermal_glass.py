"""The two raw layouts of RGB-Thermal glass: the authors', and the archive `RGB-Thermal-Glass/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.synth.layouts._pictures import write_path_table, write_picture


@dataclass(frozen=True, kw_only=True)
class ThermalGlassImage:
    """One picture of the set.

    Attributes:
        rgb: (height, width, 3) uint8.
        temperature: (height, width) floats, degrees Celsius.
        panes: (height, width) whole numbers, 0 = no glass, else the number of the pane.
    """

    rgb: NDArray[np.uint8]
    temperature: NDArray[np.floating]
    panes: NDArray[np.integer]


def write_authors(
    root: Path, splits: Mapping[str, Mapping[str, ThermalGlassImage]], *, numbered: bool = False
) -> Path:
    """Writes `SPLIT/SCENE/IMAGE/{rgb.png, temperature.npy, mask.png, boundary.png}` below `root`.

    Args:
        root: folder to write to; made if it is absent.
        splits: pictures by "SCENE/IMAGE", by split.
        numbered: masks hold the numbers of the panes (16 bits) in place of 255.

    Returns:
        The folder.
    """
    for split, images in splits.items():
        for name, image in images.items():
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            glass = ((image.panes > 0) * 255).astype(np.uint8)
            boundary = cv2.morphologyEx(glass, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
            write_picture(folder / "rgb.png", image.rgb)
            np.save(folder / "temperature.npy", image.temperature)
            mask: NDArray[Any] = image.panes.astype(np.uint16) if numbered else glass
            write_picture(folder / "mask.png", mask)
            write_picture(folder / "boundary.png", boundary)
    return root


def write_redistributed(
    root: Path,
    splits: Mapping[str, Mapping[str, ThermalGlassImage]],
    *,
    numbered: bool = False,
    header: bool = True,
) -> Path:
    """Writes the archive `RGB-Thermal-Glass/` below `root`: the same files, and a GBK table a split.

    Args:
        root: folder to write to; made if it is absent.
        splits: pictures by "SCENE/IMAGE", by split; the tables keep their order.
        numbered: masks hold the numbers of the panes (16 bits) in place of 255.
        header: the tables begin with the names of their columns.

    Returns:
        The folder.
    """
    folder = write_authors(root / "RGB-Thermal-Glass", splits, numbered=numbered)
    for split, images in splits.items():
        paths = [f"{split}/{name}" for name in images]
        columns = {name: [f"{path}/{name}.png" for path in paths] for name in ("rgb", "mask")}
        write_path_table(folder / f"RGB_T_Glass_{split}_GroundTruth.csv", columns, header=header)
    return folder
