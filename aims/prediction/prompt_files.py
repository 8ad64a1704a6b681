"""Prompts of many pictures from one CSV or JSON file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from aims.core.errors import InputError
from aims.core.names import composed
from aims.core.structs import convert_struct, decode_json
from aims.prediction.inputs import Recording
from aims.prediction.instances import Instances, merge
from aims.prediction.model import Embedding, Model

_IMAGE = ("image", "file", "image_id")
_CLICK = ("x", "y")
_BOX = ("left", "top", "right", "bottom")


class Prompt(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The prompts of one object, in pixels of the picture.

    Attributes:
        points: clicks (x, y).
        labels: 1 for a click on the object, 0 for one beside it; by default 1.
        box: left, top, right, bottom; None for none.
    """

    points: list[tuple[float, float]] = []
    labels: list[int] = []
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if not self.points and self.box is None:
            raise ValueError("an object without points and without a box")
        if self.labels and len(self.labels) != len(self.points):
            raise ValueError(f"{len(self.labels)} labels for {len(self.points)} points")
        if not set(self.labels) <= {0, 1}:
            raise ValueError("labels are 1 or 0")


class _File(msgspec.Struct):
    pictures: dict[str, list[Prompt]]


@dataclass(frozen=True)
class PromptFile:
    """Prompts by picture, as a file names it: its path or name, with or without folders and suffix.

    Attributes:
        path: the file.
        pictures: the objects of every picture.
    """

    path: Path
    pictures: Mapping[str, Sequence[Prompt]]

    @classmethod
    def read(cls, path: Path) -> PromptFile:
        """Reads prompts.

        A CSV has the columns `image`, `x`, `y` and optionally `label`, or `left`, `top`, `right`, `bottom`,
        and optionally `object`: rows of one picture with the same object are prompts of one object, rows
        without are one each. JSON maps pictures to lists of objects, {"points": [[x, y], ...], "labels":
        [1, 0, ...], "box": [left, top, right, bottom]}.

        Raises:
            InputError: the file is missing, of another kind, or holds something else.
        """
        if not path.is_file():
            raise InputError(f"{path}: no such file of prompts")
        if path.suffix.lower() == ".json":
            content = decode_json(path.read_bytes(), where=str(path))
            found = convert_struct({"pictures": content}, _File, where=f"{path}: no prompts").pictures
        elif path.suffix.lower() == ".csv":
            try:
                found = _read_csv(path)
            except (UnicodeDecodeError, csv.Error) as error:
                raise InputError(f"{path}: not readable as CSV in UTF-8 ({error})") from None
        else:
            raise InputError(f"{path}: prompts are read from .csv and .json")
        if not any(found.values()):
            raise InputError(f"{path}: holds no prompt")
        return cls(path, found)

    def of(self, name: str, file: str) -> Sequence[Prompt]:
        """Returns the prompts of a picture by its name in the output or its file; empty if there are none."""
        path = Path(file)
        names = set(map(composed, (name, file, path.name, path.stem)))
        return [
            prompt
            for key, prompts in self.pictures.items()
            # Windows writes backslashes between folders.
            if not names.isdisjoint(map(composed, (key, key.replace("\\", "/"))))
            for prompt in prompts
        ]


def answer(model: Model, recording: Recording | Embedding, prompts: Sequence[Prompt]) -> Instances:
    """Predicts one object for every prompt, in their order."""
    embedding = recording if isinstance(recording, Embedding) else model.embed(recording)
    # Padding is a prompt of its own to SAM: an object's answer must not depend on the clicks of others.
    kinds: dict[tuple[int, bool], list[int]] = {}
    for k, prompt in enumerate(prompts):
        kinds.setdefault((len(prompt.points), prompt.box is not None), []).append(k)
    found: dict[int, Instances] = {}
    for places in kinds.values():
        answers = _ask(embedding, [prompts[k] for k in places])
        found |= {place: answers.chosen(np.array([k])) for k, place in enumerate(places)}
    return merge([found[k] for k in sorted(found)], embedding.size)


def _ask(embedding: Embedding, prompts: Sequence[Prompt]) -> Instances:
    """Answers prompts that all have the same number of points, and all a box or none."""
    points = labels = boxes = None
    if prompts[0].points:
        points = np.array([prompt.points for prompt in prompts])
        labels = np.array([prompt.labels or [1] * len(prompt.points) for prompt in prompts])
    if prompts[0].box is not None:
        boxes = np.array([prompt.box for prompt in prompts], np.float64)
    return embedding.predict(points, labels, boxes).instances()


def _read_csv(path: Path) -> dict[str, list[Prompt]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or []
        named = next((name for name in _IMAGE if name in columns), None)
        if named is None or not ({"x", "y"} <= set(columns) or set(_BOX) <= set(columns)):
            raise InputError(
                f"{path}: has the columns {', '.join(columns) or 'none'}; needs image, and x, y (and label) "
                f"or {', '.join(_BOX)}"
            )
        objects: dict[str, dict[Any, dict[str, Any]]] = {}
        for number, row in enumerate(rows, start=2):
            if not row[named]:
                raise InputError(f"{path}, line {number}: names no picture")
            if None in row:
                # Such as 60,5 for 60.5: every value behind it would be read as another column's.
                raise InputError(f"{path}, line {number}: has more values than there are columns")
            key = row.get("object") or ("row", number)
            prompt = objects.setdefault(row[named], {}).setdefault(
                key, {"points": [], "labels": [], "box": None}
            )
            try:
                click, box = (_numbers_of(row, names) for names in (_CLICK, _BOX))
                if click is None and box is None:
                    raise ValueError("an object without points and without a box")
                if click is not None:
                    prompt["points"].append(click)
                    # pandas writes 1.0 where another row of the column is empty.
                    label = float(row.get("label") or 1)
                    prompt["labels"].append(int(label) if label.is_integer() else label)
                if box is not None:
                    if prompt["box"] is not None:
                        raise ValueError(f"object {key!r} has a box already")
                    prompt["box"] = box
                Prompt(**prompt)
            except (TypeError, ValueError) as error:
                raise InputError(f"{path}, line {number}: {error}") from None
    return {image: [Prompt(**prompt) for prompt in found.values()] for image, found in objects.items()}


def _numbers_of(row: Mapping[str, Any], names: Sequence[str]) -> tuple[float, ...] | None:
    """Returns the numbers in some columns of a row; None if all are empty.

    Raises:
        ValueError: one is empty or no number.
    """
    values = [row.get(name) for name in names]
    if not any(values):
        return None
    if empty := [name for name, value in zip(names, values, strict=True) if not value]:
        raise ValueError(f"{', '.join(empty)} missing; give {', '.join(names)} or none of them")
    return tuple(float(value) for value in values if value)
