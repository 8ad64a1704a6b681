"""Finds the JSON files of a folder, names their splits, and finds the pictures that they list."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from aims.core.errors import InputError
from aims.core.files import inside
from aims.reading.patterns import Pattern, Tree

from ..reading.coco import CocoImage

_ANNOTATIONS = "annotations"
#: The prefix of files of instances: COCO has captions and keypoints of the same images beside them.
_INSTANCES = "instances_"
#: Names of files that say nothing of the split: Roboflow's, and CVAT's of a task without a subset.
_NAMELESS = ("_annotations.coco", "instances_default")
#: The splits that folders are, by their names in lower case.
_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}

#: A path as it is given.
_ANY = Pattern("{id}", where="file_name")


def find_files(root: Path) -> list[Path]:
    """Returns the JSON files with instances.

    They are those of `annotations/`, or else of the raw folder itself, or else of the folders in it: those
    that are called as splits are, and those with files that only COCO has.

    Raises:
        InputError: there is no such folder, or no JSON file.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder of the pictures and JSON files with --raw")
    found = _json_files(root / _ANNOTATIONS) or _json_files(root)
    if not found:
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != "."):
            files = _json_files(folder / _ANNOTATIONS) or _json_files(folder)
            known = [path for path in files if path.stem in _NAMELESS or path.stem.startswith(_INSTANCES)]
            found += files if folder.name.lower() in _FOLDERS else known
    if not found:
        raise InputError(
            f"{root}: no JSON file in it, in its folder {_ANNOTATIONS!r}, or in train/, valid/ or test/; "
            "give another --raw"
        )
    return found


def _json_files(folder: Path) -> list[Path]:
    """Returns the JSON files of a folder; if some are named instances_*.json, only those."""
    if not folder.is_dir():
        return []
    found = sorted(
        path for path in folder.iterdir() if path.suffix.lower() == ".json" and path.name[0] != "."
    )
    return [path for path in found if path.stem.startswith(_INSTANCES)] or found


def split_name(path: Path, root: Path, *, alone: bool) -> str:
    """Names the split of a JSON file.

    It is the name of the file, in lower case, with "_" for all but letters and digits, and without the prefix
    `instances_` and a year at the end: `instances_train2017.json` is `train`. Of a file in a folder of the
    raw folder it is the name of that folder, and `valid` is `val`. The only file, if its name says nothing,
    is what the raw folder is called, or `train`.

    Args:
        path: the file.
        root: the raw folder.
        alone: whether it is the only file.

    Raises:
        InputError: the name has no letter to begin with.
    """
    folder = _own_folder(path)
    if folder != root:
        name = _FOLDERS.get(folder.name.lower(), folder.name)
    elif alone and path.stem in _NAMELESS:
        name = _FOLDERS.get(root.resolve().name.lower(), "train")
    else:
        name = path.stem
    name = re.sub(r"[^a-z0-9]+", "_", name.lower().removeprefix(_INSTANCES))
    name = re.sub(r"(19|20)\d\d$", "", name).strip("_")
    if not name or not name[0].isalpha():
        raise InputError(f"{path}: its name gives no name of a split; rename it, for instance train.json")
    return name


def picture_folders(root: Path, path: Path, images: str | None, split: str) -> list[Path]:
    """Returns the folders in which the pictures of a JSON file are looked for, one after the other.

    Args:
        root: the raw folder.
        path: the JSON file.
        images: the folder given by the user, in which "{split}" stands for the split; None if none is.
        split: name of the split.
    """
    if images:
        return [inside(root, images.replace("{split}", split), where="--images")]
    own, subset = _own_folder(path), path.stem.removeprefix(_INSTANCES)
    # As COCO, Roboflow, CVAT and Label Studio have them.
    folders = [own, own / "images", own / "images" / subset, own / subset, path.parent, root, root / "images"]
    return list(dict.fromkeys(folders))


def find_pictures(images: Sequence[CocoImage], folders: Sequence[Path]) -> dict[int, Path]:
    """Finds the file of each image, by its id; one that is missing has the path where it is expected.

    Of a path of another machine the longest end that names a file is taken, unless two images end alike or
    that file is named by another one.
    """
    trees = [Tree(folder) for folder in folders]
    found = {image.id: path for image in images if (path := _find(image.file_name, trees))}
    ends: dict[int, Path] = {}
    for image in images:
        if image.moved and image.id not in found:
            tails = (_find(tail, trees) for tail in _tails(image.file_name))
            if path := next(filter(None, tails), None):
                ends[image.id] = path
    taken = Counter([*found.values(), *ends.values()])
    found |= {number: path for number, path in ends.items() if taken[path] == 1}
    return {image.id: found.get(image.id, folders[0] / image.file_name) for image in images}


def _own_folder(path: Path) -> Path:
    """Returns the folder whose pictures a JSON file describes."""
    return path.parent.parent if path.parent.name == _ANNOTATIONS else path.parent


def _tails(name: str) -> Iterator[str]:
    """Yields the ends of a path, the longest first; of an address also without, and of, its query."""
    # Storages sign addresses (a.png?Signature=...), and Label Studio writes /data/local-files/?d=a.png.
    path, _, query = name.partition("?")
    for form, first in ((name, 1), (path, 1), (query.partition("=")[2], 0)):
        parts = [part for part in re.split("/|%2F", form, flags=re.IGNORECASE) if part]
        yield from ("/".join(parts[k:]) for k in range(first, len(parts)) if ".." not in parts[k:])


def _find(name: str, trees: Sequence[Tree]) -> Path | None:
    """Finds a file by its name, or by one that another system or an address would have made of it."""
    exact = next((tree.root / name for tree in trees if os.path.isfile(tree.root / name)), None)
    if exact is not None:
        return exact
    # In addresses spaces are "%20", and "%2e%2e/" and "%2F" would lead out of the folder.
    address = PurePosixPath(unquote(name))
    outside = address.is_absolute() or ".." in address.parts or PureWindowsPath(address).anchor
    forms = dict.fromkeys((name, name if outside else str(address)))
    found = (path for form in forms for tree in trees for path in _ANY.find(tree, {"id": form}))
    return next(found, None)
