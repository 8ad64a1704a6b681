"""Writes the description of a layout as TOML with comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aims.data.meters import show_number

from .content import Content
from .guesses import Guess
from .layout import Layout
from .lists import Splits
from .text import Value, comment, entry, texts
from .words import SPLIT_PARTS

_NO_LABELS = """\
# No labels were found, and without them nothing can be converted. For a map beside each picture, write:
# [labels]
# files = "labels/{id}.png"
# kind = "semantic"                         # or "instance", "masks", "labelme", "yolo", "supervisely"
# values = { class_1 = 1 }"""


@dataclass
class Page:
    """The lines of a description, and what of it goes to the console.

    Attributes:
        tables: the text of each table.
        found: part of the description, files, and what they are.
        guesses: what the folder does not say.
        unknown: what only its owner can say.
    """

    tables: list[str] = field(default_factory=list)
    found: list[tuple[str, str, str]] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, head: str, lines: Sequence[str]) -> None:
        """Adds a table."""
        self.tables.append("\n".join([f"[{head}]" if head else "", *lines]).lstrip("\n"))


def write_page(layout: Layout, splits: Splits, chosen: Mapping[str, Value], name: str) -> Page:
    """Writes all tables but the comments at the top.

    Args:
        layout: what the families of files are.
        splits: where the splits come from.
        chosen: the table `[splits]`.
        name: name of the dataset.
    """
    page = Page()
    page.add("", _head(layout, name))
    _add_splits(page, splits, chosen, layout)
    for stream, content in layout.streams.items():
        _add_stream(page, stream, content)
    if layout.rgb is not None:
        page.add("rgb", [comment(_describe(layout.rgb)), entry("files", layout.rgb.family.text)])
        page.found.append(("rgb", _files(layout.rgb), _describe(layout.rgb)))
    _add_labels(page, layout)
    if layout.guess is None or layout.guess.classes[0] == "class_1":
        page.unknown.append("the names of the classes, which are called class_1 and so on")
    page.unknown.insert(0, "the licence ('license') and whom to cite ('citation', 'url')")
    if "scene" not in (layout.first.parts if layout.first else ()):
        page.unknown.append("which pictures show one scene ('group'): each is taken for a scene of its own")
    page.unknown += [*layout.notes, *splits.notes]
    return page


def _head(layout: Layout, name: str) -> list[str]:
    parts = layout.first.parts if layout.first else ("id",)
    classes = layout.guess.classes if layout.guess else ("class_1",)
    lines = [
        entry("name", name),
        entry("license", "unknown", "the files do not say"),
        entry("classes", classes),
    ]
    names = "/".join(f"{{{part}}}" for part in parts if part != "split")
    ids = [tuple(v for p, v in zip(parts, key, strict=True) if p != "split") for key in layout.keys]
    if len(set(ids)) < len(ids):
        lines.append(entry("image_id", f"{{split}}/{names}", "one name stands in several splits"))
    elif names != "{id}":
        lines.append(entry("image_id", names))
    scenes = [part for part in parts if part not in (*SPLIT_PARTS, "id")]
    if scenes:
        lines.append(entry("group", "/".join(f"{{{part}}}" for part in scenes), "guess: a folder is a scene"))
    return lines


def _add_splits(page: Page, splits: Splits, chosen: Mapping[str, Value], layout: Layout) -> None:
    lines = [comment(splits.why), *(entry(split, value) for split, value in chosen.items())]
    if any(str(value).endswith("%") for value in chosen.values()):
        lines.append(entry("seed", 0))
    page.add("splits", lines)
    images = texts(len(layout.keys), "image", "images")
    page.found.append(("splits", ", ".join(chosen), f"{images}, {splits.why.removeprefix('guess: ')}"))
    if splits.is_guess:
        page.guesses.append(f"splits: {splits.why.removeprefix('guess: ')}")


def _add_stream(page: Page, stream: str, content: Content) -> None:
    whole = content.dtype.startswith(("uint", "int", "bool"))
    unit = "digital number" if whole else "unknown"
    lines = [comment(_describe(content)), *map(comment, content.remarks), entry("files", content.family.text)]
    if content.variable is not None:
        lines.append(entry("variable", content.variable))
    if content.channels_first and content.channels > 1:
        lines.append(
            entry("channel_axis", "first", f"guess: arrays are {' x '.join(map(str, content.shape))}")
        )
        page.guesses.append(f"{stream}: the channels come first in its arrays")
    lines.append(entry("unit", unit, "guess: what the numbers measure is not known"))
    for stray in content.strays:
        value = int(stray.value) if whole else stray.value
        why = f"{value:g} occurs {stray.count:,} times, and no other value is nearer than"
        why = f"{why} {show_number(stray.nearest)}: if it is no measurement, write"
        lines += [comment(why), f"# missing = {value}"]
        page.unknown.append(f"{stream}: {why} missing = {value}")
    page.unknown.append(f"{stream}: the unit of its numbers, their range, and the wavelengths")
    if content.differing:
        page.unknown.append(f"{stream}: {content.differing}")
    page.add(f"streams.{stream}", lines)
    page.found.append((stream, _files(content), _describe(content)))


def _describe(content: Content) -> str:
    if not content.is_stream:
        why = "" if content.family.suffix == ".webp" else f": {content.problem}"
        return f"{_sizes(content)} pictures, kept as they are{why}"
    count = len(content.family.paths)
    of = f"{content.read:,} of {count:,}" if content.read < count else "all"
    low, high = ("nothing" if value is None else show_number(value) for value in (content.low, content.high))
    declared = "" if content.missing is None else f", {content.missing:g} = missing (the files say so)"
    channels = texts(content.channels, "channel", "channels")
    return f"{content.dtype}, {channels}, {_sizes(content)}, values {low} to {high}{declared} ({of} read)"


def _sizes(content: Content) -> str:
    first, *others = [f"{height} x {width}" for height, width in content.sizes] or ["unknown size"]
    return f"{first} and {texts(len(others), 'other size', 'other sizes')}" if others else first


def _files(content: Content) -> str:
    variable = f" ({content.variable})" if content.variable is not None else ""
    return f"{content.family.text}{variable}"


def _add_labels(page: Page, layout: Layout) -> None:
    guess = layout.guess
    if guess is None or layout.labels is None:
        page.tables.append(_NO_LABELS)
        page.found.append(("labels", "-", "none found"))
        return
    lines = [comment(f"{guess.summary}; {_read(guess, layout)}"), entry("files", layout.labels.text)]
    if layout.variable is not None:
        lines.append(entry("variable", layout.variable))
    lines += [entry(key, value, guess.why.get(key, "")) for key, value in guess.keys.items()]
    page.add("labels", lines)
    page.found.append(("labels", layout.labels.text, guess.summary))
    page.guesses += [f"labels, {key}: {why.removeprefix('guess: ')}" for key, why in guess.why.items()]
    page.unknown += [f"labels: {note}" for note in guess.notes]
    if "*" in layout.labels.folder:
        page.unknown.append(f"labels: whether the folders of {layout.labels.folder} are classes")
    if guess.unread:
        page.unknown.append(
            f"labels: {guess.unread:,} files were not read; a value that stands there alone ends a conversion"
        )
    if lacking := len(layout.keys) - len(layout.labelled):
        has = texts(lacking, "picture has", "pictures have")
        page.unknown.append(f"labels: {has} none")


def _read(guess: Guess, layout: Layout) -> str:
    count = len(layout.labels.paths) if layout.labels else 0
    return f"{count - guess.unread:,} of {texts(count, 'file', 'files')} read"


def name_of(folder: str) -> str:
    """Returns a name of a dataset for the name of a folder."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.lower())
    return "-".join(piece for piece in kept.split("-") if piece) or "my-data"
