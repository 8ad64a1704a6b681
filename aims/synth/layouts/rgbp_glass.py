"""The two raw layouts of RGBP-Glass: the authors', and the archive `pgsnet/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from aims.core.files import write_json


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
            write_json(root / split / f"instances_{split}.json", _coco(images))
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
            dtype = np.uint8 if image.instances.max() < 256 else np.uint16
            path = folder / split / "instance_mask" / f"{image_id}_instance_mask.png"
            _write_png(path, image.instances.astype(dtype))
    return folder


def _write_image(folder: Path, image_id: str, image: RGBPGlassImage) -> None:
    """The three streams, and the mask of all glass."""
    files = {"image/{}_rgb": image.intensity, "aolp/{}_aolp": image.aolp, "dolp/{}_dolp": image.dolp}
    for name, array in files.items():
        path = folder / f"{name.format(image_id)}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, array, photometric="rgb")
    _write_png(folder / "mask" / f"{image_id}_mask.png", (image.instances > 0) * np.uint8(255))


def _write_png(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _coco(images: Mapping[str, RGBPGlassImage]) -> dict[str, Any]:
    """COCO instances with run-length masks; the authors' own files are unconfirmed."""
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (image_id, image) in enumerate(images.items(), start=1):
        height, width = image.instances.shape
        entries.append({"id": number, "file_name": f"{image_id}_rgb.tiff", "height": height, "width": width})
        for instance in np.unique(image.instances[image.instances > 0]).tolist():
            mask = image.instances == instance
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": int(mask.sum()),
                    "bbox": _box(mask),
                    "segmentation": {"size": [height, width], "counts": _runs(mask)},
                }
            )
    categories = [{"id": 1, "name": "glass"}]
    return {"images": entries, "annotations": annotations, "categories": categories}


def _box(mask: NDArray[np.bool_]) -> list[int]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(xs[0]), int(ys[0]), int(xs[-1] - xs[0]) + 1, int(ys[-1] - ys[0]) + 1]


def _runs(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of runs down the columns, of nothing first (COCO's uncompressed RLE)."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff([0, *changes, mask.size])]
