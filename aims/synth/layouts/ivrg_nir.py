"""The raw layout of IVRG RGB-NIR: the re-distributed archive `IVRG_RGBNIR/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image


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
    for split, images in splits.items():
        nir = [f"NIRimages/{name}{nir_ending}" for name in images]
        masks = [f"Masks/{name}_mask.png" for name in images]
        for image, nir_path, mask_path, name in zip(images.values(), nir, masks, images, strict=True):
            _write(folder / "Outdoor_dataset" / nir_path, image.nir)
            _write(folder / "Outdoor_dataset" / "RGBimages" / f"{name}{rgb_ending}", image.rgb)
            dtype = np.uint8 if image.regions.max() < 256 else np.uint16
            _write(folder / "Outdoor_dataset" / mask_path, image.regions.astype(dtype))
        table = pd.DataFrame({"nir": nir, "mask": masks})
        path = folder / f"IVRG-nir_{split}_GroundTruth.csv"
        table.to_csv(path, header=header, encoding="gbk", lineterminator="\n")
    return folder


def _write(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
