"""Faults of AIMS itself: exceptions that nothing expected become one line and a file for a report."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from aims.core.files import cache_folder
from aims.core.texts import one_line
from aims.version import __version__

#: Environment variable that shows the traceback at once.
DEBUG = "AIMS_DEBUG"

_DISTRIBUTION = "aims-bench"
# Longest part of an exception's message; some libraries put whole tables into theirs.
_LONGEST = 200


def describe_fault(error: BaseException) -> str:
    """Describes an exception that nothing expected, and writes all that a report needs to a file.

    With the environment variable `DEBUG` the traceback is written to stderr, too.

    Returns:
        One line: what was raised, the module and line of AIMS that did, and the file.
    """
    trace = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG, "0") not in ("", "0"):
        sys.stderr.write(trace)
    name, message = type(error).__name__, one_line(str(error))
    what = f"{name}: {message[:_LONGEST]}" if message else name
    path = _write(f"{what}\n\n{trace}\n{_surroundings()}")
    told = f"send {path} with a report" if path else f"{DEBUG}=1 shows where it comes from"
    return f"{what} ({_place(error)}); this is a fault of AIMS: {told}"


def _place(error: BaseException) -> str:
    """Returns module and line of the innermost call in AIMS, else of the innermost call."""
    calls = [
        (frame.f_globals.get("__name__", "?"), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    ours = [call for call in calls if call[0].partition(".")[0] == "aims"]
    module, line = (ours or calls)[-1]
    return f"{module}:{line}"


def _surroundings() -> str:
    """Returns the command line and the versions; the environment may hold secrets and is left out."""
    lines = [
        f"command: {shlex.join(sys.argv)}",
        f"aims {__version__}, Python {platform.python_version()}, {platform.platform()}",
        *_versions(),
    ]
    return "\n".join(lines) + "\n"


def _versions() -> Iterator[str]:
    """Yields name and version of the installed packages that AIMS asks for."""
    try:
        required = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = []
    for name in dict.fromkeys(re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in required):
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue


def _write(text: str) -> Path | None:
    """Writes a new file that others cannot read, in the cache folder or else in that of temporary files."""
    folder = cache_folder() / "faults"
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            place.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(prefix="aims-fault-", suffix=".txt", dir=place)
            with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        return Path(name)
    return None
