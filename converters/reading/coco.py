"""Reads COCO instance files, with every key validated before use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import Any

from aims.core.errors import InputError
from aims.core.files import regular_file
from aims.core.schema import FileCount, InstanceMap
from aims.core.structs import decode_json

from .fields import Fields, shorten
from .inventory import FEW
from .masks import MAX_PIXELS, RLE, MaskError, draw_masks, encode_segmentation


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """One entry of `images`.

    Attributes:
        id: its number.
        file_name: path with forward slashes that does not lead out of its folder: of an absolute one, a URL,
            or one with "..", what follows the drive, "/" or the last "..".
        height: in pixels.
        width: in pixels.
        moved: whether `file_name` was such a path, so that only its end can name a file here.
    """

    id: int
    file_name: str
    height: int
    width: int
    moved: bool = False


class Annotations:
    """One COCO instances file.

    All but the segmentations is validated when the file is read. These are validated image by image, because
    pycocotools reads out of bounds on some that are malformed; an object with a malformed one is dropped.

    Args:
        path: the JSON file, with `images`, `annotations` and `categories`.

    Attributes:
        path: the file.
        classes: category names ordered by category id; class id k is `classes[k - 1]`.
        images: the images, in the file's order.
        header: all other keys of the file (`info`, `licenses`, ...), not validated.
        entries: the entry of each image by its id, with all its keys.
        crowds: number of crowd regions (iscrowd 1).
        only_crowds: whether there is nothing else.
        brush_masks: whether crowd regions have the attribute "occluded", as CVAT's brush masks do.

    Raises:
        InputError: the file is missing or is not JSON; a key is missing or of the wrong type; an id, a file
            name or a category name occurs twice; an annotation refers to an unknown image or category.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = _read(path)
        self.header: Mapping[str, Any] = {
            key: value for key, value in content.items() if key not in ("images", "annotations", "categories")
        }
        categories = _categories(path, content)
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
        items = [item for items in self._annotations.values() for item in items]
        marked = [item for item in items if item.get("iscrowd", 0)]
        attributes = (item.get("attributes") for item in marked)
        self.crowds = len(marked)
        self.only_crowds = len(marked) == len(items)
        self.brush_masks = any(isinstance(value, dict) and "occluded" in value for value in attributes)

    def labels(
        self, image: CocoImage, *, crowds: bool = False
    ) -> tuple[InstanceMap, tuple[str, ...], tuple[str, ...]]:
        """Draws the instance map of one image; see `draw_masks` for instances that overlap.

        Args:
            image: an entry of `images`.
            crowds: whether a crowd region (iscrowd 1) is an object like any other; see `keeps_crowds`.

        Returns:
            The instance map; one line for every annotation that it does not hold: one without a segmentation
            or with a malformed one, a crowd region, one that covers no pixel, or one that others cover
            wholly; and a line that counts the pixels of those that others cover, if there are any.
        """
        items = self._annotations[image.id]
        masks: dict[int, RLE] = {}
        dropped: dict[int, str] = {}
        for k, item in enumerate(items, start=1):
            try:
                masks[k] = _encode(item, image, crowds=crowds)
            except MaskError as error:
                dropped[k] = str(error)
        drawn = draw_masks(masks, (image.height, image.width))
        dropped |= drawn.hidden
        class_ids = {k: self._class_ids[items[k - 1]["category_id"]] for k in masks if k not in drawn.hidden}
        lines = tuple(f"annotation {items[k - 1]['id']}: {dropped[k]}" for k in sorted(dropped))
        return InstanceMap(instances=drawn.instances, class_ids=class_ids), lines, drawn.overlaps

    def count(self, entries: Mapping[str, Collection[CocoImage]], *, complete: bool) -> FileCount:
        """Counts the entries of `images` that belong to an image.

        Args:
            entries: those of each image, by image id.
            complete: whether every entry should belong to an image.
        """
        used = {entry.id for found in entries.values() for entry in found}
        unused = [image.file_name for image in self.images if image.id not in used]
        lacking = [image_id for image_id, found in entries.items() if not found]
        return FileCount(
            pattern=f"{self.path.name} 'images'",
            found=len(used) + len(unused),
            used=len(used),
            unused=tuple(unused[:FEW]),
            images_without=len(lacking),
            examples=tuple(lacking[:FEW]),
            complete=complete,
        )


def keeps_crowds(files: Collection[Annotations]) -> bool:
    """Returns whether the crowd regions (iscrowd 1) of a dataset are single objects, unless the user says so.

    COCO marks regions of many objects, always beside single ones. CVAT marks every brush mask, which it tells
    by an attribute "occluded" of each; and where all annotations of a dataset are marked, the mark means
    nothing.
    """
    only = any(file.crowds for file in files) and all(file.only_crowds for file in files)
    return only or any(file.brush_masks for file in files)


def crowd_warning(files: Collection[Annotations], *, kept: bool, by: str) -> tuple[str, ...]:
    """Returns a line that says what was made of crowd regions, if there are any.

    Args:
        files: the files of the dataset.
        kept: whether they are objects.
        by: the option that decides it, for the message.
    """
    count = sum(file.crowds for file in files)
    if not count:
        return ()
    what = "kept as objects" if kept else "left out"
    return (f"crowd regions (iscrowd 1): {count:,} {what}; {by} decides otherwise",)


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
        content = decode_json(regular_file(path).read_bytes(), where=str(path))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'not readable').lower()}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise InputError(
            f"{path}: no COCO instances file; it needs the lists 'images', 'annotations' and 'categories'"
        )
    if any(isinstance(item, dict) and "segments_info" in item for item in content["annotations"]):
        raise InputError(
            f"{path}: panoptic annotations ('segments_info'), whose masks are pictures; convert them to "
            "instances (panopticapi's panoptic2detection_coco_format)"
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


def _categories(path: Path, content: Mapping[str, Any]) -> dict[int, str]:
    """Returns the names of the categories by id."""
    entries = dict(_entries(path, content, "categories", "category"))
    names = {number: _text(entry, "name") for number, entry in entries.items()}
    # Roboflow adds a category named after the project, above all others and without an object, which may
    # have the name of one of them.
    used = [item.get("category_id") for item in content["annotations"] if isinstance(item, dict)]
    above = {
        number
        for number, name in names.items()
        if any(names[k] == name == entries[k].values.get("supercategory") for k in names if k != number)
        and number not in used
    }
    names = {number: name for number, name in names.items() if number not in above}
    _check_unique(path, names, "category name")
    return names


def _text(entry: Fields, key: str) -> str:
    text: str = entry.take(key, "a text", lambda value: isinstance(value, str))
    if not text:
        raise InputError(f"{entry.where}: {key!r} is empty; it must be a text")
    return text


def _image(number: int, entry: Fields) -> CocoImage:
    name, height, width = _text(entry, "file_name"), entry.integer("height"), entry.integer("width")
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise InputError(
            f"{entry.where}: {height} x {width} (height x width) is no size of a picture; correct it"
        )
    if "\0" in name:
        raise InputError(f"{entry.where}: file_name {name!r} holds a null character; correct it")
    file_name, moved = _relative(name, entry.where)
    return CocoImage(id=number, file_name=file_name, height=height, width=width, moved=moved)


def _relative(name: str, where: str) -> tuple[str, bool]:
    """Returns the part of a path that can lie below a folder, and whether anything was cut off."""
    # As a path of Windows it splits at both kinds of slashes, and has a drive.
    path = PureWindowsPath(name.lstrip("/"))
    parts = path.parts[1:] if path.anchor else path.parts
    up = max((k for k, part in enumerate(parts, start=1) if part == ".."), default=0)
    if not parts[up:]:
        raise InputError(f"{where}: file_name {name!r} names no file; correct it")
    moved = name.startswith("/") or bool(path.anchor) or up > 0 or "://" in name
    return "/".join(parts[up:]), moved


def _check_unique(path: Path, names: Mapping[int, str], what: str) -> None:
    seen: dict[str, int] = {}
    for number, name in names.items():
        if name in seen:
            raise InputError(
                f"{path}: {what} {name!r} stands twice (ids {seen[name]} and {number}); rename one"
            )
        seen[name] = number


def _encode(item: Mapping[str, Any], image: CocoImage, *, crowds: bool) -> RLE:
    """Encodes one annotation; raises MaskError if it cannot be an instance."""
    if item.get("iscrowd", 0) and not crowds:
        raise MaskError("a crowd region (iscrowd 1), not one object")
    if item.get("segmentation") in (None, [], {}, [[]]):
        raise MaskError("no segmentation (a box is no mask)")
    return encode_segmentation(item["segmentation"], (image.height, image.width))
