"""Text from files and systems, made safe to show."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

# Control characters except tab and line feed, which lay out text; marks that turn the direction of writing,
# with which a name shows as another one; further line separators; and bytes of file names that are no text.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_BREAKS = re.compile(r"\s*\n\s*")
# A closing bracket makes a link only before one of ( [ :, so others need no escape.
_MARKDOWN = re.compile(r"[\\`*_|~$#&<>]|\](?=[(\[:])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def printable(text: str) -> str:
    r"""Returns a text with what a terminal or a browser would obey instead of showing it written as \uXXXX.

    The same escapes are valid in JSON strings.

    Example:
        >>> print(printable("a\x1b[2J"))
        a\u001b[2J
    """
    # What is hidden is a part of what Python calls not printable, and nearly every text is printable.
    return text if text.isprintable() else _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: str) -> str:
    """Returns a text as one line of printable characters."""
    return printable(" ".join(text.split()))


@lru_cache(maxsize=4096)
def escape_markdown(text: str) -> str:
    """Escapes text for one line of Markdown, also inside the cell of a table."""
    text = printable(_BREAKS.sub(" ", text))
    return _MARKDOWN.sub(lambda match: _ENTITIES.get(match[0], "\\" + match[0]), text)


def markdown_code(text: str) -> str:
    """Returns a text as code in one line of Markdown, also inside the cell of a table."""
    text = printable(_BREAKS.sub(" ", text))
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if "`" in text else ""
    return f"{fence}{room}{text}{room}{fence}".replace("|", "\\|")


def finalize_html(value: Any) -> Any:
    """Makes the texts of a Jinja template printable; templates of HTML take it as `finalize`."""
    # Markup, which is a subclass of str, is the template's own.
    return printable(value) if type(value) is str else value
