"""The raw layout of IVRG RGB-NIR: the re-distributed archive `IVRG_RGBNIR/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.synth.layouts._pictures import write_label_map, write_path_table, write_picture


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
    splits: Mapping[str, Mapping[str, IVRGNIRImage]],
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
    pictures = folder / "Outdoor_dataset"
    for split, images in splits.items():
        nir = [f"NIRimages/{name}{nir_ending}" for name in images]
        masks = [f"Masks/{name}_mask.png" for name in images]
        for image, nir_path, mask_path, name in zip(images.values(), nir, masks, images, strict=True):
            write_picture(pictures / nir_path, image.nir)
            write_picture(pictures / "RGBimages" / f"{name}{rgb_ending}", image.rgb)
            write_label_map(pictures / mask_path, image.regions)
        table = folder / f"IVRG-nir_{split}_GroundTruth.csv"
        write_path_table(table, {"nir": nir, "mask": masks}, header=header)
    return folder
