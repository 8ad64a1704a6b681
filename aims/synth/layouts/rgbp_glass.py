"""The two raw layouts of RGBP-Glass: the authors', and the archive `pgsnet/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.core.files import write_json
from aims.synth.layouts._coco import CocoFile, instance_masks
from aims.synth.layouts._pictures import Splits, label_map, write_splits


@dataclass(frozen=True, kw_only=True)
class RGBPGlassImage:
    """One image of the dataset.

    Attributes:
        intensity: (height, width, 3) RGB, float32 from 0 to 1 or uint8.
        aolp: (height, width, 3) angle of linear polarization; 1 (uint8: 255) is pi.
        dolp: (height, width, 3) degree of linear polarization; 1 (uint8: 255) is fully polarized.
        instances: (height, width), 0 = no glass, else the id of a piece of glass.
    """

    intensity: NDArray[Any]
    aolp: NDArray[Any]
    dolp: NDArray[Any]
    instances: NDArray[np.integer]


def write_authors(root: Path, splits: Splits[RGBPGlassImage], *, tables: bool = True) -> Path:
    """Writes `SPLIT/{image,aolp,dolp,mask}/` and `SPLIT/instances_SPLIT.json` below `root`.

    Args:
        root: folder to write to; made if it is absent.
        splits: images by name, by split.
        tables: whether to write the JSON files.

    Returns:
        `root`.
    """
    write_splits(root, splits, _files)
    for split, images in splits.items() if tables else ():
        # The authors' file holds polygons of this one category; ours holds uncompressed RLE.
        table = CocoFile(["glass"])
        for image_id, image in images.items():
            table.add(f"{image_id}_rgb.tiff", image.instances.shape, instance_masks(image.instances))
        write_json(root / split / f"instances_{split}.json", table.content())
    return root


def write_redistributed(root: Path, splits: Splits[RGBPGlassImage]) -> Path:
    """Writes `pgsnet/` below `root`: streams, `mask/` and `instance_mask/`; returns that folder."""
    instances = "{split}/instance_mask/{name}_instance_mask.png"
    return write_splits(
        root / "pgsnet", splits, lambda image: {**_files(image), instances: label_map(image.instances)}
    )


def _files(image: RGBPGlassImage) -> dict[str, NDArray[Any]]:
    """Returns the three streams and the binary mask of all glass (0 or 255), by path."""
    return {
        "{split}/image/{name}_rgb.tiff": image.intensity,
        "{split}/aolp/{name}_aolp.tiff": image.aolp,
        "{split}/dolp/{name}_dolp.tiff": image.dolp,
        "{split}/mask/{name}_mask.png": (image.instances > 0) * np.uint8(255),
    }
