"""Encodes outlines and run lengths as COCO's RLE, with every number validated, and draws instance maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.errors import InputError
from aims.core.schema import Array

from .fields import is_list_of, shorten

#: A mask as pycocotools holds it: `size` (height, width) and `counts`, compressed.
RLE = Mapping[str, Any]
Size = tuple[int, int]

#: Largest number of pixels of a picture. Every number of its compressed RLE fits into six characters; at a
#: seventh, pycocotools would shift a 32-bit int too far.
MAX_PIXELS = 2**29 - 1
_MAX_CHARACTERS = 6


class MaskError(InputError):
    """Raised for an object that cannot be drawn; the message says why, but not which object it is."""


def encode_segmentation(segmentation: Any, size: Size) -> RLE:
    """Encodes COCO's `segmentation`: polygons, run lengths, or compressed run lengths.

    Args:
        segmentation: the value as read from JSON.
        size: (height, width) of the picture.

    Raises:
        MaskError: the value is malformed.
    """
    if isinstance(segmentation, list):
        return encode_polygons(segmentation, size)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise MaskError(
            f"segmentation is {shorten(segmentation)}; it must be a list of polygons, or an RLE "
            "with 'size' and 'counts'"
        )
    if segmentation["size"] != list(size):
        raise MaskError(
            f"RLE of size {shorten(segmentation['size'])}, but the image is {list(size)} (height, width)"
        )
    given = segmentation["counts"]
    counts = _decompress(given) if isinstance(given, str) else given
    if not is_list_of(int)(counts):
        raise MaskError(f"RLE counts are {shorten(given)}; they must be whole numbers or a text")
    pixels = size[0] * size[1]
    # Python integers, because the sum of damaged counts may exceed 64 bits.
    if any(count < 0 for count in counts) or sum(counts) != pixels:
        raise MaskError(f"RLE counts do not add up to the image's {pixels} pixels; export it again")
    if isinstance(given, str):
        return {"size": list(size), "counts": given.encode()}
    return cast(RLE, coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size))


def encode_polygons(polygons: Sequence[Any], size: Size) -> RLE:
    """Encodes the union of polygons [x, y, x, y, ...], filled by pycocotools.

    A part of fewer than three points has no area and adds nothing to the others, as tools leave such crumbs
    behind.

    Args:
        polygons: the parts of one object, in pixels from the picture's left upper corner.
        size: (height, width) of the picture.

    Raises:
        MaskError: no part has three points, a coordinate is no number or lies far outside the picture, or
            all lie between 0 and 1.
    """
    parts = [points for points in polygons if not _is_crumb(points)] or polygons
    outlines = [_polygon(points, size) for points in parts]
    # Such an object covers one pixel at most, in the corner, where all others of its file would lie, too.
    if all(0 <= value <= 1 for points in outlines for value in points) and any(
        value not in (0, 1) for points in outlines for value in points
    ):
        raise MaskError(
            f"polygon {shorten(outlines[0])} lies within the first pixel; if its numbers are parts of the "
            "sides, multiply them by width and height"
        )
    return cast(RLE, coco_mask.merge(coco_mask.frPyObjects(outlines, *size)))


def encode_mask(mask: Array) -> RLE:
    """Encodes a (height, width) mask; every value but 0 belongs to it."""
    return cast(RLE, coco_mask.encode(np.asfortranarray(mask != 0, np.uint8)))


@dataclass(frozen=True)
class DrawnMasks:
    """What `draw_masks` makes of the masks of one image.

    Attributes:
        instances: (height, width), the number of a mask; 0 is none.
        hidden: the reason for each number that does not occur in it.
        overlaps: a line that counts the pixels of masks that lie under others, if there are any.
    """

    instances: NDArray[np.int32]
    hidden: Mapping[int, str]
    overlaps: tuple[str, ...]


def draw_masks(masks: Mapping[int, RLE], size: Size, *, what: str = "annotations") -> DrawnMasks:
    """Draws an instance map.

    Larger instances are drawn first, so that smaller ones stay visible; of instances of equal area the later
    one is on top.

    Args:
        masks: the masks by instance id, from 1.
        size: (height, width) of the picture.
        what: what the masks are, for messages.
    """
    areas = {k: int(coco_mask.area(rle)) for k, rle in masks.items()}
    # In Fortran order, as pycocotools decodes masks.
    instances = np.zeros(size, np.int32, order="F")
    for k in sorted(masks, key=lambda k: -areas[k]):
        if areas[k]:
            x, y, width, height = (int(side) for side in coco_mask.toBbox(masks[k]))
            box = np.s_[y : y + height, x : x + width]
            instances[box][coco_mask.decode(masks[k])[box].astype(bool)] = k
    visible = np.bincount(instances.ravel(order="K"), minlength=max(masks, default=0) + 1)
    hidden = {
        k: f"wholly covered by other {what}" if area else "covers no pixel"
        for k, area in areas.items()
        if not visible[k]
    }
    covered = [area - int(visible[k]) for k, area in areas.items() if area > visible[k]]
    overlaps = (
        f"{len(covered)} of {len(masks)} {what} lie partly or wholly under smaller ones "
        f"({sum(covered)} pixels)"
    )
    return DrawnMasks(np.ascontiguousarray(instances), hidden, (overlaps,) * bool(covered))


def _is_crumb(points: Any) -> bool:
    # pycocotools would take four numbers for a box.
    return isinstance(points, list) and len(points) in (0, 2, 4)


def _polygon(points: Any, size: Size) -> list[float]:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise MaskError(
            f"polygon {shorten(points)}; it must be a list of at least three x, y pairs: [x, y, ...]"
        )
    height, width = size
    for position, value in enumerate(points):
        side = height if position % 2 else width
        if type(value) not in (int, float):
            raise MaskError(f"polygon coordinate {shorten(value)} is no finite number; correct it")
        # Slightly outside is common and clipped; far outside makes pycocotools allocate excessive memory.
        if not -side <= value <= 2 * side:
            raise MaskError(
                f"polygon coordinate {shorten(value)} lies far outside the image ({height} x {width}, "
                "height x width); correct it"
            )
    return points


def _decompress(text: str) -> list[int]:
    """Decodes the run lengths of a compressed RLE, as `rleFrString` of COCO's maskApi.c does.

    Each character holds five bits, lowest first; bit 32 marks a continuation, and bit 16 of the last
    character is the sign. From the fourth number on, each is stored as the difference to the one two before.
    """
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not text.isascii() or not text or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise MaskError(f"RLE counts {shorten(text)} are no whole compressed RLE; export it again")
    last = np.flatnonzero(codes & 32 == 0)
    start = np.append(0, last[:-1] + 1)
    length = last + 1 - start
    if length.max() > _MAX_CHARACTERS:
        raise MaskError(f"RLE counts {shorten(text)} hold a number beyond 30 bits; export it again")
    place = 5 * (np.arange(codes.size) - np.repeat(start, length))
    values = np.add.reduceat((codes & 31) << place, start)
    values -= np.where(codes[last] & 16, 1 << 5 * length, 0)
    # Undo the differences, separately for odd and even positions; the number at position 0 is absolute.
    for parity in (1, 2):
        values[parity::2] = values[parity::2].cumsum()
    return cast("list[int]", values.tolist())
