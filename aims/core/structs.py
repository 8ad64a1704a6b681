"""Reading files into typed classes: msgspec checks types, and errors name the place that does not fit."""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import functools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, TypedDict, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from aims.core.errors import InputError, unknown_name
from aims.core.files import own_file

T = TypeVar("T")
# As Python and JavaScript write them.
_NO_NUMBER = re.compile(rb"(NaN|Infinity)\b")
Count = Annotated[int, msgspec.Meta(ge=0)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
#: A score or a proportion, 0..1.
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Versioned(msgspec.Struct):
    version: int


def read_struct(
    path: Path, kind: type[T], *, what: str, newest: int | None = None, largest: int | None = None
) -> T:
    """Reads a JSON file into a class.

    Args:
        path: a file of a dataset or a run; see `own_file`.
        kind: a `msgspec.Struct`, which ignores unknown keys, or a dataclass, which refuses them.
        what: kind of the file, for the message, e.g. "a manifest".
        newest: newest version of such files that can be read; None if they have no version.
        largest: largest size of the file in bytes; None for any.

    Raises:
        InputError: the file is missing, too large, is not JSON, has a newer version, or does not fit `kind`;
            the message names the place in the file.
    """
    return decode_struct(_read(path, largest), kind, where=str(path), what=what, newest=newest)


def decode_struct(data: bytes, kind: type[T], *, where: str, what: str, newest: int | None = None) -> T:
    """Decodes the content of a file as `read_struct` does; `where` names the file in messages."""
    if (found := _decode_directly(data, kind, newest)) is not None:
        return found
    value, place = decode_json(data, where=where), f"{where}: not {what}"
    # Before the other checks, because a newer version may have other keys.
    if newest is not None and (version := convert_struct(value, _Versioned, where=place).version) > newest:
        raise InputError(f"{where}: version {version}; update AIMS to read it")
    return convert_struct(value, kind, where=place)


def _decode_directly(data: bytes, kind: type[T], newest: int | None) -> T | None:
    """Decodes a file that has nothing wrong with it in one pass; returns None for any other.

    A set of a million images names its sources in 200 MB, which take as long again as nested dictionaries.
    """
    hashable: Any = kind  # for mypy: a class is
    try:
        text = data.removeprefix(codecs.BOM_UTF8)
        result = msgspec.json.decode(text, type=kind)
        parts = msgspec.json.decode(text, type=_dataclass_parts(hashable))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InputError):
        return None
    too_new = newest is not None and getattr(result, "version", newest + 1) > newest
    return None if too_new or _unknown_key(parts, kind) else result


@functools.cache
def _dataclass_parts(kind: Any) -> Any:
    """Returns a type of the keys that `_unknown_key` looks at: all of a dataclass, else some."""
    if dataclasses.is_dataclass(kind):
        return dict[str, Any]
    return TypedDict("Parts", dict.fromkeys(_dataclass_fields(kind), Any), total=False)  # type: ignore[operator]


def read_lines(path: Path, kind: type[T], *, largest: int | None = None) -> list[T]:
    """Reads a file with one JSON object per line; see `read_struct`."""
    lines = _read(path, largest).splitlines()
    places = ((f"{path}, line {number}", line) for number, line in enumerate(lines, 1))
    return [convert_struct(decode_json(line, where=where), kind, where=where) for where, line in places]


def decode_json(data: bytes, *, where: str) -> Any:
    """Decodes strict JSON; NaN, infinity and unpaired surrogates are refused.

    Raises:
        InputError: the bytes are not JSON.
    """
    try:
        # Editors on Windows begin UTF-8 with a byte order mark.
        return msgspec.json.decode(data.removeprefix(codecs.BOM_UTF8))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not readable as JSON ({_explain(data, error)})") from None


def _explain(data: bytes, error: Exception) -> str:
    """Returns why bytes are not JSON, with what to do where others read them."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return f"byte {wrong.start} is not UTF-8; save it in UTF-8"
    place = re.search(r"\(byte (\d+)\)$", str(error))
    if place and (number := _NO_NUMBER.match(data.removeprefix(codecs.BOM_UTF8), int(place[1]))):
        return f"{number[0].decode()} at byte {place[1]} is no number in JSON; write null"
    return str(error)


def convert_struct(value: Any, kind: type[T], *, where: str) -> T:
    """Converts parsed JSON, or a row of a table, to a class.

    Args:
        value: nested lists and dictionaries.
        kind: class to convert to.
        where: name of the file, for the message.

    Raises:
        InputError: the value does not fit; the message names the place and, for a missing or unknown key, the
            nearest one.
    """
    try:
        result = msgspec.convert(value, kind)
    except InputError as error:  # from a dataclass that checks itself
        raise InputError(f"{where}: {error}") from None
    except msgspec.ValidationError:
        place, reason = locate_misfit(value, kind)
        raise InputError(f"{where}: {place}: {reason}" if place else f"{where}: {reason}") from None
    if unknown := _unknown_key(value, kind):
        key, place, known = unknown
        raise unknown_name("key", key, known, where=f"{where}: {place}" if place else where)
    return result


def _unknown_key(value: Any, kind: Any, place: str = "") -> tuple[str, str, Collection[str]] | None:
    """Returns the first unknown key of a dataclass, its place, and the known keys; None if all are known.

    msgspec can refuse unknown keys of its own structs only.
    """
    for key, item, inner in _parts(value, kind, _dataclass_fields):
        if found := _unknown_key(item, inner, f"{place}.{key}" if place else key):
            return found
    known = _fields(kind)
    if not (dataclasses.is_dataclass(kind) and isinstance(value, Mapping)):
        return None
    return next(((str(key), place, known) for key in value if key not in known), None)


@functools.cache  # `_unknown_key` skips parts without dataclasses, which are most of a record
def _dataclass_fields(kind: Any) -> Mapping[str, Any]:
    """Returns the fields of a class that contain dataclasses at any depth."""
    return {name: inner for name, inner in _fields(kind).items() if _holds_dataclass(inner)}


def _holds_dataclass(kind: Any) -> bool:
    inner = (*get_args(kind), *_fields(kind).values())
    return dataclasses.is_dataclass(kind) or any(map(_holds_dataclass, inner))


def _read(path: Path, largest: int | None = None) -> bytes:
    try:
        with own_file(path).open("rb") as file:
            data = file.read(-1 if largest is None else largest + 1)
    except OSError as error:
        raise InputError(f"{path}: {os.strerror(error.errno or 0).lower()}") from None
    if largest is not None and len(data) > largest:
        raise InputError(f"{path}: larger than the {largest:,} bytes that it can have")
    return data


def locate_misfit(value: Any, kind: Any, place: str = "") -> tuple[str, str]:
    """Returns the innermost place of a value that does not fit a class, and the reason.

    The paths in msgspec's own messages leave out the keys of dictionaries.
    """
    for key, item, inner in _parts(value, kind):
        try:
            msgspec.convert(item, inner)
        except msgspec.ValidationError:
            return locate_misfit(item, inner, f"{place}.{key}" if place else key)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return place, _reason(str(error).replace("`", "'"), value, kind)
    return place, "does not fit"


def _parts(
    value: Any, kind: Any, fields: Callable[[Any], Mapping[str, Any]] | None = None
) -> Iterator[tuple[str, Any, Any]]:
    """Yields key, value and type of a value's children; for classes, of the fields in `fields` or all."""
    # A union, such as `X | None`, has the children of its members.
    for one in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        if isinstance(value, list) and get_origin(one) is list:
            yield from ((str(place), item, get_args(one)[0]) for place, item in enumerate(value))
        if isinstance(value, Mapping):
            if get_origin(one) in (dict, Mapping):
                yield from ((str(key), item, get_args(one)[1]) for key, item in value.items())
            yield from (
                (key, value[key], inner) for key, inner in (fields or _fields)(one).items() if key in value
            )


@functools.cache  # resolving the types of a class takes longer than decoding a line
def _fields(kind: Any) -> Mapping[str, Any]:
    is_class = isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind))
    return MappingProxyType(get_type_hints(kind, include_extras=True) if is_class else {})


def _reason(message: str, value: Any, kind: Any) -> str:
    """Returns msgspec's message without its path; for a missing key, with the nearest present one."""
    reason, _, path = message.partition(" - at '$")
    if path.startswith("["):
        reason = f"entry {path.partition(']')[0].removeprefix('[')}: {reason}"
    missing = reason.partition("missing required field ")[2].strip("'")
    others = [str(key) for key in value if key not in _fields(kind)] if isinstance(value, Mapping) else []
    near = difflib.get_close_matches(missing, others, n=1, cutoff=0.5) if missing else []
    if missing:
        return f"no {missing!r}" + (f"; is {near[0]!r} meant for it?" if near else "")
    return reason[0].lower() + reason[1:]
