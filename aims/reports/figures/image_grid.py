"""Draws images in rows and columns with a caption, as a PNG."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aims.core.files import atomic_write
from aims.core.texts import printable
from aims.reports.figures.style import save_figure

#: What is drawn on an image of a grid, for its caption.
LEGEND = "Dot: the click; coloured: the mask; white: the outline of the truth."
# In inches: width of an image, height of the note below it, height of a line of the caption.
_WIDTH, _NOTE, _LINE = 2.0, 0.2, 0.15
_LABEL, _HEAD = 0.3, 0.25
_DPI = 128
# Number of characters of a note that fit below an image.
_LONGEST = 32
# Share of its colour that an image keeps below a mask.
_COLOUR = 0.25
# Maximum height / width of a row: a very tall image would leave a gap below the others.
_HIGHEST = 1.4


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One row of a grid.

    Attributes:
        label: text on the left, rotated by 90 degrees.
        pictures: RGB images of shape (height, width, 3); None leaves a place empty.
        notes: one text below each image.
    """

    label: str
    pictures: Sequence[NDArray[np.uint8] | None]
    notes: Sequence[str]


def save_image_grid(path: Path, columns: Sequence[str], rows: Sequence[ImageRow], caption: str) -> None:
    """Writes a grid of images as PNG; equal arguments give equal bytes.

    Args:
        path: PNG to write.
        columns: headings of the columns.
        rows: rows with one image and one note per column, and at least one image that is not None.
        caption: text below the grid, which is wrapped to its width.
    """
    width = _LABEL + len(columns) * _WIDTH
    lines = textwrap.wrap(caption, round(width * 17.5))
    heights = [_WIDTH * _ratio(row) + _NOTE for row in rows]
    height = _HEAD + sum(heights) + (len(lines) + 1) * _LINE
    figure = Figure(figsize=(width, height), dpi=_DPI)
    top = height - _HEAD
    for row, tall in zip(rows, heights, strict=True):
        middle = (top - (tall - _NOTE) / 2) / height
        figure.text(
            _LABEL * 0.55 / width,
            middle,
            row.label,
            fontsize=9,
            rotation=90,
            ha="center",
            va="center",
            parse_math=False,
        )
        for place, (shown, note) in enumerate(zip(row.pictures, row.notes, strict=True)):
            left = _LABEL + place * _WIDTH
            if shown is not None:
                box = (left + 0.03, top - tall + _NOTE, _WIDTH - 0.06, tall - _NOTE - 0.03)
                x, y, wide, high = box
                axes = figure.add_axes((x / width, y / height, wide / width, high / height))
                # Small images are enlarged: nearest keeps their pixels sharp.
                small = shown.shape[1] < _WIDTH * _DPI
                axes.imshow(shown, interpolation="nearest" if small else "antialiased")
                axes.set_anchor("N")
                axes.set_axis_off()
            at = (left + 0.03) / width, (top - tall + _NOTE - 0.13) / height
            figure.text(*at, _shortened(printable(note)), fontsize=7.5, color="#333333", parse_math=False)
        top -= tall
    for place, name in enumerate(columns):
        at = (_LABEL + place * _WIDTH + 0.03) / width, 1 - 0.17 / height
        figure.text(*at, name, fontsize=9, weight="bold", parse_math=False)
    for number, line in enumerate(lines):
        at = (_LABEL + 0.03) / width, (top - (number + 1) * _LINE) / height
        figure.text(*at, line, fontsize=7.5, color="#333333", parse_math=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as beside:
        # Without matplotlib's version in the file, which would change its bytes.
        save_figure(figure, beside, format="png", metadata={"Software": None})


def muted(shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduces the saturation of an RGB image, so that a coloured mask on it is visible."""
    # Luma of ITU-R BT.601.
    grey = shown @ np.array([0.299, 0.587, 0.114])
    left: NDArray[np.uint8] = np.rint(_COLOUR * shown + (1 - _COLOUR) * grey[:, :, None]).astype(np.uint8)
    return left


def _shortened(note: str) -> str:
    """Shortens a long note in its middle: image names differ at the beginning or the end."""
    return note if len(note) <= _LONGEST else f"{note[: _LONGEST // 2]}…{note[1 - _LONGEST // 2 :]}"


def _ratio(row: ImageRow) -> float:
    ratios: list[float] = [shown.shape[0] / shown.shape[1] for shown in row.pictures if shown is not None]
    return min(_HIGHEST, max(ratios))
