"""Files that are whole or absent, checksums, and paths that stay in their folder."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from aims.core.errors import InputError

# With the process's number they tell all writers apart, on file systems that several machines share, too.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_WRITERS = itertools.count()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to, and renames it once it is whole and on the disk.

    A stop at any moment leaves either the old file or the new one. Each writer has a name of its own, so that
    of two at once the later one wins, whole; what a killed process left is removed by the next writer here.
    """
    prefix = f".{path.name}.{_HOST}-"
    beside = path.with_name(f"{prefix}{os.getpid()}-{next(_WRITERS)}.tmp")
    for left in path.parent.glob(f"{glob.escape(prefix)}*.tmp"):
        if not _is_alive(left.name.removeprefix(prefix).partition("-")[0]):
            left.unlink(missing_ok=True)
    try:
        yield beside
        sync(beside)
        os.replace(beside, path)
    except OSError as error:
        # Writing and syncing fail without a name, or with one that nobody has seen.
        if error.errno is None or error.filename not in (None, str(beside), beside):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        beside.unlink(missing_ok=True)
    sync(path.parent)


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically, with Unix line ends on every platform."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically; the same value gives the same bytes. NaN is refused (not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_unicode(name: str) -> bool:
    """Whether a name from a file system can be written as text: Python holds other bytes as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def inside(root: Path, relative: str, *, where: str) -> Path:
    """Joins a path that came from a file to its folder, and refuses one that leaves the folder.

    Links inside the folder may point elsewhere (large sets are often linked in); the written path
    itself may not be absolute or climb.

    Args:
        root: the folder.
        relative: the path as written in a file, with forward slashes.
        where: the file that names it, for the message.

    Raises:
        InputError: the path is absolute or leaves the folder.
    """
    pure = PurePosixPath(relative.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or PureWindowsPath(relative).drive:
        raise InputError(f"{where}: path {relative!r} leaves its folder {root}; write it relative to that")
    return root / pure
