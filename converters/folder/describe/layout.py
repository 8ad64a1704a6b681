"""Finds out which families of files are streams, RGB pictures and labels of the same images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aims.core.errors import AimsError
from aims.core.schema import RESERVED_COLUMNS, SampleError

from ...reading.coco import read_annotations
from .content import Content, is_lossy, read_content, with_channels_first
from .families import PICTURES, Family, Key
from .guesses import Guess, guess_maps
from .listing import literal
from .outlines import guess_objects, object_kind
from .pairing import HALF, align, named_as, project
from .text import texts
from .words import (
    CLASS_WORDS,
    OBJECT_WORDS,
    RGB_WORDS,
    SPLIT_NAMES,
    SPLIT_PARTS,
    names_labels,
    names_role,
    split_name,
    words,
)

# Families that are read; a folder may hold any number of single files.
_MOST_FAMILIES = 40


@dataclass
class Layout:
    """What the families of a folder are.

    Attributes:
        first: the family whose names are those of the images.
        streams: the content of each stream by name.
        rgb: RGB pictures beside the streams, or alone.
        labels: the label files, as patterns of the images name them.
        variable: the array in the label files.
        guess: what the labels are.
        splits: the splits with labels, by what stands in the names of folders for them.
        fixed: the part for the split and its value, if only one split has labels.
        keys: the images of these splits.
        labelled: those of them that have labels.
        notes: what was left out, and why.
        coco: files of annotations in COCO's form.
    """

    first: Family | None = None
    streams: dict[str, Content] = field(default_factory=dict)
    rgb: Content | None = None
    labels: Family | None = None
    variable: str | None = None
    guess: Guess | None = None
    splits: dict[str, str] = field(default_factory=dict)
    fixed: tuple[str, str] | None = None
    keys: Sequence[Key] = ()
    labelled: Collection[Key] = ()
    notes: list[str] = field(default_factory=list)
    coco: list[str] = field(default_factory=list)


def find_layout(root: Path, families: Sequence[Family]) -> Layout:
    """Decides by names first, and by what a few files hold where names do not tell."""
    layout = Layout()
    known = sorted(families, key=lambda family: (-len(family.paths), family.text))
    if len(known) > _MOST_FAMILIES:
        layout.notes.append(
            f"{len(known) - _MOST_FAMILIES} further kinds of names were not looked at, such as "
            f"{known[_MOST_FAMILIES].text}"
        )
    known = known[:_MOST_FAMILIES]
    layout.coco = [path for family in known if family.suffix == ".json" for path in _coco(root, family)]
    objects = [family for family in known if family.suffix in (".json", ".txt")]
    contents = [
        content
        for family in known
        if family.suffix in PICTURES or family.suffix == ".*"
        for content in read_content(root, family)
    ]
    pictures, maps = _divide(contents)
    images = [content for content in pictures if content.is_stream or content.fits_rgb or content.sizes]
    for content in pictures:
        if content not in images:
            layout.notes.append(f"{content.family.text} is left out: {content.problem}")
    labels = [*(content.family for content in maps), *objects]
    if not images:
        layout.notes.append("no pictures beside the labels")
        _choose_labels(root, layout, maps, [], None)
        return layout
    ranked = sorted(images, key=lambda content: (len(content.family.files), content.is_stream), reverse=True)
    named = [(content.family, named_as(content.family, labels)) for content in ranked]
    # Those with labels, of recordings whose names differ from sensor to sensor.
    labelled = (pair for pair in named if any(align(family, pair[1])[1] for family in labels))
    first, layout.first = next(labelled, named[0])
    layout.keys = list(layout.first.files)
    size = next((content.sizes[0] for content in images if content.family is first and content.sizes), None)
    _choose_labels(root, layout, maps, objects, size)
    _choose_splits(layout)
    _choose_streams(root, layout, images, first)
    return layout


def _coco(root: Path, family: Family) -> Iterator[str]:
    # A set has a few of these files; the many of other tools are each of one image.
    for path in family.paths if len(family.paths) <= 8 else ():
        try:
            read_annotations(root / path)
        except AimsError:
            continue
        yield path


def _divide(contents: Sequence[Content]) -> tuple[list[Content], list[Content]]:
    """Divides pictures from label maps: by the last name on the path that says so, else by the values."""
    pictures: list[Content] = []
    maps: list[Content] = []
    unsure: list[Content] = []
    for content in contents:
        family = content.family
        names = [*family.folder.split("/"), family.stem, content.variable or ""]
        told = next((name for name in reversed(names) if names_role(name)), None)
        if told is not None and names_labels(told):
            maps.append(content)
        elif content.looks_labelled and not is_lossy(family):
            unsure.append(content)
        else:
            pictures.append(content)
    # A folder may hold nothing but flat pictures.
    return (pictures, [*maps, *unsure]) if pictures else (unsure, maps)


def _choose_labels(
    root: Path,
    layout: Layout,
    maps: Sequence[Content],
    objects: Sequence[Family],
    size: tuple[int, int] | None,
) -> None:
    """Takes the labels of most images that tell most apart; those of annotation tools come first."""
    found: list[tuple[tuple[bool, float, bool, int], Family, str | None, Guess]] = []
    for family in objects:
        aligned, share = align(family, layout.first) if layout.first else (family, 0.0)
        kind = object_kind(root, aligned, size) if share else None
        if kind is not None:
            guess = guess_objects(root, aligned, kind)
            found.append(((True, round(share, 1), False, guess.amount), aligned, None, guess))
    aligned_maps = []
    for content in maps:
        own = content.family
        aligned, share = align(own, layout.first) if layout.first else (own, 1.0)
        if not share or is_lossy(aligned):
            why = "JPEG changes values" if share else "no picture has a name like these"
            layout.notes.append(f"labels {content.family.text} are left out: {why}")
            continue
        aligned_maps.append((content, aligned, share))
    for content, aligned, share in aligned_maps:
        try:
            guess = guess_maps(
                root, aligned, content.variable, _classes_beside(content, aligned, aligned_maps)
            )
        except SampleError as error:
            layout.notes.append(f"labels {aligned.text} are left out: {error}")
            continue
        rank = (False, round(share, 1), "class_files" in guess.keys, guess.amount)
        found.append((rank, aligned, content.variable, guess))
    found.sort(key=lambda item: item[0], reverse=True)
    if not found:
        return
    _, layout.labels, layout.variable, layout.guess = found[0]
    used = layout.guess.keys.get("class_files")
    for _, family, variable, guess in found[1:]:
        if family.text != used:
            name = f"{family.text}{f' ({variable})' * bool(variable)}"
            layout.notes.append(f"other labels are not used: {name} ({guess.summary})")


def _classes_beside(
    content: Content, aligned: Family, maps: Sequence[tuple[Content, Family, float]]
) -> Family | None:
    """Returns the maps of classes that go with maps of objects; both are known by their names alone."""
    if content.variable is not None or not set(words(aligned.text)) & OBJECT_WORDS:
        return None
    for other, family, _ in maps:
        named = set(words(family.text))
        if other.variable is None and named & CLASS_WORDS and not named & OBJECT_WORDS:
            one_each = all(len(paths) == 1 for paths in (*aligned.files.values(), *family.files.values()))
            if one_each:
                return family
    return None


def _choose_splits(layout: Layout) -> None:
    """Takes the splits that folders name; one without labels is left out if another has them."""
    first = layout.first
    assert first is not None
    files = layout.labels.files if layout.labels else {}
    labels = layout.labels

    def is_labelled(key: Key) -> bool:
        return labels is not None and project(key, first, labels) in files

    part = next((name for name in SPLIT_PARTS if name in first.parts), None)
    if part is not None:
        place = first.parts.index(part)
        by_name: dict[str, list[Key]] = {}
        for key in first.files:
            by_name.setdefault(key[place], []).append(key)
        shares = {name: sum(map(is_labelled, keys)) / len(keys) for name, keys in by_name.items()}
        kept = [name for name in shares if shares[name] >= HALF] or list(shares)
        for name in shares:
            if name not in kept:
                count = texts(len(by_name[name]), "picture", "pictures")
                layout.notes.append(f"{name!r} is in no split: {count} without labels")
        kept.sort(key=lambda name: (SPLIT_NAMES.index(split_name(name)), name))
        for name in kept:
            layout.splits[name] = split_name(name)
        layout.keys = [key for name in kept for key in by_name[name]]
        if len(kept) == 1:
            _fix_split(layout, part, kept[0])
    keep_images(layout, layout.keys)


def _fix_split(layout: Layout, part: str, name: str) -> None:
    """Writes the name of the only split into the patterns, so that its images can be divided."""
    assert layout.first is not None
    layout.fixed = (part, name)
    layout.first = layout.first.fixed(part, name)
    layout.keys = list(layout.first.files)
    if layout.labels is not None and layout.guess is not None:
        layout.labels = layout.labels.fixed(part, name)
        if "class_files" in layout.guess.keys:
            text = str(layout.guess.keys["class_files"])
            layout.guess.keys["class_files"] = text.replace(f"{{{part}}}", literal(name))


def keep_images(layout: Layout, keys: Sequence[Key]) -> None:
    """Keeps these images alone, and counts those of them that have labels."""
    layout.keys, labels = keys, layout.labels
    if labels is not None and layout.first is not None:
        layout.labelled = [key for key in keys if project(key, layout.first, labels) in labels.files]


def _choose_streams(root: Path, layout: Layout, images: Sequence[Content], first: Family) -> None:
    """Takes what every image has as a stream; colours are RGB pictures if their name or another stream is."""
    assert layout.first is not None
    chosen: list[Content] = []
    for content in sorted(images, key=lambda content: content.family is not first):
        own = content.family.fixed(*layout.fixed) if layout.fixed else content.family
        family, share = (layout.first, 1.0) if content.family is first else align(own, layout.first)
        has = sum(project(key, layout.first, family) in family.files for key in layout.keys) if share else 0
        single = all(len(paths) == 1 for paths in family.files.values())
        if has < len(layout.keys) or not single:
            layout.notes.append(
                f"{content.family.text} is left out: {texts(has, 'image', 'images')} of "
                f"{len(layout.keys):,} {'have' if has != 1 else 'has'} such a file"
                if single
                else f"{content.family.text} is left out: several files an image"
            )
        else:
            chosen.append(_with_axes(root, replace(content, family=family), layout))
    layout.rgb = _rgb(chosen)
    for content in chosen:
        if content is not layout.rgb:
            if content.is_stream:
                layout.streams[_stream_name(content, layout.streams)] = content
            else:
                layout.notes.append(f"{content.family.text} is left out: {content.problem}")
    # The names of the first stream are those of the images.
    full = {name: each for name, each in layout.streams.items() if each.family.parts == layout.first.parts}
    layout.streams = {**full, **{k: v for k, v in layout.streams.items() if k not in full}}


def _rgb(chosen: Sequence[Content]) -> Content | None:
    """Returns the RGB pictures: the colours whose name says so, or the only ones beside other streams."""

    def named(content: Content) -> int:
        found = words(_name_of(content.family))
        return 2 * ("rgb" in found) + bool(set(found) & RGB_WORDS)

    coloured = sorted((content for content in chosen if content.is_colour), key=named, reverse=True)
    if not coloured:
        return None
    first = coloured[0]
    if len(chosen) == 1:
        return first if named(first) > 1 or not first.is_stream else None
    return first if named(first) or len(coloured) == 1 else None


def _with_axes(root: Path, content: Content, layout: Layout) -> Content:
    """Reads arrays again with their channels first if that is how they fit the labels."""
    size = layout.guess.size if layout.guess else None
    fits = len(content.shape) == 3 and size not in (None, content.shape[:2]) and content.shape[1:] == size
    return with_channels_first(root, content) if fits and not content.channels_first else content


def _name_of(family: Family) -> str:
    """Returns the part of a pattern that says what the files hold."""
    names = [*family.folder.split("/"), family.stem]
    plain = [name.replace("{split}", "").replace("{subset}", "") for name in names]
    plain = ["".join(piece for piece in name.split("{id}")) for name in plain]
    told = [name for name in plain if names_role(name)]
    fixed = [name for name in plain if name and "{" not in name and "*" not in name]
    return (told or fixed or [""])[-1]


def _stream_name(content: Content, taken: Mapping[str, Content]) -> str:
    """Returns a name of a stream for what the files are called."""
    text = content.variable or _name_of(content.family)
    name = "_".join(
        "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in text).split()
    )
    name = name.lower().lstrip("0123456789_")
    told = [word for word in words(text) if word not in RGB_WORDS]
    if not content.variable and (
        max(map(len, told), default=0) < 2 or (len(told) > 1 and not names_role(text))
    ):
        name = "image"
    if name in RESERVED_COLUMNS:
        name = f"{name}_stream"
    numbers = (f"{name}_{k}" for k in range(2, len(taken) + 3))
    return name if name not in taken else next(each for each in numbers if each not in taken)
