"""The folder of a report: no empty report over a full one, and no files left of an earlier one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from aims.core.errors import InputError
from aims.core.files import inside, write_json
from aims.core.structs import read_struct

#: List of the files that the last report wrote, beside them.
MANIFEST = "report.json"
#: The page; a folder that has it holds a report.
PAGE = "index.html"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the last report wrote.

    Attributes:
        runs: number of runs in its tables.
        files: paths of its files, relative to the folder, with forward slashes.
    """

    runs: int
    files: tuple[str, ...]


def keep_report(out: Path, runs: Path) -> None:
    """Refuses to write a report without runs over one that has some.

    Raises:
        InputError: `out` holds a report with runs, or one of an earlier version, which does not say.
    """
    earlier = _read(out)
    if earlier.runs if earlier else (out / PAGE).exists():
        raise InputError(
            f"{runs}: holds no finished run, and {out} holds a report, which is kept; give the folder of the "
            "runs with --runs, or another one with --out"
        )


def finish_report(out: Path, runs: int, written: Iterable[Path]) -> None:
    """Removes the files that only the last report wrote, and lists those of this one.

    Args:
        out: folder of the report.
        runs: number of runs in its tables.
        written: paths of its files.
    """
    earlier, found = _read(out), sorted({path.relative_to(out).as_posix() for path in written})
    for name in set(earlier.files if earlier else ()) - set(found):
        path = inside(out, name, where=str(out / MANIFEST))
        # A link that leads elsewhere is no file that a report wrote.
        if path.is_file() and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(out)):
            path.unlink()
            if path.parent != out and not any(path.parent.iterdir()):
                path.parent.rmdir()
    write_json(out / MANIFEST, msgspec.to_builtins(Manifest(runs=runs, files=tuple(found))))


def _read(out: Path) -> Manifest | None:
    path = out / MANIFEST
    return read_struct(path, Manifest, what="the list of a report's files") if path.exists() else None
