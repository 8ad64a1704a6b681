"""A small synthetic thermal dataset of warm and cool shapes that a small model learns to segment by click."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from aims.core.errors import InputError
from aims.synth.layouts.folder import Colour, FolderImage, write_folder

#: Colour of each class in the label files and in the RGB pictures.
PALETTE: dict[str, Colour] = {"disc": (230, 60, 40), "box": (40, 120, 230), "triangle": (60, 200, 80)}

# Digital numbers of the simulated camera (16 bit, as uncooled cameras give them).
_BACKGROUND = 30_000.0
_GRADIENT = 1_000.0
_CONTRAST = (3_000.0, 9_000.0)
_NOISE = 250.0
_OBJECTS = (2, 5)
_TRIES = 60
_MIN_SIDE = 16
# Fraction of an object that later ones must leave visible, so that a click on it is not ambiguous.
_VISIBLE = 0.6

Mask = NDArray[np.bool_]


def write_shapes(out: Path, *, scenes: int, size: tuple[int, int], seed: int, rgb: bool = False) -> Path:
    """Writes a raw folder of thermal-like images, two thirds of them in the training split.

    Each shows up to five discs, boxes and triangles, warmer or cooler than the background, which may partly
    occlude one another; two of one class never touch, so that each is an instance of its own.

    Args:
        out: folder to write to; made if it is absent.
        scenes: number of images, at least 2.
        size: (height, width) in pixels, at least 16 each.
        seed: the same seed gives the same files.
        rgb: also write an RGB picture of each scene.

    Returns:
        The TOML description that `aims convert folder` reads.

    Raises:
        InputError: there are too few images, or they are too small.
    """
    if scenes < 2:
        raise InputError(f"scenes is {scenes}; give at least 2, one for training and one for the test")
    if min(size) < _MIN_SIDE:
        raise InputError(f"size is {size[0]} x {size[1]}; give at least {_MIN_SIDE} x {_MIN_SIDE} pixels")
    images = _images(scenes, size, np.random.default_rng(seed), rgb)
    streams = {"thermal": {"unit": "digital number"}}
    return write_folder(out, images, name="shapes", license="CC0-1.0", palette=PALETTE, streams=streams)


def _images(scenes: int, size: tuple[int, int], rng: np.random.Generator, rgb: bool) -> Iterator[FolderImage]:
    digits = max(3, len(str(scenes - 1)))
    testing = max(1, round(scenes / 3))
    for number in range(scenes):
        objects = _place_objects(size, rng)
        labels = np.zeros(size, np.uint8)
        for class_id, mask in objects:
            labels[mask] = class_id
        yield FolderImage(
            image_id=f"{number:0{digits}d}",
            split="train" if number < scenes - testing else "test",
            labels=labels,
            streams={"thermal": _thermal(objects, size, rng)},
            rgb=_visible(labels, rng) if rgb else None,
        )


def _place_objects(size: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, Mask]]:
    """Draws the class id and the unoccluded mask of each object; later ones are in front."""
    objects: list[tuple[int, Mask]] = []
    wanted = int(rng.integers(_OBJECTS[0], _OBJECTS[1] + 1))
    for _ in range(_TRIES):
        if len(objects) == wanted:
            break
        class_id = int(rng.integers(1, len(PALETTE) + 1))
        mask = _outline(class_id, size, rng)
        if _fits(class_id, mask, objects):
            objects.append((class_id, mask))
    return objects


def _fits(class_id: int, mask: Mask, objects: list[tuple[int, Mask]]) -> bool:
    """Whether a mask touches none of its class and leaves enough of each object behind it, in one piece."""
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    covered = mask.copy()
    for other_class, other in reversed(objects):
        if other_class == class_id and bool((other & grown).any()):
            return False
        seen = other & ~covered
        # An object in two pieces would become two instances, one of them perhaps tiny.
        pieces, _ = cv2.connectedComponents(seen.astype(np.uint8))
        if seen.sum() < _VISIBLE * other.sum() or pieces != 2:
            return False
        covered |= other
    return bool(mask.any())


def _outline(class_id: int, size: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Draws the mask of a disc (1), rotated box (2) or rotated triangle (3) that lies within the image."""
    canvas = np.zeros(size, np.uint8)
    side = min(size)
    radius = float(rng.uniform(0.11, 0.24)) * side
    x, y = (float(rng.uniform(radius, length - 1 - radius)) for length in (size[1], size[0]))
    if class_id == 1:
        cv2.circle(canvas, (round(x), round(y)), round(radius), 1, cv2.FILLED)
        return canvas > 0
    turn = float(rng.uniform(0, 2 * np.pi))
    if class_id == 2:
        half = float(rng.uniform(0.45, 0.9))  # half the angle between neighbouring corners decides the aspect
        angles = turn + np.array([-half, half, np.pi - half, np.pi + half])
    else:
        angles = turn + np.array([0, 2 * np.pi / 3, 4 * np.pi / 3])
    corners = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=-1)
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 1)
    return canvas > 0


def _thermal(
    objects: list[tuple[int, Mask]], size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Draws the thermal image: a background with a gradient, objects with an offset, blur and noise."""
    rows, columns = np.mgrid[0 : 1 : complex(size[0]), 0 : 1 : complex(size[1])]
    direction = float(rng.uniform(0, 2 * np.pi))
    picture = _BACKGROUND + _GRADIENT * (rows * np.sin(direction) + columns * np.cos(direction))
    for _, mask in objects:
        offset = float(rng.uniform(*_CONTRAST)) * float(rng.choice([-1.0, 1.0]))
        picture[mask] = _BACKGROUND + offset
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), min(size) / 128 + 0.5))
    picture = picture + rng.normal(0.0, _NOISE, size)
    return np.clip(np.round(picture), 0, 65_535).astype(np.uint16)


def _visible(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    colours = np.array([(110, 105, 100), *PALETTE.values()], np.float64)
    picture = colours[labels] + rng.normal(0.0, 6.0, (*labels.shape, 3))
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
