"""Scored instances over pictures: predicted masks, colours, clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.errors import AimsError
from aims.data.instances import stretch_nearest

_TINT = 0.55


def predicted_mask(row: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The predicted mask of a scored instance at a picture's size.

    Args:
        row: of `instances.parquet` (`aims.core.records.INSTANCE_SCHEMA`).
        size: (height, width) of the picture.

    Raises:
        AimsError: there is no mask, or none that can be read.
    """
    try:
        rle = row["rle_native"] or row["rle_grid"]
        mask = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    except (KeyError, TypeError, ValueError, AttributeError):
        which = f"instance {row['instance_id']} of {row['image_id']!r}"
        raise AimsError(f"{which}: its mask cannot be read; `aims verify RUN` says of which run") from None
    return stretch_nearest(mask, size).astype(bool)


def click_in_picture(row: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    """The click (x, y) of a scored instance in pixels of the picture; the first pixel's centre is (0, 0)."""
    (x, y), (grid_height, grid_width) = row["click"], row["click_size"]
    return (x + 0.5) * size[1] / grid_width - 0.5, (y + 0.5) * size[0] / grid_height - 0.5


def tinted(
    picture: NDArray[Any],
    masks: Sequence[NDArray[np.bool_]],
    colours: Sequence[tuple[float, float, float]] = mpl.colormaps["tab10"].colors,  # type: ignore[attr-defined]
) -> NDArray[np.floating[Any]]:
    """Lays coloured masks over a picture; small ones lie on top, and all keep the colour of their place.

    Args:
        picture: (height, width, 3), 0..1.
        masks: (height, width) each.
        colours: of the masks in order, 0..1; they come again where there are more masks.
    """
    result: NDArray[np.floating[Any]] = picture.copy()
    for k in sorted(range(len(masks)), key=lambda k: -int(masks[k].sum())):
        colour = np.array(colours[k % len(colours)])
        result[masks[k]] = (1 - _TINT) * picture[masks[k]] + _TINT * colour
    return result
