"""Reads the keys of the description that name images and scenes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aims.core.errors import InputError
from aims.reading.patterns import NameTemplate, Parts, Pattern, part_names

from ..reading.fields import Fields

_BY_SPLIT = "{split}/"


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How images and their groups are named.

    Attributes:
        names: the template of the names in a split.
        by_split: whether an image id begins with the split, so that one name may stand in several.
        group: makes the group from the parts of a name; or its first group matches the group in an image
            id; None if every image is its own group.
        where: the description, for messages.
    """

    names: NameTemplate
    by_split: bool
    group: NameTemplate | re.Pattern[str] | None
    where: str

    def image_id(self, split: str, name: str) -> str:
        """Returns the id of an image."""
        return f"{split}/{name}" if self.by_split else name

    def group_of(self, image_id: str, parts: Parts) -> str:
        """Returns the group of an image; raises InputError if the image id names none."""
        if self.group is None:
            return image_id
        if isinstance(self.group, NameTemplate):
            return self.group.fill(parts)
        match = self.group.search(image_id)
        if not match or not match[1]:
            raise InputError(
                f"{self.where}: 'group' finds no scene in image {image_id!r}; correct {self.group.pattern!r}"
            )
        return match[1]


def declared_parts(top: Fields) -> tuple[str, ...]:
    """Returns the parts of file names that tell images apart: "id", and what `group` and `image_id` name."""
    texts = (text for key in ("image_id", "group") if isinstance(text := top.values.get(key), str))
    names = dict.fromkeys(name for text in texts for name in part_names(text))
    return tuple(dict.fromkeys(["id", *(name for name in names if name != "split")]))


def read_naming(top: Fields, patterns: Sequence[Pattern]) -> Naming:
    """Reads `image_id` and `group`; without `image_id`, names are the parts of the first pattern."""
    first, parts = patterns[0], patterns[0].parts
    wanted = '"{id}", "{split}/{id}", or named parts such as "{scene}/{id}"'
    default = "/".join(f"{{{name}}}" for name in parts)
    text: str = top.take("image_id", wanted, _is_template) if "image_id" in top else default
    names = NameTemplate(text.removeprefix(_BY_SPLIT))
    if set(names.parts) != set(parts):
        raise InputError(
            f"{top.where}: 'image_id' is {text!r}, but {first.text!r} ({first.where}) has the parts "
            f"{_show(parts)}; use the same in both"
        )
    for pattern in patterns:
        if not set(pattern.parts) <= set(parts):
            raise InputError(
                f"{pattern.where}: {pattern.text!r} has other parts than {first.text!r} ({first.where}): "
                f"{_show(parts)}; leave the others to '*'"
            )
    return Naming(
        names=names,
        by_split=text.startswith(_BY_SPLIT),
        group=_group(top, names.parts) if "group" in top else None,
        where=top.where,
    )


def _is_template(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    text = value.removeprefix(_BY_SPLIT)
    names = part_names(text)
    rest = re.sub(r"\{[a-z_][a-z0-9_]*\}", "", text)
    return (
        bool(names) and len(set(names)) == len(names) and "split" not in names and not set(rest) & set("{}*?")
    )


def _group(top: Fields, parts: Sequence[str]) -> NameTemplate | re.Pattern[str]:
    text = top.string("group")
    if named := part_names(text):
        for name in named:
            if name not in parts:
                raise InputError(
                    f"{top.where}: 'group' is {text!r}, but files are named by {_show(parts)} only; put "
                    f"{{{name}}} into 'files', as in \"{{{name}}}/depth/{{id}}.png\""
                )
        return NameTemplate(text)
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f"{top.where}: 'group' is {text!r}, no regular expression ({error})") from None
    if not pattern.groups:
        raise InputError(
            f"{top.where}: 'group' is {text!r}; put the part of the image id that names the scene in (...)"
        )
    return pattern


def _show(parts: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in parts)
