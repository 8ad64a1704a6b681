"""Writes the TOML description of an exported folder, which `aims convert folder` reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from aims.core.errors import InputError
from aims.core.files import toml_value, write_text
from aims.core.schema import Array
from aims.data.export.files import FILE_SUFFIXES, path_name
from aims.data.read import Dataset
from aims.data.templates import render_template

DESCRIPTION = "folder.toml"
# Common ways in which an image id contains its group; the first pattern that yields every group is written.
_GROUPS = (r"(.+)/[^/]+", r"([^/]+)/.+", r"(.+)_[^_]+", r"([^_]+)_.+", r"(.+)-[^-]+", r"([^-]+)-.+")


class FolderDescription:
    """Collects the description of an exported folder, image by image.

    Args:
        dataset: the dataset that is exported.

    Raises:
        InputError: an image id cannot be a file name, or is the name of another image's file.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._spec = dataset.spec
        self._ids = {split: [ref.image_id for ref in refs] for split, refs in dataset.index.items()}
        self._groups = {ref.image_id: ref.group for ref in dataset.refs}
        _check_ids(self._groups)
        self._first: dict[str, tuple[str, str]] = {}
        self._suffixes: dict[str, str] = {}
        self._whole: set[str] = set()

    def add(self, image_id: str, arrays: Mapping[str, Array], suffixes: Mapping[str, str]) -> None:
        """Adds one image.

        Args:
            image_id: id of the image.
            arrays: its streams by name, (height, width, channels) each.
            suffixes: file suffixes of its RGB image ("images") and its streams ("streams/NAME").

        Raises:
            InputError: a dtype or suffix differs from that of earlier images, or the RGB image is missing.
        """
        kinds = {f"streams/{name}": f"stream {name!r} is {array.dtype}" for name, array in arrays.items()}
        if self._spec.has_rgb:
            kinds["images"] = f"the RGB picture is {suffixes.get('images', 'missing')}"
        for key, kind in kinds.items():
            first, before = self._first.setdefault(key, (image_id, kind))
            if kind != before or key not in suffixes:
                raise InputError(
                    f"image {image_id!r}: {kind}, and in {first!r} {before}; a folder holds pictures "
                    "of one kind, in every image: export with --format coco"
                )
        self._suffixes |= suffixes
        self._whole |= {name for name, array in arrays.items() if array.dtype in (np.uint8, np.uint16)}

    def write(self, folder: Path) -> tuple[str, ...]:
        """Writes the description.

        Returns:
            One line for each piece of information that the description cannot hold.
        """
        group = self._group()
        description = render_template(
            "folder.toml.j2",
            file=DESCRIPTION,
            spec=self._spec,
            group=group,
            splits=self._ids,
            suffixes=self._suffixes,
            toml=toml_value,
        )
        write_text(folder / DESCRIPTION, description)
        lost = [
            f"split {split!r} has no images and is left out" for split, ids in self._ids.items() if not ids
        ]
        lost += [
            f"stream {name!r} states no valid range; it will read as that of its dtype"
            for name in sorted(self._whole)
            if self._spec.streams[name].valid_range is None
        ]
        if group is None:
            lost.append(
                "no expression finds the groups in the image ids; every image will read as a group of its "
                "own (`aims convert coco` on the exported folder keeps the groups)"
            )
        return tuple(f"{DESCRIPTION}: {line}" for line in lost)

    def _group(self) -> str | None:
        """Returns a regular expression for the groups: "" if each image is its own, None if none fits."""
        if all(group == image_id for image_id, group in self._groups.items()):
            return ""
        for text in _GROUPS:
            found = {image_id: re.fullmatch(text, image_id) for image_id in self._groups}
            if all(match and match[1] == self._groups[image_id] for image_id, match in found.items()):
                return f"^{text}$"
        return None


def _check_ids(ids: Collection[str]) -> None:
    for image_id in ids:
        path = PurePosixPath(path_name(image_id))
        for part in (path, *path.parents):
            # With ids "a" and "a.png", the file of the first would have the name of the second.
            stem = part.as_posix().removesuffix(part.suffix)
            if part.suffix in FILE_SUFFIXES and stem in ids:
                raise InputError(
                    f"image ids {stem!r} and {image_id!r}: one would be a file of the other; export with "
                    "--format coco"
                )
