"""Exceptions that end as one line on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AimsError(Exception):
    """A failure with a message for people: what was wrong, where, and what to do next."""

    exit_code = 1


class InputError(AimsError):
    """What the user gave (a name, a file, an option) cannot be used."""

    exit_code = 2


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
