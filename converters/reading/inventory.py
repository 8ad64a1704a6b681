"""Counts the files that a conversion reads, and those beside them that it passes over."""

from __future__ import annotations

import difflib
import heapq
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aims.core.names import is_hidden
from aims.core.schema import FileCount
from aims.reading.patterns import Pattern, Tree, part_names
from aims.reading.pictures import STREAM_SUFFIXES

#: Examples of each kind in a count.
FEW = 3
# Names compared with a pattern; a folder may hold any number of files that are not described.
_COMPARED = 2000


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """The files of one kind in a raw folder.

    Attributes:
        pattern: the form of their paths, or what they are.
        files: the existing files of each image, by image id.
        fitting: all files of that form, whether an image has them or not.
        like: the name with which those of other files are compared.
        folder: the folder in which they are expected where there is none.
        optional: whether an image need not have one.
    """

    pattern: str
    files: Mapping[str, Sequence[Path]]
    fitting: Collection[Path]
    like: str
    folder: Path
    optional: bool = False

    @classmethod
    def of(
        cls, tree: Tree, pattern: Pattern, files: Mapping[str, Sequence[Path]], *, optional: bool = False
    ) -> FileKind:
        """Describes the files of a pattern; those of splits that nobody asks for fit it as well."""
        above = re.split(r"[{*?]", pattern.text)[0].rpartition("/")[0]
        return cls(
            pattern=pattern.text,
            files=files,
            fitting={path for path, _ in pattern.matches(tree, {})},
            like=PurePosixPath(pattern.text).name,
            folder=tree.root / above,
            optional=optional,
        )

    @property
    def without(self) -> list[str]:
        """The images that have no such file."""
        return [image_id for image_id, paths in self.files.items() if not paths]


def take_inventory(
    tree: Tree, kinds: Sequence[FileKind], *, shared: Collection[Path], complete: bool
) -> list[FileCount]:
    """Counts the files of every kind.

    Args:
        tree: the raw folder.
        kinds: the files of a single image, by kind.
        shared: files that belong to all images.
        complete: whether every file that fits should belong to an image.

    Returns:
        The counts of each kind. A file that fits several kinds is counted where it is used.
    """
    used = [{path for paths in kind.files.values() for path in paths} for kind in kinds]
    known = set(shared).union(*used)
    described = known.union(*(kind.fitting for kind in kinds))
    counts = []
    for kind, mine in zip(kinds, used, strict=True):
        unused = sorted(path for path in kind.fitting if path not in known)
        folders = sorted({path.parent for path in (*mine, *kind.fitting)}) or [kind.folder]
        hidden, others = 0, []
        for path in _files(tree, folders):
            if is_hidden(path.name):
                hidden += 1
            elif path not in described and os.path.isfile(path):
                others.append(path)
        lacking = [] if kind.optional else kind.without
        counts.append(
            FileCount(
                pattern=kind.pattern,
                found=len(mine) + len(unused),
                used=len(mine),
                unused=_relative(tree, unused[:FEW]),
                others=len(others),
                nearest=_relative(tree, _nearest(kind.like, others)),
                hidden=hidden,
                images_without=len(lacking),
                examples=tuple(lacking[:FEW]),
                complete=complete,
            )
        )
    return counts


def published_kinds(tree: Tree, images: Mapping[str, Mapping[str, Path]]) -> list[FileKind]:
    """Sorts the files of a published set by kind.

    Args:
        tree: the folder of the set.
        images: the files of each image, existing or not, by the form of their paths.
    """
    forms: dict[str, dict[str, list[Path]]] = {}
    for image_id, files in images.items():
        for form, path in files.items():
            forms.setdefault(form, {})[image_id] = [path] if os.path.isfile(path) else []
    return [
        FileKind.of(tree, Pattern(form, where="", known=part_names(form), needs_id=False), files)
        for form, files in forms.items()
    ]


def picture_kind(tree: Tree, used: Collection[Path]) -> FileKind:
    """Describes pictures of any name that are listed somewhere: all those of their folders should be."""
    folders = sorted({path.parent for path in used})
    fitting = [path for path in _files(tree, folders) if path.suffix.lower() in STREAM_SUFFIXES]
    lacking = [path for path in used if not os.path.isfile(path)]
    listed = zip(_relative(tree, used), used, strict=True)
    return FileKind(
        pattern="pictures",
        files={name: [path] if os.path.isfile(path) else [] for name, path in sorted(listed)},
        fitting=[path for path in fitting if path.name[0] != "." and os.path.isfile(path)],
        like=next((path.name for path in (*lacking, *used)), ""),
        folder=tree.root,
    )


def _files(tree: Tree, folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        relative = folder.relative_to(tree.root).as_posix()
        yield from (folder / name for _, name in tree.names(relative))


def _nearest(like: str, others: Sequence[Path]) -> list[Path]:
    """Returns the files whose names are most like a name or the last part of a pattern."""
    matcher = difflib.SequenceMatcher(b=like.lower())

    def distance(path: Path) -> tuple[float, Path]:
        matcher.set_seq1(path.name.lower())
        return -matcher.ratio(), path

    return heapq.nsmallest(FEW, others[:_COMPARED], key=distance)


def _relative(tree: Tree, paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(path.relative_to(tree.root).as_posix() for path in paths)
