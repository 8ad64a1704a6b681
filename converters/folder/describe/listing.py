"""Lists the files of a folder, and divides them into places whose paths are alike."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from aims.core.errors import InputError
from aims.core.files import is_unicode
from aims.core.names import is_hidden
from aims.reading.patterns import is_broken

from .words import SPLIT_NAMES, names_labels, names_role, split_tail, split_word

#: Names of parts for the folders that tell images apart, from the top.
_PARTS = ("scene", "sequence", "part", "subpart")
_COMPARED = 16  # folders
_DEEPEST = 32
_MOST_STREAMS = 16


@dataclass
class Folder:
    """A folder and what lies in it, by name, sorted."""

    folders: dict[str, Folder] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def below(self, depth: int = 3) -> Iterator[tuple[str, ...]]:
        """Yields the paths of the files down to some depth, as names."""
        yield from ((name,) for name in self.files)
        if depth:
            for name, folder in self.folders.items():
                yield from ((name, *path) for path in folder.below(depth - 1))


@dataclass
class Listing:
    """The files of a folder.

    Attributes:
        top: the folder.
        suffixes: number of files by suffix in lower case, hidden ones left out.
        hidden: number of hidden files, and of those that systems leave behind.
        broken: number of links that lead to no file.
        misnamed: a name that is not UTF-8, if there is one.
        deep: a folder below which nothing was listed, if there is one.
    """

    top: Folder = field(default_factory=Folder)
    suffixes: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    broken: int = 0
    misnamed: str | None = None
    deep: str | None = None

    @property
    def count(self) -> int:
        """Number of files, hidden ones left out."""
        return self.suffixes.total()


class Member(NamedTuple):
    """One folder of a place: the values of its parts, its path below the root, and what it holds."""

    values: dict[str, str]
    path: str
    folder: Folder


@dataclass(frozen=True)
class Place:
    """Folders whose paths are alike; `text` is their pattern, which ends with "/" or is empty."""

    text: str
    members: Sequence[Member]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the pattern, in order."""
        return tuple(self.members[0].values)


def list_files(root: Path) -> Listing:
    """Lists all files below a folder; links are followed, but not in circles.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise InputError(f"{root}: {what}; give the folder that holds the pictures")
    listing = Listing()
    _list(root, listing.top, listing, frozenset())
    return listing


def _list(path: Path, folder: Folder, listing: Listing, above: frozenset[str]) -> None:
    real = os.path.realpath(path)
    if real in above:
        return
    if len(above) > _DEEPEST:
        listing.deep = listing.deep or str(path)
        return
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{path}: not readable as a folder ({error.strerror}); check its rights") from None
    for entry in entries:
        if is_hidden(entry.name):
            listing.hidden += 1
        elif not is_unicode(entry.name):
            listing.misnamed = listing.misnamed or ascii(entry.name)
        elif entry.is_dir():
            if entry.name != "__MACOSX":
                inner = folder.folders[entry.name] = Folder()
                _list(Path(entry.path), inner, listing, above | {real})
        elif is_broken(Path(entry.path)):
            listing.broken += 1
        elif entry.is_file():
            listing.suffixes[PurePosixPath(entry.name).suffix.lower()] += 1
            folder.files.append(entry.name)


def find_places(top: Folder) -> list[Place]:
    """Divides the folders into places: names of splits and of scenes become parts of a pattern."""
    names = Counter(name for folder in _folders(top) for name in folder.folders)
    found = {match[0] for name in names if (match := split_word(name))}
    # The part {split} needs folders that are called as the splits are.
    by_split = found <= {*SPLIT_NAMES}
    return list(_places("", [Member({}, "", top)], names, "split" if by_split else "subset"))


def _folders(folder: Folder) -> Iterator[Folder]:
    yield folder
    for inner in folder.folders.values():
        yield from _folders(inner)


def _places(text: str, members: Sequence[Member], names: Counter[str], split: str) -> Iterator[Place]:
    yield Place(text, members)
    children: dict[str, list[Member]] = {}
    for member in members:
        for name, folder in member.folder.folders.items():
            children.setdefault(name, []).append(Member(member.values, f"{member.path}{name}/", folder))
    varying = set(_varying(text, children, names))
    part = next((name for name in _PARTS if members and name not in members[0].values), "more")
    groups: dict[str, list[Member]] = {}
    for name, found in children.items():
        match = split_word(name)
        scene = next((start for start in _starts(name) if start in varying), None)
        if scene is not None:
            component, values = f"{{{part}}}{literal(name[len(scene) :])}", {part: scene}
        elif match and all(member.values.get(split, match[0]) == match[0] for member in found):
            before, after = literal(name[: match.start()]), literal(name[match.end() :])
            component, values = f"{before}{{{split}}}{after}", {split: match[0]}
        else:
            component, values = literal(name), {}
        groups.setdefault(component, []).extend(
            Member({**member.values, **values}, member.path, member.folder) for member in found
        )
    for component, group in groups.items():
        yield from _places(f"{text}{component}/", group, names, split)


def _starts(name: str) -> Iterator[str]:
    """Yields a name, and what stands before its last separators, such as "01" of "01_GT"."""
    yield name
    for match in reversed([*re.finditer(r"[_\-. ]", name)]):
        yield name[: match.start()]


def literal(name: str) -> str:
    """Returns a pattern for a fixed name; what has a meaning in patterns becomes "?", any one letter."""
    return "".join("?" if letter in "{}*?\\" else letter for letter in name)


def _varying(text: str, children: dict[str, list[Member]], names: Counter[str]) -> list[str]:
    """Returns the names of folders beside each other that are scenes or images, and no streams or labels."""
    plain = [name for name in children if not split_word(name) and not names_role(name)]
    forms = {name: _form(children[name][0].folder) for name in plain}
    common = Counter(form for form in forms.values() if form).most_common(1)
    alike = [name for name in plain if common and forms[name] and _is_like(forms[name], common[0][0])]
    if len(alike) < 2:
        return []
    if len(common[0][0]) > 1 and len({form[:-1] for form in common[0][0]}) > 1:
        return alike
    if names_labels(text) or sum(names[name] > len(children[name]) for name in alike) >= 2:
        return alike
    stems = [_stems(name, children[name][0].folder) for name in alike[:_COMPARED]]
    shared = set.intersection(*stems)
    if 2 * len(shared) < max(map(len, stems)):
        return alike
    labels = [name for name in children if names_labels(name)]
    if any(shared & _stems(name, children[name][0].folder) for name in labels):
        return []
    numbered = len({name.strip("0123456789") for name in alike}) == 1
    return alike if numbered or len(alike) > _MOST_STREAMS else []


def _is_like(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
    return one <= other or other <= one


def _form(folder: Folder) -> frozenset[tuple[str, ...]]:
    """Returns what files a folder holds: the folders that say it, the end of the name, and the suffix."""

    def form(path: tuple[str, ...]) -> tuple[str, ...]:
        file = PurePosixPath(path[-1])
        return (
            *(name if names_role(name) else "" for name in path[:-1]),
            split_tail(file.stem)[1].strip("0123456789"),
            file.suffix.lower(),
        )

    return frozenset(form(path) for path in islice(folder.below(), 500))


def _stems(name: str, folder: Folder) -> set[str]:
    """Returns the names of the files of a folder without suffix, and without its own name at their end."""
    stems = (PurePosixPath(file).stem for file in folder.files)
    return {stem.removesuffix(named_as_folder(stem, name)) for stem in stems}


def named_as_folder(stem: str, folder: str) -> str:
    """Returns the end of a name that is the name of its folder, as of vv/tile_vv.png; else an empty text."""
    end = stem[-len(folder) - 1 :]
    return end if folder and end[1:].lower() == folder.lower() and end[0] in "_-. " and end != stem else ""
