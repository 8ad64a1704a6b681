"""The two raw layouts of RGBP-Glass: the authors', and the archive `pgsnet/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from aims.core.files import write_json
from aims.synth.layouts._coco import CocoFile, instance_masks
from aims.synth.layouts._pictures import write_label_map, write_picture


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


def write_authors(
    root: Path, splits: Mapping[str, Mapping[str, RGBPGlassImage]], *, tables: bool = True
) -> Path:
    """Writes `SPLIT/{image,aolp,dolp,mask}/` and `SPLIT/instances_SPLIT.json` below `root`.

    Args:
        root: folder to write to; made if it is absent.
        splits: pictures by name, by split (train, test).
        tables: whether to write the JSON files.

    Returns:
        The folder.
    """
    for split, images in splits.items():
        for image_id, image in images.items():
            _write_image(root / split, image_id, image)
        if tables:
            # The authors' own files are unconfirmed.
            table = CocoFile(["glass"])
            for image_id, image in images.items():
                table.add(f"{image_id}_rgb.tiff", image.instances.shape, instance_masks(image.instances))
            write_json(root / split / f"instances_{split}.json", table.content())
    return root


def write_redistributed(root: Path, splits: Mapping[str, Mapping[str, RGBPGlassImage]]) -> Path:
    """Writes the archive `pgsnet/` below `root`: streams, `mask/` and `instance_mask/`.

    Each picture is taken once, in order, and not kept.

    Returns:
        The folder.
    """
    folder = root / "pgsnet"
    for split, images in splits.items():
        for image_id, image in images.items():
            _write_image(folder / split, image_id, image)
            path = folder / split / "instance_mask" / f"{image_id}_instance_mask.png"
            write_label_map(path, image.instances)
    return folder


def _write_image(folder: Path, image_id: str, image: RGBPGlassImage) -> None:
    """The three streams, and the mask of all glass."""
    files = {"image/{}_rgb": image.intensity, "aolp/{}_aolp": image.aolp, "dolp/{}_dolp": image.dolp}
    for name, array in files.items():
        path = folder / f"{name.format(image_id)}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, array, photometric="rgb")
    write_picture(folder / "mask" / f"{image_id}_mask.png", (image.instances > 0) * np.uint8(255))
