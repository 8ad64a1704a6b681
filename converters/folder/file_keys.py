"""Reads the keys of a table of the description that name files, and an array in them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from aims.core.errors import InputError
from aims.core.files import inside
from aims.reading.patterns import Pattern
from aims.reading.pictures import ARCHIVE_SUFFIXES, JPEG, LABEL_SUFFIXES

from ..reading.fields import Fields


def file_pattern(
    table: Fields,
    suffixes: tuple[str, ...],
    parts: tuple[str, ...],
    *,
    needs_id: bool = True,
    free: tuple[str, ...] = (),
) -> Pattern:
    """Reads `files`: a pattern below the raw folder, of known or free parts, with a suffix of those given."""
    text = table.string("files")
    where = f"{table.where} files"
    inside(Path(), text, where=where)
    suffix = _fixed_suffix(text)
    if suffixes is LABEL_SUFFIXES and suffix in JPEG:
        raise InputError(f"{where}: JPEG labels are refused, because its compression changes values; use PNG")
    if suffix and suffix not in suffixes:
        raise InputError(f"{where}: suffix {suffix!r} is not read here; use {', '.join(suffixes)}")
    return Pattern(text, where=where, known=parts, needs_id=needs_id, free=free)


def _fixed_suffix(text: str) -> str:
    """Returns the suffix of all files of a pattern; empty if it has a placeholder or wildcard."""
    suffix = PurePosixPath(text).suffix.lower()
    return "" if set(suffix) & set("{}*?") else suffix


def variable_name(table: Fields) -> str | None:
    """Returns the name of the array, which files of several arrays need and others must not have."""
    variable, suffix = table.optional("variable", table.string), _fixed_suffix(table.string("files"))
    if suffix in ARCHIVE_SUFFIXES and variable is None:
        raise InputError(f"{table.where}: needs 'variable', the name of the array in the {suffix} files")
    if suffix and suffix not in ARCHIVE_SUFFIXES and variable is not None:
        raise InputError(
            f"{table.where}: 'variable' is {variable!r}, but {suffix} files hold one picture; leave it out"
        )
    return variable
