"""What readers notice in source files that neither stops a conversion nor shows in its values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_collected: ContextVar[dict[str, list[Path]] | None] = ContextVar("remarks", default=None)


def remark(path: Path, text: str) -> None:
    """Adds a remark about a file to those being collected; does nothing if none are.

    Args:
        path: the file.
        text: what was noticed, the same for all files that share it.
    """
    collected = _collected.get()
    if collected is not None and path not in (paths := collected.setdefault(text, [])):
        paths.append(path)


@contextmanager
def collect_remarks() -> Iterator[dict[str, list[Path]]]:
    """Context manager that collects the remarks made inside it: the files by text, in order."""
    collected: dict[str, list[Path]] = {}
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)
