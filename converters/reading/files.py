"""What several converters share: finding the files of a set, and reading pictures of a known kind."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from aims.core.errors import InputError, unknown_name
from aims.core.files import is_unicode
from aims.core.schema import Array, InstanceMap, SampleError, SemanticMap

from .label_maps import numbers
from .pictures import Picture, load_picture

AUTO = "auto"
# Images tried before a set is called unreadable: a broken first one must not hide the others.
_TRIES = 20

T = TypeVar("T")
R = TypeVar("R")


def find_set(root: Path, names: Sequence[str], holds: Callable[[Path], bool], *, missing: str) -> Path:
    """The folder of a set: `root` itself or one of the named folders in it.

    Args:
        root: the raw folder.
        names: folders below it that may be the set's.
        holds: whether a folder is the set's.
        missing: what is looked for and where it can be had, for the message where there is none.

    Raises:
        InputError: there is none, or there are two, which may differ.
    """
    found = [folder for folder in (root, *(root / name for name in names)) if holds(folder)]
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1]} both hold the set; give the one to read with --raw")
    if not found:
        raise InputError(f"{root}: {missing}")
    return found[0]


def choose_source(flag: str, value: str, sources: Mapping[str, Mapping[Path, bool]]) -> str:
    """The source of labels to read: the one that was asked for, else the first that every split has.

    Args:
        flag: the option, for messages.
        value: what was given for it: a key of `sources`, or "auto".
        sources: for each source, in order of preference, the folder or file that each split would have, and
            whether it is there.

    Raises:
        InputError: an unknown value, a source that only some splits have, or no source at all.
    """
    if value != AUTO and value not in sources:
        raise unknown_name(f"value of {flag}", value, (AUTO, *sources))
    if value != AUTO:
        return value
    for source, places in sources.items():
        if all(places.values()):
            return source
        if any(places.values()):
            present = next(path for path, exists in places.items() if exists)
            missing = next(path for path, exists in places.items() if not exists)
            raise InputError(
                f"{missing}: not found, but {present} is there; the instances of all splits must come from "
                f"one kind of label: complete it, or choose another with {flag} (known: {', '.join(sources)})"
            )
    looked = ", ".join(str(path) for places in sources.values() for path in places)
    raise InputError(f"no labels: looked for {looked}; get them with the rest of the set")


def first_readable(images: Iterable[T], read: Callable[[T], R]) -> R | None:
    """What `read` makes of the first image that can be read; None if there is no image.

    Raises:
        SampleError: that of the first image, if none of the first twenty can be read.
    """
    problems: list[SampleError] = []
    for image in itertools.islice(images, _TRIES):
        try:
            return read(image)
        except SampleError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return None


def list_ids(folder: Path, pattern: re.Pattern[str], what: str) -> dict[str, Path]:
    """Files of a folder by the picture's name, sorted.

    Args:
        folder: its files are listed, hidden ones left out.
        pattern: matches a whole file name; its group `id` is the picture's name.
        what: the file names that are looked for, for messages.

    Raises:
        InputError: no such folder, no such file in it, two files for one picture, or a name that is no text.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        raise InputError(f"{folder}: no such folder; it holds {what}: get it with the rest") from None
    except OSError as error:
        raise InputError(f"{folder}: not readable as a folder ({error.strerror}); it holds {what}") from None
    found: dict[str, Path] = {}
    for name in names:
        match = pattern.fullmatch(name)
        if match is None or name.startswith("."):
            continue
        if not is_unicode(name):
            raise InputError(f"{folder}: file name {name!r} is not UTF-8; unpack the archive again as UTF-8")
        if match["id"] in found:
            raise InputError(
                f"{folder}: {found[match['id']].name!r} and {name!r} are two files for picture "
                f"{match['id']!r}; remove one"
            )
        found[match["id"]] = folder / name
    if not found:
        raise InputError(f"{folder}: holds no {what}; unpack the archive again")
    return dict(sorted(found.items()))


def list_suffixed(folder: Path, suffix: str) -> dict[str, Path]:
    """Files ID_SUFFIX of a folder by ID; see `list_ids`."""
    return list_ids(folder, re.compile(rf"(?P<id>.+)_{re.escape(suffix)}"), f"ID_{suffix}")


def check_split_names(splits: Mapping[str, Mapping[str, Path]]) -> None:
    """Raises InputError if a picture's name stands in two splits; each maps names to a file."""
    seen: dict[str, Path] = {}
    for files in splits.values():
        for image_id, path in files.items():
            if image_id in seen:
                raise InputError(
                    f"{seen[image_id]} and {path}: picture {image_id!r} is in two splits; a name stands for "
                    "one picture of the whole set: remove or rename one"
                )
            seen[image_id] = path


def load_channels(path: Path) -> Array:
    """Reads the (height, width, 3) numbers of a picture, in RGB order and the file's own dtype."""
    picture = load_picture(path)
    if picture.palette is not None:
        raise SampleError(
            f"{path}: a palette picture, whose numbers measure nothing; expected three channels"
        )
    if picture.array.shape[2] != 3:
        raise SampleError(
            f"{path}: has {picture.array.shape[2]} channel(s), expected three (red, green, blue)"
        )
    return picture.array


def load_numbers(path: Path, picture: Picture) -> Array:
    """The (height, width) whole numbers of a label file that has been read."""
    array = picture.array
    if array.shape[2] > 2 and (array[..., :3] != array[..., :1]).any():
        raise SampleError(f"{path}: colours, where one number a pixel is expected; save it as grey")
    return numbers(path, picture)


def instance_map(path: Path, class_id: int) -> InstanceMap:
    """Reads a map of instances that are all of one class: 0 is nothing, any other number an instance."""
    instances = load_numbers(path, load_picture(path))
    ids = np.unique(instances).tolist()
    return InstanceMap(instances=instances, class_ids={number: class_id for number in ids if number})


def label_size(labels: SemanticMap | InstanceMap) -> tuple[int, int]:
    """Height and width of a picture's labels."""
    array = labels.class_map if isinstance(labels, SemanticMap) else labels.instances
    return array.shape[0], array.shape[1]
