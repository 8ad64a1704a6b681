"""The raw layout of IVRG RGB-NIR: the re-distributed archive `IVRG_RGBNIR/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.synth.layouts._pictures import Splits, label_map, write_path_tables, write_splits


@dataclass(frozen=True, kw_only=True)
class IVRGNIRImage:
    """One image of the dataset.

    Attributes:
        nir: (height, width) uint8 or uint16, or (height, width, 3) uint8.
        rgb: (height, width, 3) uint8.
        regions: (height, width) integers up to 65535; 0 = no region.
    """

    nir: NDArray[Any]
    rgb: NDArray[np.uint8]
    regions: NDArray[np.integer]


def write_redistributed(
    root: Path,
    splits: Splits[IVRGNIRImage],
    *,
    nir_ending: str = "_nir.png",
    rgb_ending: str = "_rgb.png",
    header: bool = True,
) -> Path:
    """Writes `IVRG_RGBNIR/` below `root`: images and masks in `Outdoor_dataset/`, and a CSV table per split.

    Args:
        root: folder to write to; made if it is absent.
        splits: images by name, by split; the tables keep their order.
        nir_ending: appended to the name in `NIRimages/`; its suffix decides the format.
        rgb_ending: appended to the name in `RGBimages/`.
        header: whether the first row of a table holds the names of the columns.

    Returns:
        The folder `IVRG_RGBNIR`.
    """
    folder = root / "IVRG_RGBNIR"
    nir, mask = f"NIRimages/{{name}}{nir_ending}", "Masks/{name}_mask.png"

    def files(image: IVRGNIRImage) -> dict[str, NDArray[Any]]:
        rgb = f"RGBimages/{{name}}{rgb_ending}"
        return {nir: image.nir, rgb: image.rgb, mask: label_map(image.regions)}

    write_splits(folder / "Outdoor_dataset", splits, files)
    table = folder / "IVRG-nir_{split}_GroundTruth.csv"
    write_path_tables(table, splits, {"nir": nir, "mask": mask}, header=header)
    return folder
