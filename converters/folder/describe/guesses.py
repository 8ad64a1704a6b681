"""Guesses what the numbers or colours of label files mean."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from skimage.measure import label as label_regions

from aims.core.schema import SampleError

from ...reading.label_maps import colour_codes, is_coloured, numbers
from ...reading.masks import Size
from .content import load_label, spread
from .families import Family
from .text import Value, texts
from .words import CLASS_WORDS, OBJECT_WORDS, words

#: Label files that are read: a value in none of them ends a conversion, with the file and the value.
LABEL_SAMPLES = 200
_MOST_BYTES = 1 << 30  # after which no further file is read
_COMPARED = 12  # files whose regions are counted
_DIVISOR, _VOID = 1000, 255
_MOST_COLOURS = 64
_TORN = 1.1  # regions of an instance, on average
_OBJECT = 9  # pixels
_SOFT = 32  # values between the two of a mask, from which on they are its soft edge
_SOFT_SHARE = 0.05


@dataclass
class Guess:
    """The keys of `[labels]` and the classes that label files seem to have.

    Attributes:
        summary: a few words for the console.
        keys: the keys, each with its value.
        why: by key, why it was guessed.
        classes: names of the classes.
        notes: what is unsure.
        unread: number of files that were not read.
        amount: how much the files tell apart; of two families the one with more is taken.
        size: (height, width) of the first file.
    """

    summary: str
    keys: dict[str, Value] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ("class_1",)
    notes: list[str] = field(default_factory=list)
    unread: int = 0
    amount: int = 1
    size: Size | None = None


@dataclass
class _Maps:
    """Statistics of label maps.

    Attributes:
        counts: number of pixels of each value or colour.
        coloured: whether they are colours.
        sets: the values above 0 in each file.
        read: number of files that were read.
        whole: of the values above 0 in some files, how many, and how many regions they form.
        size: (height, width) of the first file.
    """

    counts: Counter[int] = field(default_factory=Counter)
    coloured: bool = False
    sets: list[frozenset[int]] = field(default_factory=list)
    read: int = 0
    whole: tuple[int, int] = (0, 0)
    size: Size | None = None


def guess_maps(root: Path, family: Family, variable: str | None, classes: Family | None = None) -> Guess:
    """Guesses what label maps hold.

    Args:
        root: the raw folder.
        family: the files.
        variable: the array in npz, mat and HDF5 files.
        classes: maps of the classes, if the files tell the objects apart.

    Raises:
        SampleError: the files cannot be read as labels.
    """
    several = any(len(paths) > 1 for paths in family.files.values())
    maps = _read_maps(root, classes or family, variable)
    name = family.stem if family.stem not in ("{id}", "*") else family.folder
    if classes is not None:
        guess = _semantic(maps)
        guess.summary = f"pairs of maps: objects, and {guess.summary}"
        guess.keys = {"kind": "instance", "class_files": classes.text, **_without_kind(guess.keys)}
        guess.why.pop("kind", None)
        guess.why["class_files"] = "guess: by its name"
    elif several:
        guess = _masks(maps)
    elif (codes := _coded(maps)) is not None:
        guess = codes
    elif _are_instances(maps, words(name)):
        drawn = "colour" if maps.coloured else "number"
        guess = Guess(f"one {drawn} an instance", {"kind": "instance"}, amount=len(maps.counts))
        guess.why["kind"] = f'guess: equal {drawn}s are mostly one region; else "semantic"'
        guess.notes.append("the classes of the instances, which are described as one")
    else:
        guess = _semantic(maps)
    guess.size = maps.size
    guess.unread = len((classes or family).paths) - maps.read
    return guess


def _without_kind(keys: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in keys.items() if key != "kind"}


def _read_maps(root: Path, family: Family, variable: str | None, *, coloured: bool = False) -> _Maps:
    paths = spread(family.paths, LABEL_SAMPLES)
    compared = set(spread(paths, _COMPARED))
    maps, problem, size = _Maps(coloured=coloured), None, 0
    for path in paths:
        if size > _MOST_BYTES:
            break
        maps.read += 1
        try:
            picture = load_label(root, path, variable)
            if is_coloured(picture) and not coloured:
                return _read_maps(root, family, variable, coloured=True)
            values = (colour_codes if coloured else numbers)(root / path, picture)
        except SampleError as error:
            problem = problem or error
            continue
        size += picture.array.nbytes
        maps.size = maps.size or (values.shape[0], values.shape[1])
        found, counts = np.unique(values, return_counts=True)
        maps.counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        maps.sets.append(frozenset(number for number in found.tolist() if number > 0))
        if path in compared and maps.sets[-1]:
            count = int(label_regions(np.maximum(values.astype(np.int64), 0), connectivity=2).max())  # type: ignore[no-untyped-call]
            maps.whole = maps.whole[0] + len(maps.sets[-1]), maps.whole[1] + count
    if not maps.sets:
        raise problem or SampleError(f"{family.text}: no label file can be read")
    return maps


def _are_instances(maps: _Maps, named: Sequence[str]) -> bool:
    """Returns whether equal numbers are one object, from 1 on, and not one class."""
    if set(named) & CLASS_WORDS:
        return False
    most = max(map(len, maps.sets))
    values, regions = maps.whole
    if maps.coloured:
        told = len(maps.counts) > _MOST_COLOURS or bool(set(named) & OBJECT_WORDS)
        # In a photograph most colours are those of few pixels.
        areas = [count for code, count in maps.counts.items() if code]
        return told and regions <= _TORN * values and bool(np.median(areas) >= _OBJECT)
    if most > 1 and set(named) & OBJECT_WORDS:
        return True
    files, sizes = len(maps.sets), {len(found) for found in maps.sets}
    gapless = all(max(found, default=0) == len(found) for found in maps.sets)
    if files == 1:
        least = 9
    elif len(sizes) == 1:  # classes are often the same in all files
        return False
    else:  # numbers from 1 on without a gap in each of several files are hardly classes
        least = 2 if gapless and files > 2 else 4
    return most >= least and max(maps.counts) <= 2 * most and regions <= _TORN * values


def _coded(maps: _Maps) -> Guess | None:
    """Guesses numbers of classes times 1000 plus those of instances, from 0 or 1 on in each class."""
    first: dict[int, int] = defaultdict(lambda: _DIVISOR)
    for number in maps.counts:
        if number >= _DIVISOR:
            first[number // _DIVISOR] = min(first[number // _DIVISOR], number % _DIVISOR)
    if maps.coloured or not first or max(first.values()) > 1 or len(maps.counts) > max(maps.counts) / 2:
        return None
    classes = class_names(len(first))
    guess = Guess(f"classes x {_DIVISOR} + instances, {len(first)} classes", classes=classes)
    values = dict(zip(classes, sorted(first), strict=True))
    guess.keys = {"kind": "instance", "label_divisor": _DIVISOR, "values": values}
    guess.why["label_divisor"] = "guess: numbers from 1000 on begin anew in each thousand"
    if below := sorted(number for number in maps.counts if 0 < number < _DIVISOR):
        guess.notes.append(f"numbers below {_DIVISOR}, taken for nothing: {_some(below)}")
    if negative := sorted(number for number in maps.counts if number < 0):
        guess.keys["void"] = negative
    guess.amount = len(maps.counts)
    return guess


def _semantic(maps: _Maps) -> Guess:
    """Guesses a class for every value or colour but 0, black, and what looks like a code of void."""
    found = sorted(value for value in maps.counts if value != 0)
    if maps.coloured:
        if len(found) > _MOST_COLOURS:
            raise SampleError(
                f"{len(found)} colours, too many for a palette, and no instances, as they form many regions "
                "each; save one number a class or an instance"
            )
        classes = class_names(len(found)) if found else ("class_1",)
        colours = [[code >> 16, code >> 8 & 255, code & 255] for code in found] or [[255, 255, 255]]
        guess = Guess(
            f"colours, {texts(len(classes), 'class', 'classes')}", classes=classes, amount=len(classes)
        )
        guess.keys = {"kind": "semantic", "palette": dict(zip(classes, colours, strict=True))}
        guess.notes.append("which colours mean nothing, beside black (add them to 'void')")
        return guess
    if soft := _soft_edges(maps, found):
        return soft
    void = [value for value in found if value < 0]
    if len(found) > 2 and found[-1] == _VOID and found[-2] <= _VOID // 2:
        void.append(_VOID)
    taken = [value for value in found if value not in void] or [1]
    classes = class_names(len(taken))
    guess = Guess(f"values, {texts(len(classes), 'class', 'classes')}", classes=classes)
    guess.keys = {"kind": "semantic", "values": dict(zip(classes, taken, strict=True))}
    if void:
        guess.keys["void"] = void
        guess.why["void"] = "guess: a value apart from the others"
    if len(taken) > 1:
        guess.why["kind"] = 'guess: equal numbers are several regions; else "instance", or "label_divisor"'
        guess.notes.append("which values mean nothing, beside 0 (add them to 'void')")
    guess.amount = len(classes)
    return guess


def _soft_edges(maps: _Maps, found: Sequence[int]) -> Guess | None:
    """Guesses a mask of one class with many rare values between 0 and the highest, due to smoothing."""
    if len(found) <= _SOFT or found[0] < 0 or found[-1] > _VOID or not maps.counts[0]:
        return None
    top = found[-1]
    between = sum(maps.counts.values()) - maps.counts[0] - maps.counts[top]
    if top <= _VOID // 2 or between > _SOFT_SHARE * sum(maps.counts.values()):
        return None
    half = top // 2 + 1
    guess = Guess("one class, with soft edges")
    guess.keys = {
        "kind": "semantic",
        "values": {"class_1": list(range(half, _VOID + 1))},
        "void": list(range(1, half)),
    }
    guess.why["values"] = "guess: values between are a soft edge, cut at the half"
    return guess


def _masks(maps: _Maps) -> Guess:
    """Guesses the class of masks of one object each."""
    guess = Guess("one mask an object", {"kind": "masks"}, amount=len(maps.sets))
    values = sorted(set().union(*maps.sets))
    if not maps.coloured and (soft := _soft_edges(maps, values)):
        guess.summary += ", with soft edges"
        guess.keys["void"] = soft.keys["void"]
        guess.why["void"] = soft.why["values"]
    elif not maps.coloured and 1 < len(values) <= _MOST_COLOURS and max(map(len, maps.sets)) == 1:
        guess.classes = class_names(len(values))
        guess.keys["values"] = dict(zip(guess.classes, values, strict=True))
        guess.why["values"] = "guess: each mask has one value, which is its class"
    return guess


def class_names(count: int) -> tuple[str, ...]:
    """Returns names for so many classes that have none."""
    return tuple(f"class_{k}" for k in range(1, count + 1))


def _some(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + ", ..." * (len(values) > 8)
