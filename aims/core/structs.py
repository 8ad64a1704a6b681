"""Reading files into frozen classes: msgspec checks the types, and a message says where they do not fit."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from aims.core.errors import InputError, unknown_name

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
#: A score from 0 to 1.
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Versioned(msgspec.Struct):
    version: int


def read_struct(path: Path, kind: type[T], *, what: str, newest: int | None = None) -> T:
    """Reads a JSON file into a class.

    Args:
        path: a regular file; anything else (a pipe, a folder) is refused, as reading it might never end.
        kind: a `msgspec.Struct`, which ignores keys of the file that it does not have, or a dataclass, which
            refuses them.
        what: what the file should be, for the message: "a manifest".
        newest: the newest version of such files that can be read; None where they have none.

    Raises:
        InputError: the file is missing, is not JSON, is of a newer version, or does not fit; the place in it
            is named.
    """
    return decode_struct(_read(path), kind, where=str(path), what=what, newest=newest)


def decode_struct(data: bytes, kind: type[T], *, where: str, what: str, newest: int | None = None) -> T:
    """Does what `read_struct` does, for the content of a file; `where` names it in messages."""
    value, place = decode_json(data, where=where), f"{where}: not {what}"
    # First, as a newer version may have other keys.
    if newest is not None and (version := convert_struct(value, _Versioned, where=place).version) > newest:
        raise InputError(f"{where}: version {version}; update AIMS to read it")
    return convert_struct(value, kind, where=place)


def read_lines(path: Path, kind: type[T]) -> list[T]:
    """Reads a file with one JSON object a line; see `read_struct`."""
    places = ((f"{path}, line {number}", line) for number, line in enumerate(_read(path).splitlines(), 1))
    return [convert_struct(decode_json(line, where=where), kind, where=where) for where, line in places]


def decode_json(data: bytes, *, where: str) -> Any:
    """Decodes strict JSON: NaN, infinity and halves of UTF-16 pairs, which cannot be written, are refused.

    Raises:
        InputError: the bytes are no JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not readable as JSON ({error})") from None


def convert_struct(value: Any, kind: type[T], *, where: str) -> T:
    """Turns parsed JSON, or a row of a table, into a class.

    Args:
        value: lists and dictionaries.
        kind: what to make of it.
        where: the file, for the message.

    Raises:
        InputError: the value does not fit; the message names the place, and the nearest key that is there
            where one is missing, or that is known where one is unknown.
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
    """The first key that a dataclass does not have, its place, and the keys that it has.

    The library can refuse unknown keys of its own classes alone.
    """
    for key, item, inner in _parts(value, kind, _dataclass_fields):
        if found := _unknown_key(item, inner, f"{place}.{key}" if place else key):
            return found
    known = _fields(kind)
    if not (dataclasses.is_dataclass(kind) and isinstance(value, Mapping)):
        return None
    return next(((str(key), place, known) for key in value if key not in known), None)


@functools.cache  # most of a record has none, and its keys need no look
def _dataclass_fields(kind: Any) -> Mapping[str, Any]:
    """The fields of a class that hold dataclasses, at any depth."""
    return {name: inner for name, inner in _fields(kind).items() if _holds_dataclass(inner)}


def _holds_dataclass(kind: Any) -> bool:
    inner = (*get_args(kind), *_fields(kind).values())
    return dataclasses.is_dataclass(kind) or any(map(_holds_dataclass, inner))


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() and path.exists():
            raise InputError(f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {os.strerror(error.errno or 0).lower()}") from None


def locate_misfit(value: Any, kind: Any, place: str = "") -> tuple[str, str]:
    """The innermost place of a value that does not fit a class, and why.

    The library's own words leave out the keys of dictionaries.
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
    """The values below a value, each with its key and type; of classes those of `fields`, or all."""
    # `X | None` holds one class.
    for one in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        if isinstance(value, list) and get_origin(one) is list:
            yield from ((str(place), item, get_args(one)[0]) for place, item in enumerate(value))
        if isinstance(value, Mapping):
            if get_origin(one) in (dict, Mapping):
                yield from ((str(key), item, get_args(one)[1]) for key, item in value.items())
            yield from (
                (key, value[key], inner) for key, inner in (fields or _fields)(one).items() if key in value
            )


@functools.cache  # looking up the types of a class takes longer than reading a line into it
def _fields(kind: Any) -> Mapping[str, Any]:
    is_class = isinstance(kind, type) and (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind))
    return MappingProxyType(get_type_hints(kind, include_extras=True) if is_class else {})


def _reason(message: str, value: Any, kind: Any) -> str:
    """The library's words without its path; a missing key with the nearest one that is there."""
    reason, _, path = message.partition(" - at '$")
    if path.startswith("["):
        reason = f"entry {path.partition(']')[0].removeprefix('[')}: {reason}"
    missing = reason.partition("missing required field ")[2].strip("'")
    others = [str(key) for key in value if key not in _fields(kind)] if isinstance(value, Mapping) else []
    near = difflib.get_close_matches(missing, others, n=1, cutoff=0.5) if missing else []
    if missing:
        return f"no {missing!r}" + (f"; is {near[0]!r} meant for it?" if near else "")
    return reason[0].lower() + reason[1:]
