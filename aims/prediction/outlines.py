"""Outlines of objects on pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array, StreamSpec
from aims.data.pictures import picture
from aims.prediction.instances import Instances

Colour = tuple[int, int, int]
#: Most pixels of a picture with outlines.
DRAWN = 2**24


def outlined(
    arrays: Mapping[str, Array], streams: Mapping[str, StreamSpec], instances: Instances
) -> NDArray[np.uint8]:
    """Draws the first stream of a picture with the outlines of objects, each in a colour of its own.

    A picture of more than `DRAWN` pixels is drawn smaller, by a whole factor.
    """
    name = next(iter(arrays))
    # Drawing takes about 40 bytes a pixel, many times what prediction does.
    step = math.ceil(math.sqrt(math.prod(instances.size) / DRAWN))
    drawn = picture(arrays[name][::step, ::step], name, streams[name]).copy()
    width = max(1, round(max(drawn.shape[:2]) / 500))
    for k, part in enumerate(instances.parts):
        x, y = instances.corners[k].tolist()
        # The rows and columns of the part that the smaller picture has.
        seen, offset = part[-y % step :: step, -x % step :: step], (-(-x // step), -(-y // step))
        outline(drawn, seen, number_colour(k), width=width, offset=offset)
    return drawn


def outline(
    drawn: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    colour: Colour,
    *,
    width: int,
    offset: tuple[int, int] = (0, 0),
) -> None:
    """Draws the outline of a mask into a picture.

    Args:
        drawn: (height, width, 3) RGB picture.
        mask: (height, width) pixels of the object, or of the part of the picture around it.
        colour: RGB of the line.
        width: its width in pixels.
        offset: (x, y) of the part in the picture.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    # Dark below bright: visible on every ground.
    for shade, stroke in ((tuple(value // 4 for value in colour), 2 * width + 1), (colour, width)):
        cv2.drawContours(drawn, found, -1, shade, stroke, offset=offset)


def number_colour(number: int) -> Colour:
    """Returns a bright colour; those of neighbouring numbers are far apart."""
    # Steps of the golden angle keep the hues apart.
    hue = np.array([[[int(number * 137.508) % 360 // 2, 200, 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue
