"""Folders that appear when they are complete, and that one process writes at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from aims.core.errors import Busy, InputError
from aims.core.files import sync

#: Ends the name of a folder that is not complete.
PARTIAL = ".partial"
# Locked while writing. Its presence marks an unfinished folder, whose files may be deleted.
_LOCK = ".export.lock"


@contextmanager
def held(lock: BaseFileLock, folder: Path, doing: str) -> Iterator[None]:
    """Holds a lock, of which another process is told "FOLDER: another process is DOING".

    Args:
        lock: the lock, not acquired, with the seconds for which it is tried.
        folder: what it is for.
        doing: what is done meanwhile.

    Raises:
        Busy: another process holds it.
    """
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"{folder}: another process is {doing}") from None
    try:
        yield
    finally:
        lock.release()


def is_empty(path: Path) -> bool:
    """Returns whether a path is a folder without anything in it."""
    return path.is_dir() and not any(path.iterdir())


def require_new(out: Path) -> None:
    """Raises InputError if there is something at `out` but an empty folder."""
    if out.exists() and not is_empty(out):
        raise InputError(f"{out}: exists already; give another --out, or remove it")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields the empty folder `OUT.partial`, which is renamed to `out` on exit and removed after an error.

    What a process that was killed has left there is removed first.

    Raises:
        InputError: `out` exists, or somebody else's files are in the way.
        Busy: another process writes it.
    """
    partial = out.with_name(f"{out.name}{PARTIAL}")
    if partial.exists() and not ((partial / _LOCK).is_file() or is_empty(partial)):
        raise InputError(f"{partial}: is in the way and is no unfinished folder of AIMS; give another --out")
    partial.mkdir(parents=True, exist_ok=True)
    with held(FileLock(partial / _LOCK, timeout=0), partial, "writing it; wait for it"):
        try:
            # Another process may have ended since the caller looked.
            require_new(out)
            _clear(partial)
            yield partial
            require_new(out)
            os.replace(partial, out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    (out / _LOCK).unlink(missing_ok=True)
    sync(out.parent)


def _clear(partial: Path) -> None:
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
