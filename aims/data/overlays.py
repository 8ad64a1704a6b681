"""Draws scored instances over images: predicted masks, colours, clicks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.errors import AimsError
from aims.data.instances import stretch_nearest

# Opacity of a mask.
_TINT = 0.55

# Pixels of a mask: what others wrote may state any size, and the decoder takes its memory at once.
_LARGEST = 1 << 28


def predicted_mask(row: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decodes the predicted mask of a scored instance and resizes it to an image.

    Args:
        row: a row of `instances.parquet` (`aims.core.records.INSTANCE_SCHEMA`).
        size: (height, width) of the image.

    Returns:
        (height, width) bool.

    Raises:
        AimsError: the row has no mask that can be decoded.
    """
    try:
        rle = row["rle_native"] or row["rle_grid"]
        if min(rle["size"]) < 1 or math.prod(rle["size"]) > _LARGEST:
            raise ValueError
        mask = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    except (LookupError, TypeError, ValueError, AttributeError):
        which = f"instance {row['instance_id']} of {row['image_id']!r}"
        raise AimsError(f"{which}: its mask cannot be read; `aims verify RUN` says of which run") from None
    return stretch_nearest(mask, size).astype(bool)


def click_in_picture(row: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    """Returns the click (x, y) of a scored instance in image pixels; (0, 0) is the first pixel's centre."""
    (x, y), (grid_height, grid_width) = row["click"], row["click_size"]
    return (x + 0.5) * size[1] / grid_width - 0.5, (y + 0.5) * size[0] / grid_height - 0.5


def tinted(
    picture: NDArray[Any],
    masks: Sequence[NDArray[np.bool_]],
    colours: Sequence[tuple[float, float, float]] = mpl.colormaps["tab10"].colors,  # type: ignore[attr-defined]
) -> NDArray[np.floating[Any]]:
    """Blends coloured masks over an image, smaller masks on top.

    Args:
        picture: (height, width, 3), 0..1.
        masks: (height, width) bool each.
        colours: RGB colours of the masks in order, 0..1; reused cyclically if there are more masks.
    """
    result: NDArray[np.floating[Any]] = picture.copy()
    for k in sorted(range(len(masks)), key=lambda k: -int(masks[k].sum())):
        colour = np.array(colours[k % len(colours)])
        result[masks[k]] = (1 - _TINT) * picture[masks[k]] + _TINT * colour
    return result
