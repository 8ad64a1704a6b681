"""The TOML description of a folder of images, checked key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from aims.core.errors import InputError, unknown_name
from aims.core.files import inside
from aims.core.schema import SPLIT_PATTERN

from ._images import JPEG, LABEL_SUFFIXES, RGB_SUFFIXES, STREAM_SUFFIXES
from ._labels import colour_code
from ._patterns import Pattern

Kind = Literal["palette", "values", "instance"]


@dataclass(frozen=True, kw_only=True)
class StreamEntry:
    """`[streams.NAME]`: the files, the unit, and the channels kept (None: all)."""

    files: Pattern
    unit: str
    channels: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class LabelsEntry:
    """`[labels]`: the files, how they are drawn, and the class id of each number or colour code."""

    files: Pattern
    kind: Kind
    classes: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class FolderConfig:
    """The whole description. A split is a tuple of ids, "*", or the name of a text file."""

    name: str
    license: str
    classes: tuple[str, ...]
    splits: Mapping[str, str | tuple[str, ...]]
    streams: Mapping[str, StreamEntry]
    rgb: Pattern | None
    labels: LabelsEntry


def load_config(path: Path) -> FolderConfig:
    """Reads a description.

    Raises:
        InputError: the file is missing or not TOML; a key is unknown, missing or of the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
        top = _Table(tomllib.loads(text), str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write one like examples/cwfid.toml") from None
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}); check the path and its rights") from error
    except ValueError as error:
        raise InputError(f"{path}: not TOML ({error}); correct that line") from error
    top.only("name", "license", "classes", "splits", "streams", "rgb", "labels")
    classes = tuple(top.strings("classes"))
    if not classes or "" in classes or len(set(classes)) != len(classes):
        raise InputError(f"{path}: 'classes' needs at least one name, each once")
    streams = top.table("streams", optional=True)
    rgb = top.table("rgb", optional=True)
    if not streams.values and not rgb.values:
        raise InputError(f"{path}: needs a [streams.NAME] or an [rgb] table that says where the images are")
    return FolderConfig(
        name=top.string("name"),
        license=top.string("license"),
        classes=classes,
        splits=_splits(top.table("splits")),
        streams={name: _stream(streams.table(name)) for name in streams.values},
        rgb=_pattern(rgb.only("files"), RGB_SUFFIXES) if "rgb" in top.values else None,
        labels=_labels(top.table("labels"), classes),
    )


class _Table:
    """A TOML table that knows where it stands."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def only(self, *known: str) -> _Table:
        for key in self.values:
            if key not in known:
                raise unknown_name("key", key, known, where=self.where)
        return self

    def take(self, key: str, wanted: str, fits: Callable[[Any], bool]) -> Any:
        if key not in self.values:
            raise InputError(f"{self.where}: needs {key!r} ({wanted})")
        if not fits(self.values[key]):
            raise InputError(f"{self.where}: {key!r} is {self.values[key]!r}; it must be {wanted}")
        return self.values[key]

    def string(self, key: str) -> str:
        return cast(str, self.take(key, "a text", lambda value: isinstance(value, str) and value != ""))

    def strings(self, key: str) -> list[str]:
        return cast("list[str]", self.take(key, "a list of texts", _is_list_of(str)))

    def table(self, key: str, *, optional: bool = False) -> _Table:
        parent, _, inner = self.where.partition(" [")
        where = f"{parent} [{inner[:-1]}.{key}]" if inner else f"{parent} [{key}]"
        if optional and key not in self.values:
            return _Table({}, where)
        return _Table(self.take(key, "a table", lambda value: isinstance(value, dict)), where)


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(type(item) is kind for item in value)


def _splits(table: _Table) -> dict[str, str | tuple[str, ...]]:
    if not table.values:
        raise InputError(f'{table.where}: needs at least one split, such as train = "*"')
    splits: dict[str, str | tuple[str, ...]] = {}
    for name, value in table.values.items():
        if not SPLIT_PATTERN.fullmatch(name):
            raise InputError(f"{table.where}: split name {name!r}; use lower-case letters, digits and '_'")
        if isinstance(value, str) and value:
            splits[name] = value
        else:
            wanted = 'a list of image ids (texts), "*", or the name of a text file'
            splits[name] = tuple(table.take(name, wanted, _is_list_of(str)))
    return splits


def _pattern(table: _Table, suffixes: tuple[str, ...]) -> Pattern:
    text = table.string("files")
    where = f"{table.where} files"
    inside(Path(), text, where=where)
    suffix = PurePosixPath(text).suffix.lower()
    if suffixes is LABEL_SUFFIXES and suffix in JPEG:
        raise InputError(f"{where}: JPEG labels are refused, because its compression changes values; use PNG")
    if suffix and not set(suffix) & set("{}*?") and suffix not in suffixes:
        raise InputError(f"{where}: suffix {suffix!r} is not read here; use {', '.join(suffixes)}")
    return Pattern(text, where=where)


def _stream(table: _Table) -> StreamEntry:
    table.only("files", "channels", "unit")
    channels = None
    if "channels" in table.values:
        channels = tuple(table.take("channels", "a list of channel numbers, from 0", _is_list_of(int)))
        if not channels or min(channels) < 0 or len(set(channels)) != len(channels):
            raise InputError(f"{table.where}: 'channels' is {list(channels)}; list numbers from 0, each once")
    return StreamEntry(files=_pattern(table, STREAM_SUFFIXES), unit=table.string("unit"), channels=channels)


def _labels(table: _Table, classes: tuple[str, ...]) -> LabelsEntry:
    table.only("files", "kind", "palette", "values")
    files = _pattern(table, LABEL_SUFFIXES)
    kind = table.take("kind", '"semantic" or "instance"', lambda value: value in ("semantic", "instance"))
    given = [key for key in ("palette", "values") if key in table.values]
    if kind == "instance":
        if given:
            raise InputError(f'{table.where}: {given[0]!r} does not go with kind = "instance"; leave it out')
        if len(classes) != 1:
            raise InputError(
                f"{table.where}: kind = \"instance\" tells no classes apart; 'classes' has {len(classes)}: "
                'give one class, or label files with one value a class and kind = "semantic"'
            )
        return LabelsEntry(files=files, kind="instance", classes={})
    if len(given) != 1:
        raise InputError(f"{table.where}: needs either 'palette' or 'values', to tell which class is which")
    entries = table.table(given[0])
    for name in entries.values:
        if name not in classes:
            raise unknown_name("class", name, classes, where=entries.where)
    codes = _palette_codes if given[0] == "palette" else _value_codes
    # Black, and 0, is nothing unless a class takes it.
    ids = {0: 0, **_class_ids(entries, classes, codes)}
    return LabelsEntry(files=files, kind=cast(Kind, given[0]), classes=ids)


def _class_ids(
    entries: _Table, classes: tuple[str, ...], codes: Callable[[_Table, str], list[int]]
) -> dict[int, int]:
    ids: dict[int, int] = {}
    for class_id, name in enumerate(classes, start=1):
        for code in codes(entries, name):
            if code in ids:
                other = classes[ids[code] - 1]
                raise InputError(
                    f"{entries.where}: {other!r} and {name!r} have the same entry; give each its own"
                )
            ids[code] = class_id
    return ids


def _palette_codes(entries: _Table, name: str) -> list[int]:
    def fits(value: Any) -> bool:
        return _is_list_of(int)(value) and len(value) == 3 and all(0 <= level <= 255 for level in value)

    red, green, blue = entries.take(name, "a colour [red, green, blue] of numbers 0 to 255", fits)
    return [colour_code((red, green, blue))]


def _value_codes(entries: _Table, name: str) -> list[int]:
    def fits(value: Any) -> bool:
        return type(value) is int or (_is_list_of(int)(value) and len(value) > 0)

    value = entries.take(name, "a whole number or a list of them", fits)
    return value if isinstance(value, list) else [value]
