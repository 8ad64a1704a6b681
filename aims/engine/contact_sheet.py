"""The contact sheet of a run: a few test images with clicks, ground truth and prediction."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from aims.core.files import atomic_write
from aims.core.records import InstanceRow
from aims.core.vocabulary import Modality
from aims.core.words import count
from aims.data.looks import draw_of
from aims.data.overlays import click_in_picture, predicted_map, tinted
from aims.data.read import Dataset
from aims.data.refs import ImageRef

PICTURES = 6

# In pixels: width of a panel, the gap around it, height of its title and of the title's letters.
_PANEL, _GAP, _TITLE, _LETTERS = 352, 8, 22, 12
# Diameter of a click, and what it is enlarged by to be drawn with a smooth edge.
_CLICK, _SMOOTH = 9, 8


def save_contact_sheet(
    path: Path,
    dataset: Dataset,
    modality: Modality,
    refs: Sequence[ImageRef],
    rows: Sequence[InstanceRow],
    pictures: int = PICTURES,
) -> None:
    """Draws test images, evenly spaced through the split: sensor, ground truth with clicks, prediction.

    Args:
        path: PNG file to write.
        dataset: dataset of the images.
        modality: modality of the run; its first stream is shown.
        refs: test images.
        rows: scored instances with masks (`aims.engine.evaluate`).
        pictures: largest number of images.
    """
    # An image that replaces broken ones is scored several times, with equal results: one of them suffices.
    by_image: dict[str, dict[int, InstanceRow]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], {})[row["instance_id"]] = row
    scored = [ref for ref in refs if ref.image_id in by_image]
    chosen = [scored[round(k)] for k in np.linspace(0, len(scored) - 1, min(pictures, len(scored)))]
    drawn = [_draw_row(dataset, modality, ref, [*by_image[ref.image_id].values()]) for ref in chosen]
    with atomic_write(path) as beside:
        Image.fromarray(np.vstack(drawn)).save(beside, format="png")


def _draw_row(
    dataset: Dataset, modality: Modality, ref: ImageRef, rows: Sequence[InstanceRow]
) -> NDArray[np.uint8]:
    """Draws the three panels of an image, with a title above each: (height, width, 3)."""
    name = modality.streams[0]
    image = dataset.read(ref, modality.streams)
    height, width = image.instances.shape[0], image.instances.shape[1]
    shown = draw_of(dataset, name, image.streams[name]).pixels
    places = np.zeros(int(image.instances.max()) + 1, np.int32)
    places[[row["instance_id"] for row in rows]] = np.arange(1, len(rows) + 1)
    scale = _PANEL / width
    tall = max(1, round(height * scale))
    # Dots that cover half of the picture hide the masks.
    crowded = len(rows) * _CLICK**2 > _PANEL * tall / 2
    panels = (
        (f"{image.image_id}  {modality.name}", np.zeros((height, width), np.int32)),
        (
            f"truth, {count(len(rows), 'instance')}{', clicks left out' * crowded}",
            places[image.instances],
        ),
        (
            f"prediction, IoU {np.mean([row['iou'] for row in rows]):.2f}",
            predicted_map(rows, (height, width)),
        ),
    )
    result = Image.new("RGB", (len(panels) * (_PANEL + _GAP), _TITLE + tall + _GAP), "white")
    draw = ImageDraw.Draw(result)
    for k, (title, labels) in enumerate(panels):
        left = k * (_PANEL + _GAP) + _GAP // 2
        pixels = Image.fromarray(tinted(shown, labels))
        # Small images are enlarged: nearest keeps their pixels sharp.
        kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
        result.paste(pixels.resize((_PANEL, tall), kind), (left, _TITLE))
        draw.text((left, _TITLE - 5), _shortened(title), "black", _font(), anchor="ls")
        for row in rows if k and not crowded else ():
            x, y = click_in_picture(row, (height, width))
            at = left + (x + 0.5) * scale, _TITLE + (y + 0.5) * tall / height
            result.paste(_click(), (round(at[0] - _CLICK / 2), round(at[1] - _CLICK / 2)), _click())
    return np.asarray(result)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    # matplotlib's own font has the letters of most languages.
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), _LETTERS)


@functools.cache
def _click() -> Image.Image:
    """Draws a white dot in a black ring, with a transparent surrounding."""
    large = _CLICK * _SMOOTH
    dot = Image.new("RGBA", (large, large), (0, 0, 0, 0))
    ImageDraw.Draw(dot).ellipse((0, 0, large - 1, large - 1), "white", "black", width=3 * _SMOOTH // 2)
    return dot.resize((_CLICK, _CLICK), Image.Resampling.BOX)


def _shortened(title: str, limit: int = 44) -> str:
    return title if len(title) <= limit else f"{title[: limit // 2 - 1]}…{title[-limit // 2 :]}"
