"""Exceptions that end as one line on the command line."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

#: No space is left, a quota is reached, or a file may not grow any further.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class AimsError(Exception):
    """A failure with a message for people: what was wrong, where, and what to do next."""

    exit_code = 1


class InputError(AimsError):
    """What the user gave (a name, a file, an option) cannot be used."""

    exit_code = 2


class Busy(InputError):
    """Another process works on what was asked for; it may be free later."""


def unknown_name(kind: str, name: str, choices: Iterable[str], *, where: str = "") -> InputError:
    """Builds the error for a name that is not in a list: it shows the nearest one and all of them.

    Args:
        kind: what the name stands for, e.g. "method".
        name: the name as it was given.
        choices: the names that exist.
        where: the file that holds the name, put in front where there is one.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    prefix = f"{where}: " if where else ""
    return InputError(f"{prefix}unknown {kind} {name!r}{hint} (known: {', '.join(known) or 'none'})")


def require_at_least_one(**options: int) -> None:
    """Checks options that count something.

    Raises:
        InputError: one is below 1.
    """
    for name, value in options.items():
        if value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {value}")


def explain(error: OSError) -> str:
    """One line for a failure of the file system: where, what, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    what = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in DISK_FULL:
        return f"{where}{what}; make room: what was finished is kept, and the same command goes on from there"
    if error.errno in _FORBIDDEN:
        return f"{where}{what}; see who may read and write there, or name another folder"
    return f"{where}{what}"
