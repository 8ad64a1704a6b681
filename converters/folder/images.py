"""Lists the images of every split of a folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from aims.core.errors import InputError
from aims.core.files import inside
from aims.reading.patterns import Parts, Pattern, Tree

from .config import FolderConfig
from .splits import ListFile, Matching, Names, Rest, Share, TableColumn

#: The parts of the names of all images, by split and image id.
Images = Mapping[str, Mapping[str, Parts]]

# The parts of the name of an image, and the place that lists it.
_Listed = tuple[Parts, str]


def list_images(config: FolderConfig, tree: Tree, description: Path) -> Images:
    """Lists the images of every split, in the order of the description; those that are found are sorted.

    Raises:
        InputError: a split has no image, or an image stands twice or has no group, or a list is wrong.
    """
    lists = _Lists(config, tree, description)
    seen: dict[str, tuple[str, str]] = {}
    splits: dict[str, dict[str, Parts]] = {}
    for split in config.splits:
        splits[split] = {}
        for parts, where in lists.of(split):
            name = config.naming.names.fill(parts)
            inside(tree.root, name, where=where)
            image_id = config.naming.image_id(split, name)
            if image_id in seen:
                raise lists.duplicate(image_id, seen[image_id], (split, where))
            seen[image_id] = (split, where)
            config.naming.group_of(image_id, parts)
            splits[split][image_id] = {**parts, "split": split}
        if not splits[split]:
            raise InputError(f"{description} [splits]: {split!r} has no images; {lists.why_empty(split)}")
    _check_shared(config, splits)
    return splits


class _Lists:
    """The lists of the splits of one folder."""

    def __init__(self, config: FolderConfig, tree: Tree, description: Path) -> None:
        self._config, self._tree, self._description = config, tree, description
        self._names = config.naming.names
        # Lists first, then patterns, which take of the rest, then shares; "*" is what is left.
        self._listed = {
            split: list(self._listed_in(split))
            for split, source in config.splits.items()
            if isinstance(source, Names | ListFile | TableColumn)
        }
        taken = {self._names.fill(parts) for listed in self._listed.values() for parts, _ in listed}
        for kind in (Matching, Share, Rest):
            splits = [split for split, source in config.splits.items() if isinstance(source, kind)]
            found = {split: self._found(split, taken) for split in splits}
            if kind is Share:
                found = self._shares(found)
            self._listed |= {split: list(images.values()) for split, images in found.items()}
            taken |= {name for images in found.values() for name in images}

    def of(self, split: str) -> list[_Listed]:
        """Returns the images of a split."""
        return self._listed[split]

    def duplicate(self, image_id: str, first: tuple[str, str], second: tuple[str, str]) -> InputError:
        """Returns the error for an image that stands twice; both times with its split and place."""
        if first[0] == second[0]:
            return InputError(
                f"{second[1]}: image {image_id!r} stands twice (first: {first[1]}); list it once"
            )
        names, hint = self._config.own_files[0], "leave it in one"
        if isinstance(self._config.splits[second[0]], Rest) and not names.has_split():
            hint = 'with "*", put {split} into ' + names.where
        elif names.has_split():
            hint = 'rename one of them, or, if they are two pictures, give image_id = "{split}/{id}"'
        return InputError(
            f"image {image_id!r} is in split {first[0]!r} ({first[1]}) and in {second[0]!r} ({second[1]}); "
            f"{hint}"
        )

    def why_empty(self, split: str) -> str:
        """Returns why a split has no images, and what to do."""
        source, names = self._config.splits[split], self._config.own_files[0]
        files = names.fill({**dict.fromkeys(names.parts, "*"), "split": split})
        if isinstance(source, Rest):
            return f"no file below {self._tree.root} fits {files} ({names.where})"
        if isinstance(source, Matching):
            return f"no name of a file {files} ({names.where}) fits {source.text!r}"
        if isinstance(source, Share):
            return f"the groups of the files {files} ({names.where}) are too few or too large for the share"
        if isinstance(source, TableColumn):
            return f"no row of {source.file} has {' or '.join(source.values)} in column {source.column!r}"
        return "list at least one id, or leave the split out"

    def _listed_in(self, split: str) -> Iterator[_Listed]:
        source = self._config.splits[split]
        assert isinstance(source, Names | ListFile | TableColumn)
        roots = (self._tree.root, self._description.parent)
        for text, where in source.listed(roots, f"{self._description} [splits] {split}"):
            name = PurePosixPath(text).as_posix()  # "./a.png" as `find` lists it
            parts = self._from_elsewhere(name, split)
            if parts is None:
                inside(self._tree.root, text, where=where)
                parts = self._parse(name, split)
            if parts is None:
                raise InputError(
                    f"{where}: {name!r} is no name of the form {self._names.text!r}; write it so"
                )
            yield parts, where

    def _parse(self, name: str, split: str) -> Parts | None:
        """Returns the parts of a name; it may also be the path of a file of the image, or a file name."""
        own, parts = self._config.own_files, self._names.parse(name)
        if parts is not None and own[0].find(self._tree, {**parts, "split": split}):
            return parts
        for pattern in own:
            last = Pattern(
                PurePosixPath(pattern.text).name,
                where="",
                known=self._names.parts,
                needs_id=False,
                free=pattern.free,
            )
            for form in (pattern, last):
                if (own_parts := self._own_parts(form, name, split)) is not None:
                    return own_parts
        return parts

    def _own_parts(self, form: Pattern, path: str, split: str) -> Parts | None:
        """Returns the parts of an image's name in the path of one of its files, if all are in it."""
        values = form.parse(path, {"split": split}) or {}
        parts = {key: values[key] for key in values if key in self._names.parts}
        return parts if parts.keys() == set(self._names.parts) else None

    def _from_elsewhere(self, line: str, split: str) -> Parts | None:
        """Returns the parts of an image whose files are named by paths that begin in another folder.

        Several paths on one line, such as "/data/img/1.png /data/masks/1.png", must be of one image.
        """
        paths = re.sub(r"(\.\w+)[\s,;]+", r"\1\n", line).split("\n")
        first, *others = (self._by_end(path, split) for path in paths)
        return first if all(parts == first for parts in others) else None

    def _by_end(self, path: str, split: str) -> Parts | None:
        """Returns the parts of the image to which the end of a path belongs, folders included, if any."""
        own = self._config.own_files
        for pattern in own:
            folders = pattern.text.count("/")
            end = "/".join(path.split("/")[-folders - 1 :])
            parts = self._own_parts(pattern, end, split) if folders else None
            if parts is not None and own[0].find(self._tree, {**parts, "split": split}):
                return parts
        return None

    def _found(self, split: str, taken: Iterable[str]) -> dict[str, _Listed]:
        """Returns the images that are found for a split by the names of their files, sorted by name."""
        source, pattern = self._config.splits[split], self._config.own_files[0]
        found: dict[str, _Listed] = {}
        # In a clone without its content, an image is there as a link, and its file is missing.
        for path, parts in pattern.matches(self._tree, {"split": split}, broken=True):
            found.setdefault(self._names.fill(parts), (parts, str(path)))
        # First of all, because a companion is told by its image, which another split may have.
        found = self._without_companions(dict(sorted(found.items())), split)
        if not pattern.has_split():  # else every split has images of its own
            found = {name: image for name, image in found.items() if name not in taken}
        if isinstance(source, Matching):
            found = {name: image for name, image in found.items() if source.fits(name)}
        return found

    def _without_companions(self, found: dict[str, _Listed], split: str) -> dict[str, _Listed]:
        """Leaves out the files of other images that look like images, as a_mask.png does beside a.png.

        They are files of another image by a pattern of the same folder, and have no such file of their own.
        """
        first, *others = self._config.own_files
        folder = first.text.rpartition("/")[0]
        beside = [one for one in others if one.text.rpartition("/")[0] == folder and one.text != first.text]
        own = {
            name: {str(path) for one in beside for path in one.find(self._tree, {**parts, "split": split})}
            for name, (parts, _) in (found.items() if beside else ())
        }
        owned = {path: name for name, paths in own.items() for path in paths}
        return {
            name: (parts, path)
            for name, (parts, path) in found.items()
            if owned.get(path, name) == name or own[name]
        }

    def _shares(self, found: Mapping[str, dict[str, _Listed]]) -> dict[str, dict[str, _Listed]]:
        """Divides images, the same for all of the splits, in whole groups in a random order."""
        if found and self._config.own_files[0].has_split():
            raise InputError(
                f"{self._config.own_files[0].where}: a share is of all images, but {{split}} divides them "
                "already; leave one of the two out"
            )
        images = next(iter(found.values()), {})
        groups: dict[str, list[str]] = {}
        for name, (parts, _) in images.items():
            groups.setdefault(self._config.naming.group_of(name, parts), []).append(name)

        def order(group: str) -> str:
            return hashlib.sha256(f"{self._config.seed}/{group}".encode()).hexdigest()

        shares: dict[str, set[str]] = {split: set() for split in found}
        passed = 0
        for group in sorted(groups, key=order):
            middle = 100 * (passed + len(groups[group]) / 2) / len(images)
            passed += len(groups[group])
            end = 0.0
            for split in shares:
                source = self._config.splits[split]
                end += source.percent if isinstance(source, Share) else 0
                if middle < end:
                    shares[split].update(groups[group])
                    break
        return {
            split: {name: image for name, image in images.items() if name in names}
            for split, names in shares.items()
        }


def _check_shared(config: FolderConfig, splits: Images) -> None:
    """Raises if a pattern without some of the parts gives two images the same file."""
    for pattern in config.own_files:
        lacking = [name for name in config.naming.names.parts if name not in pattern.parts]
        images = ((image_id, parts) for images in splits.values() for image_id, parts in images.items())
        first: dict[str, str] = {}
        for image_id, parts in images if lacking else ():
            other = first.setdefault(file := pattern.fill(parts), image_id)
            if other != image_id:
                raise InputError(
                    f"{pattern.where}: images {other!r} and {image_id!r} would share {file}; "
                    f"put {{{lacking[0]}}} into it"
                )
