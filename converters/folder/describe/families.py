"""Divides files into families, each of which one pattern names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import PurePosixPath
from typing import NamedTuple

from aims.core.names import composed
from aims.reading.patterns import part_names
from aims.reading.pictures import ARCHIVE_SUFFIXES, RGB_SUFFIXES, STREAM_SUFFIXES

from .listing import Member, Place, literal, named_as_folder
from .words import SPLIT_PARTS, names_labels, split_head, split_tail

#: Suffixes of pictures and arrays.
PICTURES = frozenset({*STREAM_SUFFIXES, *RGB_SUFFIXES})
_MERGED = frozenset({*STREAM_SUFFIXES} - {*ARCHIVE_SUFFIXES})
_OTHER = frozenset({".json", ".txt"})
#: Suffixes of files that are looked into: pictures, labels, and lists.
READ = PICTURES | _OTHER | {".csv"}
_NUMBER = re.compile(r"(.*?)[_\-. ]?\d+")
_ENDING = re.compile(r"(.+)([_\-. ][A-Za-z]+)")
_SEPARATORS = "_-. "

#: The values of the parts of a pattern, in their order.
Key = tuple[str, ...]


class Entry(NamedTuple):
    """A file: the values of the parts of its folder, the part of its name that is the id, and its path."""

    values: Mapping[str, str]
    base: str
    path: str


@dataclass(frozen=True)
class Family:
    """The files of one pattern.

    Attributes:
        folder: pattern of their folders, which ends with "/" or is empty.
        stem: pattern of their names, without the suffix.
        suffix: their suffix in lower case, or ".*".
        entries: the files.
    """

    folder: str
    stem: str
    suffix: str
    entries: Sequence[Entry]

    @property
    def text(self) -> str:
        """The pattern."""
        return f"{self.folder}{self.stem}{self.suffix}"

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts of the pattern, in order."""
        return tuple(dict.fromkeys(part_names(self.text)))

    @cached_property
    def files(self) -> Mapping[Key, Sequence[str]]:
        """The paths of the files below the root, by the values of the parts."""
        found: dict[Key, list[str]] = defaultdict(list)
        for entry in self.entries:
            values = {**entry.values, "id": entry.base}
            found[tuple(composed(values[part]) for part in self.parts)].append(entry.path)
        return dict(sorted(found.items()))

    @property
    def paths(self) -> list[str]:
        """The paths of all files, sorted by the values of the parts."""
        return [path for paths in self.files.values() for path in paths]

    def fixed(self, part: str, value: str) -> Family:
        """Returns the family with the files of one value of a part alone, which stands in the pattern."""
        if part not in self.parts:
            return self
        folder = self.folder.replace(f"{{{part}}}", literal(value))
        return replace(
            self, folder=folder, entries=[each for each in self.entries if each.values[part] == value]
        )

    def stripped(self) -> Iterator[Family]:
        """Yields families whose ids lack what all of them begin or end with."""
        bases = [entry.base for entry in self.entries]
        if len(bases) < 2:
            return
        start = _common_start(bases)
        end = _common_start([base[::-1] for base in bases])[::-1]
        starts = dict.fromkeys([re.sub(r"[A-Za-z0-9]+$", "", start), re.sub(r"\d+$", "", start), ""])
        ends = dict.fromkeys([re.sub(r"^[A-Za-z0-9]+", "", end), re.sub(r"^\d+", "", end), ""])
        for first in starts:
            for last in ends:
                if (first or last) and all(len(base) > len(first) + len(last) for base in bases):
                    stem = self.stem.replace("{id}", f"{literal(first)}{{id}}{literal(last)}")
                    cut = slice(len(first), -len(last) if last else None)
                    yield replace(
                        self,
                        stem=stem,
                        entries=[entry._replace(base=entry.base[cut]) for entry in self.entries],
                    )

    def of_folders(self) -> Iterator[Family]:
        """Yields the family whose ids are the innermost folders that vary, each with any number of files."""
        varying = [part for part in self.parts if part not in ("id", *SPLIT_PARTS)]
        if varying and "{id}" not in self.folder:
            part = varying[-1]
            yield replace(
                self,
                folder=self.folder.replace(f"{{{part}}}", "{id}"),
                stem="*",
                entries=[entry._replace(base=entry.values[part]) for entry in self.entries],
            )

    def without(self, parts: Iterable[str]) -> Family:
        """Returns the family in whose pattern "*" stands for parts of the folder."""
        folder = self.folder
        for part in parts:
            folder = folder.replace(f"{{{part}}}", "*")
        return replace(self, folder=folder)

    def beginning(self, ids: Collection[str]) -> Iterator[Family]:
        """Yields the family of several files an id, whose names begin with one of the ids."""
        if self.stem != "{id}":
            return
        for separator in _SEPARATORS:
            heads = {}
            for entry in self.entries:
                pieces = entry.base.split(separator)
                starts = (separator.join(pieces[:k]) for k in range(len(pieces) - 1, 0, -1))
                heads[entry.path] = next((start for start in starts if composed(start) in ids), "")
            kept = [entry._replace(base=heads[entry.path]) for entry in self.entries if heads[entry.path]]
            if 2 * len(kept) >= len(self.entries):
                yield replace(self, stem=f"{{id}}{separator}*", entries=kept)


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    return "".join(
        one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )


def find_families(places: Sequence[Place]) -> list[Family]:
    """Divides the pictures, arrays, and files of objects of all places into families."""
    found: list[Family] = []
    for place in places:
        groups: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
        for member in place.members:
            for name in member.folder.files:
                file = PurePosixPath(name)
                if (suffix := file.suffix.lower()) in PICTURES | _OTHER:
                    head, base, tail = _affixes(file.stem, PurePosixPath(member.path).name)
                    entry = Entry(member.values, base, f"{member.path}{name}")
                    groups[head, tail, suffix].append(entry)
        families = [
            _family(place, head, tail, suffix, entries)
            for (head, tail, suffix), entries in sorted(_with_endings(groups).items())
        ]
        found += _merge_suffixes(families, place.members)
    return found


def _affixes(stem: str, folder: str) -> tuple[str, str, str]:
    """Splits a name into the words at its beginning, the id, and the words at its end, or the folder's name.

    The end of the name of one of several masks, such as "_mask_2", ends with "#" instead of the number.
    """
    match = _NUMBER.fullmatch(stem)
    if match and names_labels(tail := split_tail(match[1])[1]) and match[1] != tail:
        base = match[1].removesuffix(tail)
        return "", base, f"{tail}#{stem[len(match[1]) :]}"
    base, tail = split_tail(stem)
    if not tail and (end := named_as_folder(stem, folder)):
        base, tail = stem[: -len(end)], end
    head, base = split_head(base)
    return head, base, tail


def _with_endings(groups: dict[tuple[str, str, str], list[Entry]]) -> dict[tuple[str, str, str], list[Entry]]:
    """Resolves the numbers of masks, and takes words at the end of names whose ids stand elsewhere, too."""
    found: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    numbered: dict[tuple[str, str, str], list[tuple[str, Entry]]] = defaultdict(list)
    for (head, tail, suffix), entries in groups.items():
        word, is_numbered, number = tail.partition("#")
        if is_numbered:
            numbered[head, word, suffix] += [(number, entry) for entry in entries]
        else:
            found[head, tail, suffix] += entries
    for (head, word, suffix), pairs in numbered.items():
        if len({number for number, _ in pairs}) == 1 and (head, word, suffix) not in found:
            found[head, word + pairs[0][0], suffix] += [entry for _, entry in pairs]
        else:
            if len({entry.base for _, entry in pairs}) == 1 and (head, word, suffix) not in found:
                # The numbers are those of images, as in man_seg000 and man_seg001.
                whole = (entry._replace(base=PurePosixPath(entry.path).stem) for _, entry in pairs)
                found[head, "", suffix] += whole
                continue
            found[head, f"{word}*", suffix] += [entry for _, entry in pairs]
            found[head, f"{word}*", suffix] += found.pop((head, word, suffix), [])
    for head, tail, suffix in list(found):
        if not tail:
            found |= _by_ending(head, suffix, found.pop((head, "", suffix)), found)
    return found


def _by_ending(
    head: str, suffix: str, entries: Sequence[Entry], others: Mapping[tuple[str, str, str], Sequence[Entry]]
) -> dict[tuple[str, str, str], list[Entry]]:
    ends: dict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        match = _ENDING.fullmatch(entry.base)
        base, end = (match[1], match[2]) if match else (entry.base, "")
        ends[end][entry.path.rpartition("/")[0] + "/" + base] = entry._replace(base=base)
    counts = Counter(name for named in ends.values() for name in named)
    counts.update(
        {
            f"{entry.path.rpartition('/')[0]}/{entry.base}"
            for (_, tail, _), found in others.items()
            if tail
            for entry in found
        }
    )
    shared = {
        end: named
        for end, named in ends.items()
        if end and 2 * sum(counts[name] > 1 for name in named) >= len(named)
    }
    bases = {name for named in shared.values() for name in named}
    # Names that differ in their endings alone, such as IMG_a and IMG_b, are those of images.
    result: dict[tuple[str, str, str], list[Entry]] = {
        (head, end, suffix): list(named.values())
        for end, named in shared.items()
        if len(bases) >= len(shared)
    }
    taken = {entry.path for found in result.values() for entry in found}
    if rest := [entry for entry in entries if entry.path not in taken]:
        result[head, "", suffix] = rest
    return result


def _family(place: Place, head: str, tail: str, suffix: str, entries: Sequence[Entry]) -> Family:
    """Makes a family; where each varying folder has one file of a constant name, the folder is the id."""
    varying = [part for part in place.parts if part not in SPLIT_PARTS]
    part = varying[-1] if varying else ""
    ends = tail if tail.endswith("*") else literal(tail)
    stem, folder = f"{literal(head)}{{id}}{ends}", place.text
    alone = (
        part
        and len(entries) > 1
        and len({entry.path.rpartition("/")[0] for entry in entries}) == len(entries)
    )
    if alone and len({entry.base for entry in entries}) == 1:
        stem = f"{literal(head)}{literal(entries[0].base)}{ends}"
    elif not (part and all(entry.base == entry.values[part] for entry in entries)):
        if any(not entry.base for entry in entries):  # the whole name is a word such as "mask"
            stem = "{id}"
            entries = [entry._replace(base=PurePosixPath(entry.path).stem) for entry in entries]
        return Family(folder, stem, suffix, entries)
    entries = [entry._replace(base=entry.values[part]) for entry in entries]
    return Family(folder.replace(f"{{{part}}}", "{id}"), stem, suffix, entries)


def _merge_suffixes(families: Sequence[Family], members: Sequence[Member]) -> list[Family]:
    """Joins families of pictures that differ in the suffix alone and have no name in common."""
    groups: dict[tuple[str, str], list[Family]] = defaultdict(list)
    for family in families:
        one = family.suffix in _MERGED
        groups[family.folder + family.stem, "" if one else family.suffix].append(family)
    stems = Counter(
        f"{member.path}{PurePosixPath(name).stem}" for member in members for name in member.folder.files
    )
    merged: list[Family] = []
    for group in groups.values():
        entries = [entry for family in group for entry in family.entries]
        paths = [PurePosixPath(entry.path) for entry in entries]
        alone = all(stems[str(path.with_suffix(""))] == 1 and "." not in path.stem for path in paths)
        # "{id}.*" fits every file of the folder.
        if len(group) > 1 and alone and (group[0].stem != "{id}" or len(paths) == stems.total()):
            merged.append(replace(group[0], suffix=".*", entries=entries))
        else:
            merged += group
    return merged
