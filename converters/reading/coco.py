"""Reads COCO instance files, with every key validated before use, and draws instance maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco_mask

from aims.core.errors import InputError
from aims.core.files import inside
from aims.core.schema import InstanceMap, SampleError
from aims.core.structs import decode_json

from .fields import Fields, is_list_of, shorten

# Up to this size every number of a compressed RLE fits into six characters; at a seventh, pycocotools would
# shift a 32-bit int too far.
_MAX_PIXELS = 2**29 - 1
_MAX_CHARACTERS = 6


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """One entry of `images`; `file_name` has forward slashes and does not lead out of its folder."""

    id: int
    file_name: str
    height: int
    width: int


class Annotations:
    """One COCO instances file.

    All but the segmentations is validated when the file is read. These are validated image by image, because
    pycocotools reads out of bounds on some that are malformed.

    Args:
        path: the JSON file, with `images`, `annotations` and `categories`.

    Attributes:
        path: the file.
        classes: category names ordered by category id; class id k is `classes[k - 1]`.
        images: the images, in the file's order.
        header: all other keys of the file (`info`, `licenses`, ...), not validated.
        entries: the entry of each image by its id, with all its keys.

    Raises:
        InputError: the file is missing or is not JSON; a key is missing or of the wrong type; an id, a file
            name or a category name occurs twice; an annotation refers to an unknown image or category; a
            file name leads out of its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = _read(path)
        self.header: Mapping[str, Any] = {
            key: value for key, value in content.items() if key not in ("images", "annotations", "categories")
        }
        categories = {
            number: _text(entry, "name")
            for number, entry in _entries(path, content, "categories", "category")
        }
        _check_unique(path, categories, "category name")
        order = sorted(categories)
        self.classes = tuple(categories[number] for number in order)
        self._class_ids = {number: k for k, number in enumerate(order, start=1)}
        images = {
            number: _image(number, entry) for number, entry in _entries(path, content, "images", "image")
        }
        _check_unique(path, {number: image.file_name for number, image in images.items()}, "file_name")
        self.images = tuple(images.values())
        self.entries: Mapping[int, Mapping[str, Any]] = {item["id"]: item for item in content["images"]}
        self._annotations: dict[int, list[Mapping[str, Any]]] = {number: [] for number in images}
        for _, entry in _entries(path, content, "annotations", "annotation"):
            image_id, category = entry.integer("image_id"), entry.integer("category_id")
            for key, number, known in (
                ("image_id", image_id, images),
                ("category_id", category, categories),
            ):
                if number not in known:
                    what = "images" if known is images else "categories"
                    raise InputError(
                        f"{entry.where}: {key} {number} is not among the file's {what}; correct it"
                    )
            crowd = entry.values.get("iscrowd", 0)
            if crowd not in (0, 1):
                raise InputError(f"{entry.where}: 'iscrowd' is {crowd!r}; it must be 0 or 1")
            self._annotations[image_id].append(entry.values)

    def labels(self, image: CocoImage) -> tuple[InstanceMap, tuple[str, ...]]:
        """Draws the instance map of one image.

        Larger instances are drawn first, so that smaller ones stay visible; of instances of equal area the
        later annotation is on top. Polygons are filled by pycocotools.

        Args:
            image: an entry of `images`.

        Returns:
            The instance map, and one line for every annotation that it cannot hold: one without a
            segmentation, a crowd region, one that covers no pixel, or one that others cover wholly.

        Raises:
            SampleError: a segmentation is malformed; the message names the file and the annotation.
        """
        items = self._annotations[image.id]
        masks: dict[int, dict[str, Any]] = {}
        dropped: dict[int, str] = {}
        for k, item in enumerate(items, start=1):
            if reason := _unusable(item):
                dropped[k] = reason
            else:
                where = f"{self.path}: annotation {item['id']} (image {image.id}, {image.file_name})"
                masks[k] = _encode(item["segmentation"], image, where)
        areas = {k: int(coco_mask.area(rle)) for k, rle in masks.items()}
        # In Fortran order, as pycocotools decodes masks.
        instances = np.zeros((image.height, image.width), np.int32, order="F")
        for k in sorted(masks, key=lambda k: -areas[k]):
            if areas[k]:
                x, y, width, height = (int(side) for side in coco_mask.toBbox(masks[k]))
                box = np.s_[y : y + height, x : x + width]
                instances[box][coco_mask.decode(masks[k])[box].astype(bool)] = k
        visible = np.bincount(instances.ravel(order="K"), minlength=len(items) + 1)
        for k, area in areas.items():
            if not visible[k]:
                dropped[k] = "wholly covered by other annotations" if area else "covers no pixel"
        class_ids = {k: self._class_ids[items[k - 1]["category_id"]] for k in masks if visible[k]}
        lines = tuple(f"annotation {items[k - 1]['id']}: {dropped[k]}" for k in sorted(dropped))
        return InstanceMap(instances=np.ascontiguousarray(instances), class_ids=class_ids), lines


def read_annotations(path: Path) -> Annotations:
    """Reads a file once per process, as worker processes ask for it with every shard.

    Raises:
        InputError: the file is missing or invalid, see `Annotations`.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'not readable').lower()}") from None
    return _read_once(path, state.st_size, state.st_mtime_ns)


# Size and modification time are part of the key, so that a changed file is read again.
@lru_cache(maxsize=16)
def _read_once(path: Path, size: int, modified: int) -> Annotations:
    return Annotations(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = decode_json(path.read_bytes(), where=str(path))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'not readable').lower()}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise InputError(
            f"{path}: no COCO instances file; it needs the lists 'images', 'annotations' and 'categories'"
        )
    if not content["categories"]:
        raise InputError(f"{path}: 'categories' is empty; list at least one")
    return content


def _entries(path: Path, content: Mapping[str, Any], key: str, kind: str) -> Iterator[tuple[int, Fields]]:
    """Yields the entries of a list with their ids; raises if an id occurs twice."""
    seen: set[int] = set()
    for position, item in enumerate(content[key]):
        if not isinstance(item, dict):
            raise InputError(f"{path}: {key}[{position}] is {shorten(item)}; it must be an object")
        number = Fields(item, f"{path}: {key}[{position}]").integer("id")
        if number in seen:
            raise InputError(f"{path}: {kind} id {number} stands twice; give each its own")
        seen.add(number)
        yield number, Fields(item, f"{path}: {kind} {number}")


def _text(entry: Fields, key: str) -> str:
    text: str = entry.take(key, "a text", lambda value: isinstance(value, str))
    if not text:
        raise InputError(f"{entry.where}: {key!r} is empty; it must be a text")
    return text


def _image(number: int, entry: Fields) -> CocoImage:
    name, height, width = _text(entry, "file_name"), entry.integer("height"), entry.integer("width")
    if height < 1 or width < 1 or height * width > _MAX_PIXELS:
        raise InputError(
            f"{entry.where}: {height} x {width} (height x width) is no size of a picture; correct it"
        )
    if "\0" in name:
        raise InputError(f"{entry.where}: file_name {name!r} holds a null character; correct it")
    file_name = inside(Path(), name, where=entry.where).as_posix()
    return CocoImage(id=number, file_name=file_name, height=height, width=width)


def _check_unique(path: Path, names: Mapping[int, str], what: str) -> None:
    seen: dict[str, int] = {}
    for number, name in names.items():
        if name in seen:
            raise InputError(
                f"{path}: {what} {name!r} stands twice (ids {seen[name]} and {number}); rename one"
            )
        seen[name] = number


def _unusable(item: Mapping[str, Any]) -> str:
    """Returns why an annotation cannot be an instance; empty if it can."""
    if item.get("iscrowd", 0):
        return "a crowd region (iscrowd 1), not one object"
    if item.get("segmentation") in (None, [], {}, [[]]):
        return "no segmentation (a box is no mask)"
    return ""


def _encode(segmentation: Any, image: CocoImage, where: str) -> dict[str, Any]:
    """Converts a segmentation (polygons, uncompressed or compressed RLE) to one compressed RLE."""
    if isinstance(segmentation, list):
        polygons = [_polygon(points, image, where) for points in segmentation]
        rles = coco_mask.frPyObjects(polygons, image.height, image.width)
        return cast("dict[str, Any]", coco_mask.merge(rles))
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise SampleError(
            f"{where}: segmentation is {shorten(segmentation)}; it must be a list of polygons, or an RLE "
            "with 'size' and 'counts'"
        )
    size = [image.height, image.width]
    if segmentation["size"] != size:
        raise SampleError(
            f"{where}: RLE of size {shorten(segmentation['size'])}, but the image is {size} (height, width)"
        )
    given = segmentation["counts"]
    counts = _decompress(given, where) if isinstance(given, str) else given
    if not is_list_of(int)(counts):
        raise SampleError(f"{where}: RLE counts are {shorten(given)}; they must be whole numbers or a text")
    pixels = image.height * image.width
    # Python integers, because the sum of damaged counts may exceed 64 bits.
    if any(count < 0 for count in counts) or sum(counts) != pixels:
        raise SampleError(
            f"{where}: RLE counts do not add up to the image's {pixels} pixels; export it again"
        )
    if isinstance(given, str):
        return {"size": size, "counts": given.encode()}
    rle = coco_mask.frPyObjects({"size": size, "counts": counts}, image.height, image.width)
    return cast("dict[str, Any]", rle)


def _polygon(points: Any, image: CocoImage, where: str) -> list[float]:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise SampleError(
            f"{where}: polygon {shorten(points)}; it must be a list of at least three x, y pairs: [x, y, ...]"
        )
    for position, value in enumerate(points):
        side = image.height if position % 2 else image.width
        if type(value) not in (int, float):
            raise SampleError(f"{where}: polygon coordinate {shorten(value)} is no finite number; correct it")
        # Slightly outside is common and clipped; far outside makes pycocotools allocate excessive memory.
        if not -side <= value <= 2 * side:
            raise SampleError(
                f"{where}: polygon coordinate {shorten(value)} lies far outside the image ({image.height} x "
                f"{image.width}, height x width); correct it"
            )
    return points


def _decompress(text: str, where: str) -> list[int]:
    """Decodes the run lengths of a compressed RLE, as `rleFrString` of COCO's maskApi.c does.

    Each character holds five bits, lowest first; bit 32 marks a continuation, and bit 16 of the last
    character is the sign. From the fourth number on, each is stored as the difference to the one two before.
    """
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not text.isascii() or not text or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise SampleError(f"{where}: RLE counts {shorten(text)} are no whole compressed RLE; export it again")
    last = np.flatnonzero(codes & 32 == 0)
    start = np.append(0, last[:-1] + 1)
    length = last + 1 - start
    if length.max() > _MAX_CHARACTERS:
        raise SampleError(
            f"{where}: RLE counts {shorten(text)} hold a number beyond 30 bits; export it again"
        )
    place = 5 * (np.arange(codes.size) - np.repeat(start, length))
    values = np.add.reduceat((codes & 31) << place, start)
    values -= np.where(codes[last] & 16, 1 << 5 * length, 0)
    # Undo the differences, separately for odd and even positions; the number at position 0 is absolute.
    for parity in (1, 2):
        values[parity::2] = values[parity::2].cumsum()
    return cast("list[int]", values.tolist())
