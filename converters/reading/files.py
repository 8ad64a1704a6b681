"""Helpers of several converters: finding the files of a dataset, and reading images of a known kind."""

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
from aims.core.names import composed
from aims.core.remarks import collect_remarks
from aims.core.schema import Array, InstanceMap, SampleError, SemanticMap
from aims.reading.patterns import Pattern, Tree
from aims.reading.pictures import Picture, load_measurement, load_picture

from .label_maps import numbers

AUTO = "auto"
# Images tried before a dataset is reported as unreadable: the first ones may be damaged.
_TRIES = 20

T = TypeVar("T")
R = TypeVar("R")


def find_set(root: Path, names: Sequence[str], holds: Callable[[Path], bool], *, missing: str) -> Path:
    """Finds the folder of a dataset: `root` itself or one of the named folders in it.

    Args:
        root: the raw folder.
        names: names of candidate folders below it.
        holds: whether a folder holds the dataset.
        missing: what was expected and where to get it, for the message if nothing is found.

    Raises:
        InputError: no folder holds the dataset, or several do, which may differ.
    """
    found = [folder for folder in (root, *(root / name for name in names)) if holds(folder)]
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1]} both hold the set; give the one to read with --raw")
    if not found:
        raise InputError(f"{root}: {missing}")
    return found[0]


def choose_source(flag: str, value: str, sources: Mapping[str, Mapping[Path, bool]]) -> str:
    """Chooses the source of labels: the requested one, or with "auto" the first that every split has.

    Args:
        flag: name of the option, for messages.
        value: value of the option: a key of `sources`, or "auto".
        sources: for each source, in order of preference, the folder or file of each split and whether it
            exists.

    Raises:
        InputError: the value is unknown; or "auto" finds a source in only some splits, or none.
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
    """Returns the result of `read` for the first readable image; None if there are no images.

    Raises:
        SampleError: none of the first twenty images can be read; the error is that of the first.
    """
    problems: list[SampleError] = []
    for image in itertools.islice(images, _TRIES):
        try:
            # Remarks are made where each image is read, perhaps while this one is read as a model.
            with collect_remarks():
                return read(image)
        except SampleError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return None


def list_ids(folder: Path, pattern: re.Pattern[str], what: str) -> dict[str, Path]:
    """Lists the files of a folder by image id, sorted.

    Args:
        folder: the folder; hidden files are ignored.
        pattern: matches a whole file name; its group `id` is the image id.
        what: the expected file names, for messages.

    Raises:
        InputError: the folder is missing, no file matches, two files have one id, or a name is not Unicode.
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
        image_id = composed(match["id"])
        if image_id in found:
            raise InputError(
                f"{folder}: {found[image_id].name!r} and {name!r} are two files for picture "
                f"{image_id!r}; remove one"
            )
        found[image_id] = folder / name
    if not found:
        raise InputError(f"{folder}: holds no {what}; unpack the archive again")
    return dict(sorted(found.items()))


def list_suffixed(folder: Path, suffix: str) -> dict[str, Path]:
    """Lists the files ID_SUFFIX of a folder by ID; see `list_ids`."""
    stem, dot, kind = suffix.rpartition(".")
    pattern = re.compile(rf"(?P<id>.+)_{re.escape(stem)}(?i:{re.escape(dot + kind)})")
    return list_ids(folder, pattern, f"ID_{suffix}")


def on_disk(path: Path) -> Path:
    """Returns the only file that is named alike, if there is none of exactly that name; else the path.

    Names are alike if they differ in the case of the suffix, or in how Unicode writes their letters.
    """
    if os.path.exists(path):
        return path
    name = Pattern("{id}", where=str(path))
    found = name.find(Tree(path.parent), {"id": path.name})
    return found[0] if len(found) == 1 else path


def check_split_names(splits: Mapping[str, Mapping[str, Path]]) -> None:
    """Raises InputError if two splits share an image id; each split maps ids to a file."""
    seen: dict[str, Path] = {}
    for files in splits.values():
        for image_id, path in files.items():
            if image_id in seen:
                raise InputError(
                    f"{seen[image_id]} and {path}: picture {image_id!r} is in two splits; a name stands for "
                    "one picture of the whole set: remove or rename one"
                )
            seen[image_id] = path


def load_channels(path: Path, *, missing: float | None = None) -> Array:
    """Reads a (height, width, 3) image in RGB order and the file's dtype; see `load_measurement`."""
    array = load_measurement(path, missing=missing)
    if array.shape[2] != 3:
        raise SampleError(f"{path}: has {array.shape[2]} channel(s), expected three (red, green, blue)")
    return array


def load_numbers(path: Path, picture: Picture) -> Array:
    """Returns the (height, width) integers of a decoded label file; raises if it holds colours."""
    array = picture.array
    if array.shape[2] > 2 and (array[..., :3] != array[..., :1]).any():
        raise SampleError(f"{path}: colours, where one number a pixel is expected; save it as grey")
    return numbers(path, picture)


def instance_map(path: Path, class_id: int) -> InstanceMap:
    """Reads an instance map of a single class: 0 is void, every other number is an instance."""
    instances = load_numbers(path, load_picture(path))
    ids = np.unique(instances).tolist()
    return InstanceMap(instances=instances, class_ids={number: class_id for number in ids if number})


def label_size(labels: SemanticMap | InstanceMap) -> tuple[int, int]:
    """Returns the (height, width) of an image's labels."""
    array = labels.class_map if isinstance(labels, SemanticMap) else labels.instances
    return array.shape[0], array.shape[1]
