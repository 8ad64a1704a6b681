"""What a person sees: the sensor's picture with masks, clicks and boxes, at a size for the screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array, StreamSpec
from aims.data.pictures import draw
from aims.labeling.session import Asked
from aims.prediction.outlines import Colour, outline

Mask = NDArray[np.bool_]

#: Sides of what is shown, in pixels: larger pictures are thinned out, smaller ones enlarged by whole numbers.
LARGEST, SMALLEST = 2048, 768
#: Colour of the answer: no colour map of a sensor has it.
ANSWER: Colour = (0, 229, 255)
_SAVED: Colour = (255, 220, 0)
_ON, _BESIDE, _WHITE = (46, 204, 64), (255, 65, 54), (255, 255, 255)
_FILL = 0.4
_LINE = 400
#: Longer side of the smallest region.
_NEAREST = 16


@dataclass(frozen=True)
class Region:
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Region:
        """Returns all of a picture of (height, width)."""
        return cls(0, 0, size[1], size[0])

    def pixel(self, place: tuple[float, float]) -> tuple[int, int]:
        """Returns the pixel (x, y) at a place that is given as shares of the region, from 0 to below 1."""
        return self.left + int(place[0] * self.width), self.top + int(place[1] * self.height)

    def cut(self, plane: Array) -> Array:
        """Returns this part of a (height, width, ...) array."""
        return plane[self.top : self.top + self.height, self.left : self.left + self.width]

    def zoomed(self, factor: float, place: tuple[float, float], size: tuple[int, int]) -> Region:
        """Returns a region that is smaller by a factor, or larger, with the same pixel at the place."""
        x, y = self.left + place[0] * self.width, self.top + place[1] * self.height
        scale = min(1.0, max(max(self.width, self.height) / factor, _NEAREST) / max(size))
        width, height = (max(1, round(side * scale)) for side in (size[1], size[0]))
        return Region(round(x - place[0] * width), round(y - place[1] * height), width, height).inside(size)

    def moved(self, right: float, down: float, size: tuple[int, int]) -> Region:
        """Returns the region moved by shares of its sides, as far as the picture goes."""
        left, top = self.left + round(right * self.width), self.top + round(down * self.height)
        return replace(self, left=left, top=top).inside(size)

    def inside(self, size: tuple[int, int]) -> Region:
        """Returns the region moved into a picture of (height, width)."""
        left = min(max(self.left, 0), size[1] - self.width)
        return replace(self, left=left, top=min(max(self.top, 0), size[0] - self.height))


@dataclass(frozen=True, kw_only=True)
class View:
    """How a picture is shown.

    Attributes:
        stream: name of the stream.
        channel: its channel, counted from 1; 0 for all as usually displayed.
        window: the values of the first and the last colour; None for those of the picture.
        region: the part that is seen; None for the whole.
    """

    stream: str
    channel: int = 0
    window: tuple[float, float] | None = None
    region: Region | None = None

    def plane(self, array: Array) -> Array:
        """Returns the (height, width, channels) values that are shown."""
        return array if self.channel == 0 else array[:, :, self.channel - 1 : self.channel]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture as it is shown, without what is drawn on it.

    Attributes:
        pixels: (height, width, 3) uint8 RGB.
        region: the part of the picture that they show.
        note: how values were mapped to colours.
    """

    pixels: NDArray[np.uint8]
    region: Region
    note: str

    def compose(
        self, saved: Sequence[Mask], answer: Mask | None = None, asked: Asked | None = None
    ) -> NDArray[np.uint8]:
        """Draws saved objects, an answer, clicks and box.

        Args:
            saved: (height, width) masks of the saved objects.
            answer: the mask that the model answers; None for none.
            asked: clicks and box; None for none.
        """
        drawn = self.pixels.copy()
        width = max(1, round(max(drawn.shape[:2]) / _LINE))
        for mask in saved:
            outline(drawn, self._scaled(mask), _SAVED, width=width)
        if answer is not None:
            large = self._scaled(answer)
            drawn[large] = np.rint((1 - _FILL) * drawn[large] + _FILL * np.array(ANSWER)).astype(np.uint8)
            outline(drawn, large, ANSWER, width=width)
        if asked is not None:
            self._draw_asked(drawn, asked, width)
        return drawn

    def _draw_asked(self, drawn: NDArray[np.uint8], asked: Asked, width: int) -> None:
        if asked.box is not None:
            left, top, right, bottom = asked.box
            first, last = self._place(left - 0.5, top - 0.5), self._place(right + 0.5, bottom + 0.5)
            cv2.rectangle(drawn, first, last, (0, 0, 0), 2 * width + 1)
            cv2.rectangle(drawn, first, last, _WHITE, width)
        for (x, y), label in zip(asked.points, asked.labels, strict=True):
            place = self._place(x, y)
            cv2.circle(drawn, place, 4 * width + 2, _WHITE, -1, cv2.LINE_AA)
            cv2.circle(drawn, place, 3 * width + 1, _ON if label else _BESIDE, -1, cv2.LINE_AA)
            # Colours alone do not tell clicks apart for everybody: beside the object is a minus.
            cv2.line(drawn, (place[0] - 2 * width, place[1]), (place[0] + 2 * width, place[1]), _WHITE, width)
            if label:
                up, down = (place[0], place[1] - 2 * width), (place[0], place[1] + 2 * width)
                cv2.line(drawn, up, down, _WHITE, width)

    def _scaled(self, mask: Mask) -> Mask:
        """Brings a mask of the picture to the size of what is shown."""
        part = self.region.cut(mask)
        rows, columns = self.pixels.shape[:2]
        if part.shape == (rows, columns):
            return part
        large = cv2.resize(part.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
        return large.astype(bool)

    def _place(self, x: float, y: float) -> tuple[int, int]:
        region, (rows, columns) = self.region, self.pixels.shape[:2]
        right, down = (x - region.left + 0.5) / region.width, (y - region.top + 0.5) / region.height
        return round(right * columns - 0.5), round(down * rows - 0.5)


def show(arrays: Mapping[str, Array], streams: Mapping[str, StreamSpec], view: View) -> Shown:
    """Draws a picture for the screen.

    Args:
        arrays: (height, width, channels) streams.
        streams: their descriptions.
        view: what of them is shown, and how.
    """
    array, spec = view.plane(arrays[view.stream]), streams[view.stream]
    region = view.region or Region.whole((array.shape[0], array.shape[1]))
    spec = replace(spec, channels=array.shape[2])
    thin = math.ceil(max(region.height, region.width) / LARGEST)
    if array.shape[0] * array.shape[1] <= LARGEST**2:
        # Drawn as a whole, so that a part keeps its colours.
        drawing = draw(array, view.stream, spec, view.window)
        drawn = region.cut(drawing.pixels)[::thin, ::thin]
    else:
        drawing = draw(region.cut(array)[::thin, ::thin], view.stream, spec, view.window)
        drawn = drawing.pixels
    times = math.ceil(SMALLEST / max(drawn.shape[:2]))
    if times > 1:
        drawn = drawn.repeat(times, axis=0).repeat(times, axis=1)
    return Shown(pixels=drawn, region=region, note=drawing.note)


def value_range(
    arrays: Mapping[str, Array], streams: Mapping[str, StreamSpec], view: View
) -> tuple[float, float]:
    """Returns the least and the largest measured value of what is shown; 0 and 1 without any."""
    values = view.plane(arrays[view.stream])
    measured = streams[view.stream].measured(values)
    if not measured.any():
        return 0.0, 1.0
    low, high = float(values[measured].min()), float(values[measured].max())
    return (low, high) if low < high else (low, low + 1)
