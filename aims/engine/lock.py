"""The lock of a run: one process at a time works on it. It lies beside the folder, which may be deleted."""

from __future__ import annotations

import fcntl
from pathlib import Path

from filelock import FileLock

from aims.core.errors import InputError
from aims.core.files import regular_file

# `is_locked` shares a lock for a moment, which must not make a run that begins believe it is taken.
_PATIENCE_SECONDS = 0.5


def run_lock(folder: Path) -> FileLock:
    """Returns the lock of a run, not yet acquired; acquiring it raises `filelock.Timeout` if it is taken.

    Args:
        folder: the run's folder, which may not exist yet.
    """
    return FileLock(_path(folder), timeout=_PATIENCE_SECONDS)


def is_locked(folder: Path) -> bool:
    """Returns whether a process works on a run, by its lock, which is shared for a moment and not taken."""
    try:
        with regular_file(_path(folder)).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, InputError):
        return False
    return False


def _path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
