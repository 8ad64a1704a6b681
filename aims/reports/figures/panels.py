"""Draws images with a mask, the truth and a click; opens the datasets that they are of."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES
from aims.data.overlays import tinted
from aims.data.read import Dataset, find_datasets

_WIDTH = 256


def open_datasets(data: Path | None) -> dict[str, Dataset]:
    """Opens the datasets of a folder, by fingerprint; empty if it holds none, as a report needs none."""
    try:
        return {found.fingerprint: found for found in find_datasets(data)} if data is not None else {}
    except InputError:
        return {}


def sensor_stream(modality: str, dataset: Dataset) -> str:
    """The stream that is shown for a modality: the first that is not RGB, or "rgb" if there is none."""
    streams = MODALITIES[modality].streams if modality in MODALITIES else (modality.removeprefix("rgb-"),)
    return next((name for name in streams if name != "rgb" and name in dataset.streams), "rgb")


def webp(shown: NDArray[np.uint8], quality: int) -> str:
    """Encodes an RGB image (height, width, 3) as a WebP data URI; `quality` is 1..100."""
    # OpenCV encodes BGR.
    bgr = cv2.cvtColor(shown, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def draw_mask(
    base: NDArray[np.uint8],
    mask: NDArray[np.bool_] | None,
    truth: NDArray[np.bool_] | None,
    click: tuple[float, float],
) -> NDArray[np.uint8]:
    """Draws a mask, the true outline and the click on an image, resized to a width of about 256 pixels.

    Args:
        base: (height, width, 3) RGB image; small images are enlarged by a whole factor, without smoothing.
        mask: (height, width) mask that is coloured, or None.
        truth: (height, width) mask that is outlined in white, or None.
        click: (x, y) in pixels of `base`.
    """
    shown = base if mask is None else tinted(base, mask)
    rows, columns = shown.shape[:2]
    factor = max(1, round(_WIDTH / columns)) if columns < _WIDTH else _WIDTH / columns
    target = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    enlarged: NDArray[np.uint8] = np.ascontiguousarray(
        cv2.resize(shown, target, interpolation=cv2.INTER_NEAREST if factor >= 1 else cv2.INTER_AREA)
    )
    if truth is not None:
        outline = cv2.resize(truth.astype(np.uint8), target, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(outline, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        # White on a wider black outline: visible on light and on dark images.
        for width, level in ((3, 0), (1, 255)):
            cv2.drawContours(enlarged, contours, -1, (level, level, level), width, cv2.LINE_AA)
    draw_click(enlarged, ((click[0] + 0.5) * factor, (click[1] + 0.5) * factor))
    return enlarged


def draw_click(shown: NDArray[np.uint8], at: tuple[float, float]) -> None:
    """Draws a click in place.

    Args:
        shown: (height, width, 3) RGB image.
        at: (x, y) in pixels of `shown`.
    """
    # Red inside white inside black: visible on any image.
    for radius, colour in ((5, (0, 0, 0)), (4, (255, 255, 255)), (2, (220, 20, 60))):
        cv2.circle(shown, (round(at[0]), round(at[1])), radius, colour, cv2.FILLED, cv2.LINE_AA)
