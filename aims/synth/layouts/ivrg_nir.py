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
    """One picture of the set.

    Attributes:
        nir: (height, width) uint8 or uint16, or (height, width, 3) uint8.
        rgb: (height, width, 3) uint8.
        regions: (height, width), 0 = nothing; whole numbers up to 65535.
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
    """Writes `IVRG_RGBNIR/` below `root`: pictures and masks in `Outdoor_dataset/`, and a GBK table a split.

    Args:
        root: folder to write to; made if it is absent.
        splits: pictures by name, by split; the tables keep their order.
        nir_ending: what follows the name in `NIRimages/`; the suffix says the format.
        rgb_ending: what follows the name in `RGBimages/`.
        header: the tables begin with the names of their columns.

    Returns:
        The folder.
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
