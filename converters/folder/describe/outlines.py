"""Recognizes files that outline the objects of one image, and lists the labels in them."""

from __future__ import annotations

from pathlib import Path

from aims.core.errors import AimsError

from ...reading.masks import MaskError, Size
from ...reading.objects import ObjectFile
from ..objects import OBJECT_FORMATS, ObjectFormat
from .content import spread
from .families import Family
from .guesses import Guess, class_names
from .text import texts

_TRIED = 12  # files
#: Files whose labels are listed: a label in none of them ends a conversion, with the file and the label.
_READ = 1000


def object_kind(root: Path, family: Family, size: Size | None) -> str | None:
    """Returns the `kind` whose reader understands the files of a family; None if none does."""
    for kind, form in OBJECT_FORMATS.items():
        if form.suffix == family.suffix:
            files = [_read_objects(form, root / path) for path in spread(family.paths, _TRIED)]
            known = [file for file in files if file is not None]
            drawn = any(_can_draw(file, size or (1000, 1000)) for file in known)
            if 2 * len(known) > len(files) and drawn:
                return kind
    return None


def _read_objects(form: ObjectFormat, path: Path) -> ObjectFile | None:
    try:
        return form.read(path)
    except AimsError:
        return None


def _can_draw(file: ObjectFile, size: Size) -> bool:
    for entry in file.objects:
        try:
            for part in entry.parts:
                part(file.size or size)
        except MaskError:
            continue
        return True
    return False


def guess_objects(root: Path, family: Family, kind: str) -> Guess:
    """Lists the labels in files that outline objects; those of YOLO are numbers, from 0."""
    form = OBJECT_FORMATS[kind]
    files = [_read_objects(form, root / path) for path in spread(family.paths, _READ)]
    labels = {entry.label for file in files if file is not None for entry in file.objects}
    guess = Guess(f"outlines of objects ({kind})", {"kind": kind})
    guess.unread = len(family.paths) - len(files)
    guess.size = next((file.size for file in files if file is not None and file.size), None)
    if form.label is int:
        named = _listed_classes(root)
        highest = max((label for label in labels if isinstance(label, int)), default=0)
        guess.classes = named if len(named) > highest else class_names(highest + 1)
    else:
        found = sorted(str(label) for label in labels if label not in form.void and label != "")
        guess.classes = tuple(found) or ("class_1",)
        if "" in labels:
            guess.keys["void"] = [""]
    guess.amount = len(guess.classes)
    guess.summary += f", {texts(len(guess.classes), 'class', 'classes')}"
    return guess


def _listed_classes(root: Path) -> tuple[str, ...]:
    """Returns the names in a list of classes as YOLO's tools write them, if there is one."""
    for name in ("classes.txt", "obj.names", "labels/classes.txt"):
        try:
            lines = (root / name).read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError):
            continue
        names = tuple(line.strip() for line in lines if line.strip())
        if len(set(names)) == len(names):
            return names
    return ()
