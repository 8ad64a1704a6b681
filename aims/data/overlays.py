"""Draws scored instances over images: predicted masks, colours, clicks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.errors import AimsError
from aims.data.instances import stretch_nearest

Colour = tuple[int, int, int]
#: Colours of masks and outlines, distinct on greys, viridis, inferno and magma; cyan first, which the warm
#: maps lack.
BRIGHT: tuple[Colour, ...] = (
    (34, 211, 238),
    (255, 176, 32),
    (255, 92, 214),
    (125, 234, 84),
    (255, 60, 60),
    (91, 120, 255),
    (255, 233, 74),
)
#: With dark ones, for bright pictures.
PALETTE: tuple[Colour, ...] = (*BRIGHT, (0, 110, 80), (150, 0, 110), (0, 50, 170))
# Opacity of a mask.
_TINT = 0.55
# Pixels of a picture that its colours are taken of, and the share of the best contrast that is good, too.
_SAMPLE, _NEAR = 4096, 0.6

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


def contrasting_colours(picture: NDArray[np.uint8]) -> list[Colour]:
    """Returns the colours of a palette that a picture has not, best first; at least half of them.

    The contrast of a colour is its distance in CIELAB to the nearest tenth of the picture's pixels.

    Args:
        picture: (height, width, 3) uint8 RGB.

    Returns:
        RGB colours, 0 to 255.
    """
    step = max(1, round(math.sqrt(picture.shape[0] * picture.shape[1] / _SAMPLE)))
    pixels = _lab(picture[::step, ::step].reshape(-1, 3))
    distances = np.linalg.norm(_lab(np.array(PALETTE, np.uint8))[:, None] - pixels, axis=2)
    contrasts = dict(zip(PALETTE, np.percentile(distances, 10, axis=1).tolist(), strict=True))
    ranked = sorted(PALETTE, key=lambda colour: -contrasts[colour])
    good = [colour for colour in ranked if contrasts[colour] > _NEAR * contrasts[ranked[0]]]
    return good if len(good) > len(ranked) // 2 else ranked[: len(ranked) // 2]


def _lab(colours: NDArray[np.uint8]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return found


def tinted(picture: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Blends masks over an image in colours that it does not have, smaller masks on top.

    Args:
        picture: (height, width, 3) uint8 RGB.
        masks: (height, width) bool each; colours are used again where there are more masks than colours.
    """
    colours, result = contrasting_colours(picture), picture.astype(np.float32)
    for k in sorted(range(len(masks)), key=lambda k: -int(masks[k].sum())):
        colour = np.array(colours[k % len(colours)], np.float32)
        result[masks[k]] = (1 - _TINT) * picture[masks[k]] + _TINT * colour
    return np.rint(result).astype(np.uint8)
