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
    """One picture of the set.

    Attributes:
        intensity: (height, width, 3) RGB, float32 from 0 to 1 or 8 bit.
        aolp: (height, width, 3) angle of linear polarization; 1 (8 bit: 255) is pi.
        dolp: (height, width, 3) degree of linear polarization; 1 (8 bit: 255) is fully polarized.
        instances: (height, width), 0 is nothing, any other number a piece of glass.
    """

    intensity: NDArray[Any]
    aolp: NDArray[Any]
    dolp: NDArray[Any]
    instances: NDArray[np.integer]


def write_authors(root: Path, splits: Splits[RGBPGlassImage], *, tables: bool = True) -> Path:
    """Writes `SPLIT/{image,aolp,dolp,mask}/` and `SPLIT/instances_SPLIT.json` below `root`.

    Args:
        root: see `write_splits`, and so are splits and what is returned.
        splits: the pictures.
        tables: whether to write the JSON files.
    """
    write_splits(root, splits, _files)
    for split, images in splits.items() if tables else ():
        # The authors' own files are unconfirmed.
        table = CocoFile(["glass"])
        for image_id, image in images.items():
            table.add(f"{image_id}_rgb.tiff", image.instances.shape, instance_masks(image.instances))
        write_json(root / split / f"instances_{split}.json", table.content())
    return root


def write_redistributed(root: Path, splits: Splits[RGBPGlassImage]) -> Path:
    """Writes the archive `pgsnet/` below `root`: streams, `mask/` and `instance_mask/`."""
    instances = "{split}/instance_mask/{name}_instance_mask.png"
    return write_splits(
        root / "pgsnet", splits, lambda image: {**_files(image), instances: label_map(image.instances)}
    )


def _files(image: RGBPGlassImage) -> dict[str, NDArray[Any]]:
    """The three streams, and the mask of all glass."""
    return {
        "{split}/image/{name}_rgb.tiff": image.intensity,
        "{split}/aolp/{name}_aolp.tiff": image.aolp,
        "{split}/dolp/{name}_dolp.tiff": image.dolp,
        "{split}/mask/{name}_mask.png": (image.instances > 0) * np.uint8(255),
    }
