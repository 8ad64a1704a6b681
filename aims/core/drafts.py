"""A description of a folder of raw data that a converter has drafted, for a person to complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A drafted description.

    Attributes:
        text: the description, as a converter reads it.
        found: what the folder holds: its part in the description, the files, and what they are.
        guesses: what the description says and the folder does not.
        unknown: what nobody but the owner of the folder can say, and what is left out.
        problems: why it cannot be converted as it is; empty if it can.
        keep_going: whether some images lack labels or cannot be read, which a conversion has to list.
    """

    text: str
    found: Sequence[tuple[str, str, str]]
    guesses: Sequence[str]
    unknown: Sequence[str]
    problems: Sequence[str]
    keep_going: bool
