"""Draws scored instances over images: predicted masks, colours, clicks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.errors import AimsError
from aims.data.instances import nearest_indices, stretch_nearest

T = TypeVar("T")
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
    return stretch_nearest(_decoded(row, coco_mask.decode), size).astype(bool)


def predicted_map(rows: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> NDArray[np.int32]:
    """Lays the predicted masks of an image's scored instances over each other, smaller ones on top.

    One mask is decoded at a time: together, those of thousands of instances would not fit in memory.

    Args:
        rows: rows of `instances.parquet`.
        size: (height, width) of the image.

    Returns:
        (height, width) map of the place of the row whose mask is seen, from 1; 0 where there is none.

    Raises:
        AimsError: a row has no mask that can be decoded.
    """
    shares = [float(_decoded(row, coco_mask.area)) / math.prod(_rle(row)["size"]) for row in rows]
    seen = np.zeros(size, np.int32)
    for place in sorted(range(len(rows)), key=lambda place: -shares[place]):
        mask = _decoded(rows[place], coco_mask.decode)
        left, top, width, height = cv2.boundingRect(mask)
        down, across = (nearest_indices(*sides) for sides in zip(mask.shape, size, strict=True))
        # Only what lies in the mask's box is resized: most masks are small.
        y, x = (
            slice(*np.searchsorted(indices, (first, first + length)))
            for indices, first, length in ((down, top, height), (across, left, width))
        )
        seen[y, x][mask[down[y]][:, across[x]] > 0] = place + 1
    return seen


def _rle(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = row["rle_native"] or row["rle_grid"]
    return found


def _decoded(row: Mapping[str, Any], decode: Callable[[dict[str, Any]], T]) -> T:
    """Calls a function of pycocotools with the RLE of a row, if its size is one that can be decoded."""
    try:
        rle = _rle(row)
        if min(rle["size"]) < 1 or math.prod(rle["size"]) > _LARGEST:
            raise ValueError
        return decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    except (LookupError, TypeError, ValueError, AttributeError):
        which = f"instance {row['instance_id']} of {row['image_id']!r}"
        raise AimsError(f"{which}: its mask cannot be read; `aims verify RUN` says of which run") from None


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


def tinted(picture: NDArray[np.uint8], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Blends the regions of a map over an image, in colours that it does not have.

    Args:
        picture: (height, width, 3) uint8 RGB.
        labels: (height, width) map: a mask, or regions numbered from 1; 0 is left as it is. Colours are used
            again where there are more regions than colours.
    """
    colours, inside = np.array(contrasting_colours(picture), np.float32), labels > 0
    blended = (1 - _TINT) * picture[inside].astype(np.float32)
    blended += _TINT * colours[(labels[inside].astype(np.intp) - 1) % len(colours)]
    result = picture.copy()
    result[inside] = np.rint(blended).astype(np.uint8)
    return result
