"""The README and the pages that begin the documentation, which name commands and what they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_PAGES = [ROOT / "README.md", ROOT / "docs" / "start.md", ROOT / "docs" / "own-sensor.md"]
#: What a new user reads, in this order.
START = "\n".join(page.read_text("utf-8") for page in _PAGES)
#: What differs from one run to the next.
_TIMES = re.compile(r"\d+ s\b|peak memory [\d.]+ GB")
#: Names of runs and fingerprints are words.
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)")


def sessions(text: str) -> list[tuple[str, str]]:
    """Returns the commands of a page's terminal sessions, in order, each with what it is shown to print."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = part.partition("\n")
            found.append((line.split("  #")[0].strip(), printed))
    return found


def commands(text: str) -> list[str]:
    """Returns the commands of a page, each once: pages repeat each other's first steps."""
    return [*dict.fromkeys(line for line, _ in sessions(text))]


def _taken_apart(text: str) -> tuple[str, list[float]]:
    """Returns a text without its numbers and spaces, and its numbers."""
    text = _TIMES.sub("", text)
    numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(text)]
    return " ".join(_NUMBER.sub("0", text).split()), numbers


def require_same(printed: str, shown: str) -> None:
    """Requires that a command printed what a page shows: the same words, scores up to two points.

    Another processor, or another number of threads, adds in another order.
    """
    words, numbers = _taken_apart(printed)
    shown_words, shown_numbers = _taken_apart(shown)
    assert words == shown_words
    assert numbers == pytest.approx(shown_numbers, abs=2, rel=0.02)
