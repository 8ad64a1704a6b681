"""Files that outline the objects of one image: what they have in common, and how they are drawn."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from aims.core.schema import InstanceMap, SampleError

from .fields import shorten
from .masks import RLE, MaskError, Size, draw_masks, encode_mask

#: The name of a class in a file, or its number.
Label = str | int
#: Encodes a part of an object in a picture of a size; raises MaskError if it cannot be drawn.
Part = Callable[[Size], RLE]


_WITHOUT_AREA = ("point", "points", "line", "linestrip", "polyline")


@dataclass(frozen=True)
class LabelledObject:
    """One object: its place in the file, its label (text in NFC), and the parts whose union it is."""

    where: str
    label: Label
    parts: Sequence[Part]


@dataclass(frozen=True)
class ObjectFile:
    """The objects of one image, and its (height, width); None if the file does not tell it."""

    size: Size | None
    objects: Sequence[LabelledObject]


def draw_objects(
    path: Path, objects: Sequence[LabelledObject], ids: Mapping[Label, int], size: Size, *, known: str
) -> tuple[InstanceMap, tuple[str, ...], tuple[str, ...]]:
    """Draws the objects of one image; see `draw_masks` for those that overlap.

    Args:
        path: the file, for messages.
        objects: its objects.
        ids: class id of every label that may occur; objects of 0 are void and not drawn.
        size: (height, width) of the image.
        known: where labels are declared, for messages.

    Returns:
        The instance map, one line for every object that it cannot hold, and one that counts what lies under
        others, if anything does.

    Raises:
        SampleError: a label is not declared; the message counts its objects.
    """
    for entry in objects:
        if entry.label not in ids:
            count = sum(other.label == entry.label for other in objects)
            raise SampleError(
                f"{path}: label {shorten(entry.label)} is in no class ({count} object{'s' * (count > 1)}, "
                f"first: {entry.where}); add it to {known}, or mend the file"
            )
    masks: dict[int, RLE] = {}
    dropped: dict[int, str] = {}
    for k, entry in enumerate(objects, start=1):
        if ids[entry.label]:
            try:
                parts = [part(size) for part in entry.parts]
            except MaskError as error:
                dropped[k] = str(error)
            else:
                masks[k] = parts[0] if len(parts) == 1 else cast(RLE, coco_mask.merge(parts))
    drawn = draw_masks(masks, size)
    dropped |= drawn.hidden
    class_ids = {k: ids[objects[k - 1].label] for k in masks if k not in drawn.hidden}
    lines = tuple(f"{objects[k - 1].where}: {dropped[k]}" for k in sorted(dropped))
    return InstanceMap(instances=drawn.instances, class_ids=class_ids), lines, drawn.overlaps


def unread_shape(kind: str) -> MaskError:
    """Returns the error for a shape of a kind that is not drawn."""
    return MaskError(f"a {kind} has no area" if kind in _WITHOUT_AREA else f"shapes {kind!r} are not read")


def read_points(value: Any, size: Size, *, at_least: int) -> NDArray[np.float64]:
    """Converts a list [[x, y], ...] to an array (points, 2).

    Raises:
        MaskError: it is no such list, has too few points, or one lies far outside the picture.
    """
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < at_least:
        raise MaskError(f"points {shorten(value)}; it needs at least {at_least} points [x, y]")
    sides = np.array(size[::-1])
    if not ((-sides <= points) & (points <= 2 * sides)).all():
        raise MaskError(
            f"points {shorten(value)} lie far outside the image ({size[0]} x {size[1]}, height x width)"
        )
    return points


def read_png_mask(data: bytes, size: Size) -> NDArray[np.bool_]:
    """Decodes a PNG inside a label file: where it is opaque, if it has an alpha channel, or else not 0.

    Raises:
        MaskError: it is no whole PNG, or larger than the picture of this size.
    """
    try:
        with warnings.catch_warnings():
            # Its size is compared with the picture's before it is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=["PNG"])
            if picture.height > size[0] or picture.width > size[1]:
                raise MaskError(
                    f"a mask of {picture.height} x {picture.width} in an image of {size[0]} x {size[1]}"
                )
            values = np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskError(f"a mask that is no whole PNG ({error})") from None
    if picture.mode in ("LA", "RGBA"):
        values = values[..., -1]
    return cast("NDArray[np.bool_]", values.any(axis=-1) if values.ndim == 3 else values != 0)


def place_mask(mask: NDArray[np.bool_], x: int, y: int, size: Size) -> RLE:
    """Encodes a mask whose left upper pixel is (x, y) of the picture; what lies outside is clipped."""
    height, width = size
    whole = np.zeros(size, bool)
    if x < width and y < height:
        inner = mask[max(-y, 0) : height - y, max(-x, 0) : width - x]
        top, left = max(y, 0), max(x, 0)
        whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return encode_mask(whole)
