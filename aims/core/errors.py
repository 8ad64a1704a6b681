"""Exceptions that the command line prints as one line."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

#: Error numbers for a full disk, a reached quota and the largest file size.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class AimsError(Exception):
    """Base of all exceptions of AIMS; the message says what was wrong, where, and what to do next."""

    exit_code = 1


class InputError(AimsError):
    """Raised for input that cannot be used: a name, a file or an option."""

    exit_code = 2


class Busy(InputError):
    """Raised while another process works on the same run or folder."""


class OutOfMemory(AimsError):
    """Raised for want of memory.

    Args:
        where: the file or image that took it.
    """

    def __init__(self, where: str) -> None:
        super().__init__(where)

    def __str__(self) -> str:
        what = "out of memory; what was finished is kept: free some memory, or leave it out"
        return f"{self.args[0]}: {what}"


def unknown_name(kind: str, name: str, choices: Iterable[str], *, where: str = "") -> InputError:
    """Builds the error for an unknown name; the message lists the nearest known name and all of them.

    Args:
        kind: kind of the name, e.g. "method".
        name: the unknown name.
        choices: known names.
        where: file that contains the name, prefixed to the message unless empty.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    prefix = f"{where}: " if where else ""
    return InputError(f"{prefix}unknown {kind} {name!r}{hint} (known: {', '.join(known) or 'none'})")


def require_at_least_one(**options: int) -> None:
    """Checks that numerical options, by keyword, are at least 1.

    Raises:
        InputError: one is below 1; the message names the option as on the command line.
    """
    for name, value in options.items():
        if value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {value}")


def explain(error: OSError) -> str:
    """Formats an error of the file system as one line: path, reason, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    what = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in DISK_FULL:
        return f"{where}{what}; make room: what was finished is kept, and the same command goes on from there"
    if error.errno in _FORBIDDEN:
        return f"{where}{what}; see who may read and write there, or name another folder"
    return f"{where}{what}"
