"""File names as people read them."""

from __future__ import annotations

import unicodedata

#: Files that Windows leaves in folders; those of macOS and Linux begin with a dot.
_LEFT_BY_WINDOWS = frozenset({"thumbs.db", "desktop.ini"})


def is_hidden(name: str) -> bool:
    """Returns whether a file is hidden, as macOS's `._1.png` is, or one that Windows leaves in folders."""
    return name.startswith(".") or name.lower() in _LEFT_BY_WINDOWS


def composed(text: str) -> str:
    """Returns text in Unicode's form NFC, in which letters with marks are one character where possible."""
    return unicodedata.normalize("NFC", text)
