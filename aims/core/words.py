"""Words around numbers."""

from __future__ import annotations


def count(number: int, word: str) -> str:
    """A number and what it counts, e.g. "1 image" or "2,400 images"."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
