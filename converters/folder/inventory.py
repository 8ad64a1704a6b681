"""Counts the files of a folder that a description reads, and those that it passes over."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from aims.core.errors import InputError
from aims.core.schema import FileCount

from ..reading.patterns import Parts, Pattern, Tree

#: Files that Windows leaves in folders; those of macOS and Linux begin with a dot.
_LEFT_BY_WINDOWS = frozenset({"thumbs.db", "desktop.ini"})
#: Examples of each kind in a count.
FEW = 3
# Names compared with a pattern; a folder may hold any number of files that are not described.
_COMPARED = 2000


def take_inventory(
    tree: Tree,
    patterns: Sequence[Pattern],
    images: Mapping[str, Parts],
    *,
    shared: Collection[Path],
    complete: bool,
) -> list[FileCount]:
    """Counts the files of every pattern.

    Args:
        tree: the raw folder.
        patterns: the patterns of files of a single image.
        images: the parts of the names of all images, by image id.
        shared: files that belong to all images.
        complete: whether every file that fits should belong to an image.

    Returns:
        The counts of each pattern. A file that fits several patterns is counted where it is used.

    Raises:
        InputError: a wildcard gives an image a file of another one, as "{id}*.png" does with 1 and 10.
    """
    found = [
        {image_id: pattern.find(tree, parts) for image_id, parts in images.items()} for pattern in patterns
    ]
    for pattern, by_image in zip(patterns, found, strict=True):
        _check_owners(pattern, by_image, images)
    used = [{path for paths in by_image.values() for path in paths} for by_image in found]
    # Splits that are not described count as well.
    fitting = [{path for path, _ in pattern.matches(tree, {})} for pattern in patterns]
    known = set(shared).union(*used)
    unused = [fits - known for fits in fitting]
    described = known.union(*fitting)
    counts = []
    for k, pattern in enumerate(patterns):
        folders = sorted({path.parent for path in used[k] | fitting[k]}) or [_folder(tree, pattern)]
        hidden, others = 0, []
        for path in _files(tree, folders):
            if path.name.startswith(".") or path.name.lower() in _LEFT_BY_WINDOWS:
                hidden += 1
            elif path not in described and path.is_file():
                others.append(path)
        lacking = [image_id for image_id, paths in found[k].items() if not paths]
        counts.append(
            FileCount(
                pattern=pattern.text,
                found=len(used[k]) + len(unused[k]),
                used=len(used[k]),
                unused=_relative(tree, sorted(unused[k])[:FEW]),
                others=len(others),
                nearest=_relative(tree, _nearest(pattern, others)),
                hidden=hidden,
                images_without=len(lacking),
                examples=tuple(lacking[:FEW]),
                complete=complete,
            )
        )
    return counts


def _check_owners(pattern: Pattern, found: Mapping[str, Sequence[Path]], images: Mapping[str, Parts]) -> None:
    owners: dict[Path, str] = {}
    for image_id, paths in found.items() if pattern.has_wildcard() else ():
        for path in paths:
            other = owners.setdefault(path, image_id)
            # One name may stand in two splits.
            if any(images[other][name] != images[image_id][name] for name in pattern.parts):
                raise InputError(
                    f"{path}: fits {pattern.text!r} for image {other!r} and for {image_id!r}; narrow it "
                    f"({pattern.where}), as in {{id}}_*.png"
                )


def _folder(tree: Tree, pattern: Pattern) -> Path:
    """Returns the folder above the first named part or wildcard of a pattern."""
    return tree.root / re.split(r"[{*?]", pattern.text)[0].rpartition("/")[0]


def _files(tree: Tree, folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        relative = folder.relative_to(tree.root).as_posix()
        yield from (folder / name for _, name in tree.names(relative))


def _nearest(pattern: Pattern, others: Sequence[Path]) -> list[Path]:
    """Returns the files whose names are most like the last part of a pattern."""
    matcher = difflib.SequenceMatcher(b=PurePosixPath(pattern.text).name.lower())

    def distance(path: Path) -> tuple[float, Path]:
        matcher.set_seq1(path.name.lower())
        return -matcher.ratio(), path

    return heapq.nsmallest(FEW, others[:_COMPARED], key=distance)


def _relative(tree: Tree, paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(path.relative_to(tree.root).as_posix() for path in paths)
