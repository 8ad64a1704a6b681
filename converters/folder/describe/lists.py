"""Finds the lists and tables that divide images into splits, or divides them by a share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from aims.core.errors import InputError
from aims.core.names import composed
from aims.reading.patterns import read_ids

from ..splits import table_rows
from .families import Family, Key
from .layout import Layout
from .listing import Folder
from .text import Value, texts
from .words import SPLIT_NAMES, SPLITS, split_name, split_word

_LARGEST = 50 << 20  # bytes


@dataclass
class Splits:
    """The table `[splits]`.

    Attributes:
        choices: what the table may hold; the first that gives every split an image is taken.
        why: where it comes from.
        is_guess: whether the folder does not say it.
        keys: the images that stand in lists; None if all images are in a split.
        notes: lists that are not used, and why.
    """

    choices: list[dict[str, Value]]
    why: str
    is_guess: bool = False
    keys: Sequence[Key] | None = None
    notes: list[str] = field(default_factory=list)


def find_splits(root: Path, top: Folder, layout: Layout) -> Splits:
    """Divides by the names of folders, else by lists, else by a table, else by a share of 80 % and 20 %."""
    if layout.first and "split" in layout.first.parts:
        return Splits([{layout.splits[name]: "*" for name in layout.splits}], "by the names of folders")
    if layout.first and "subset" in layout.first.parts:
        by_name: dict[str, Value] = {}
        notes: list[str] = []
        for name, split in layout.splits.items():
            if split in by_name:
                notes.append(f"folders {name!r} are in no split, beside others for {split!r}")
            else:
                by_name[split] = f"{name}/*"
        return Splits([by_name], "by the names of folders", notes=notes)
    if layout.first is None:
        return Splits([{"train": "*"}], "guess: there are no pictures to divide", True)
    images = _Images(layout)
    notes = []
    lists = _lists(root, top, images, notes)
    if len(lists) > 1:
        keys = sorted(set().union(*(listed for listed, _ in lists.values())))
        chosen: dict[str, Value] = {split: path for split, (_, path) in lists.items()}
        return Splits([chosen], "by lists", keys=keys, notes=notes)
    if (table := _table(root, top, images)) is not None:
        return Splits([table[0]], "by a table", keys=table[1], notes=notes)
    shares: list[dict[str, Value]] = [{"train": share, "test": "*"} for share in ("80%", "50%")]
    if len(layout.keys) > 1:
        return Splits(
            [*shares, {"train": "*"}], "guess: a random share, the same every time", True, notes=notes
        )
    return Splits([{"train": "*"}], "there is one image", notes=notes)


class _Images:
    """The images of a layout, by all that lists may call them."""

    def __init__(self, layout: Layout) -> None:
        self.keys = set(layout.keys)
        self._known: dict[str, Key] = {}
        for key in layout.keys:
            self._known["/".join(key)] = key
            for family in filter(None, (layout.first, layout.labels)):
                for path in _files(family, key, layout):
                    self._known.setdefault(composed(path), key)
                    self._known.setdefault(composed(PurePosixPath(path).name), key)

    def find(self, names: Sequence[str]) -> list[Key]:
        """Returns the images of those names that are known."""
        return [self._known[name] for name in map(composed, names) if name in self._known]


def _files(family: Family, key: Key, layout: Layout) -> Sequence[str]:
    assert layout.first is not None
    values = dict(zip(layout.first.parts, key, strict=True))
    return family.files.get(tuple(values[part] for part in family.parts), ())


def _paths(folder: Folder, suffix: str, before: str = "") -> Iterator[str]:
    yield from (before + name for name in folder.files if name.lower().endswith(suffix))
    for name, inner in folder.folders.items():
        yield from _paths(inner, suffix, f"{before}{name}/")


def _lists(root: Path, top: Folder, images: _Images, notes: list[str]) -> dict[str, tuple[set[Key], str]]:
    """Returns the list of each split; of several, the one with most images."""
    found: dict[str, tuple[set[Key], str]] = {}
    for path in sorted(_paths(top, ".txt"), key=lambda path: (path.count("/"), path)):
        match = split_word(PurePosixPath(path).stem)
        if match is None or set(path) & set("*?") or (root / path).stat().st_size > _LARGEST:
            continue
        try:
            names = [name for name, _ in read_ids(root / path, path, where="")]
        except InputError:
            continue
        keys = images.find(names)
        if len(keys) < len(names) or len(set(keys)) < len(keys):
            if keys:
                what = (
                    "names an image twice"
                    if len(keys) == len(names)
                    else (
                        f"names {texts(len(names) - len(keys), 'image', 'images')} that "
                        f"{'is' if len(names) - len(keys) == 1 else 'are'} not there"
                    )
                )
                notes.append(f"{path} is not used: it {what}")
            continue
        split = split_name(match[0])
        if len(keys) > len(found.get(split, (set(), ""))[0]):
            found[split] = (set(keys), path)
    taken: set[Key] = set()
    result: dict[str, tuple[set[Key], str]] = {}
    for split in (name for name in SPLIT_NAMES if name in found):
        listed, path = found[split]
        if listed & taken:
            notes.append(f"{path} is not used: its images stand in another list, too")
        else:
            result[split] = listed, path
            taken |= listed
    return result


def _table(root: Path, top: Folder, images: _Images) -> tuple[dict[str, Value], list[Key]] | None:
    """Returns the splits of the first table with a column of splits and one of images, and these images."""
    for path in sorted(_paths(top, ".csv"), key=lambda path: (path.count("/"), path)):
        if (root / path).stat().st_size > _LARGEST:
            continue
        try:
            (_, head), *rows = table_rows(root / path, path, "")
        except (InputError, ValueError):
            continue
        whole = [row for _, row in rows if len(row) >= len(head)]
        columns = {name: [row[k].replace("\\", "/") for row in whole] for k, name in enumerate(head) if name}
        if len(columns) < 2 or len(whole) < len(rows) or len(set(head)) < len(head):
            continue
        for names, listed in columns.items():
            if whole and len(set(images.find(listed))) == len(whole):
                for column, values in columns.items():
                    if column != names and (found := _column(values)):
                        chosen: dict[str, Value] = {
                            split: {"file": path, "names": names, "column": column, "value": words}
                            for split, words in found.items()
                        }
                        return chosen, images.find(listed)
    return None


def _column(values: Sequence[str]) -> Mapping[str, list[str]]:
    """Returns the values of a column by the splits that they mean; none if it has other values."""
    found: dict[str, list[str]] = {}
    for value in sorted(set(values)):
        if value.lower() not in SPLITS:
            return {}
        found.setdefault(split_name(value), []).append(value)
    return {split: found[split] for split in SPLIT_NAMES if split in found} if len(found) > 1 else {}
