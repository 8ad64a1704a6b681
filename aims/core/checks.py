"""How well a run is checked: the levels, and what this machine keeps of them.

RUNS/.RUN.check.json is written by who made or verified the run, with the SHA-256 of its files. It lies
beside the run's folder, where nothing of a submission is ever unpacked, and counts for these files only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import msgspec

from aims.core.errors import InputError, explain
from aims.core.files import own_file, sha256_file, write_json
from aims.core.records import INSTANCES, METRICS, RECORD
from aims.core.structs import Count, Digest, read_struct

log = logging.getLogger(__name__)

Level = Literal["files", "dataset", "rerun", "own run"]
#: The levels, lowest first, and what each proves.
LEVELS: Mapping[Level, str] = MappingProxyType(
    {
        "files": "the score is the mean over its own instances",
        "dataset": "every score follows from its masks and the dataset",
        "rerun": "its weights give its masks here",
        "own run": "made here",
    }
)
#: Numbers of a run that nobody but its maker can vouch for: fields of `aims.reports.runs.costs.Costs`.
MEASURED = ("seconds", "device", "device_hours", "peak_memory_bytes", "learning_rates")
#: Numbers that are counted again where the method is installed.
RECOUNTED = ("trained_parameters", "flops")
#: The score by which the epoch was selected: that of another model than the last, which a rerun has.
SELECTION = "val_miou"

_VERSION = 1
_LARGEST = 1 << 16
# Files that reports read.
_FILES = (RECORD, INSTANCES, METRICS)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The check that a run has passed.

    Attributes:
        level: a key of `LEVELS`.
        not_checked: names of `MEASURED`, `RECOUNTED` and `SELECTION` that the run's maker alone says.
        signer: who signed the list of its files, by the verifier's allowed signers; None for nobody.
    """

    level: Level
    not_checked: tuple[str, ...] = ()
    signer: str | None = None

    @property
    def rank(self) -> int:
        """Place of the level in `LEVELS`."""
        return [*LEVELS].index(self.level)


#: The check of a run that nothing is kept of.
UNKNOWN = Check(level="files", not_checked=(*RECOUNTED, *MEASURED, SELECTION))


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run as it was checked.

    Attributes:
        sha256: SHA-256 of its content.
        state: its size, times and number, with which it need not be read again, as Git does it.
    """

    sha256: Digest
    state: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Describes a file."""
        # First, because a change while it is read must not pass.
        state = _state(path)
        return cls(sha256=sha256_file(own_file(path)), state=state)

    def is_at(self, path: Path) -> bool:
        """Returns whether the file is unchanged."""
        return self.state == _state(path) or self.sha256 == sha256_file(own_file(path))


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file."""

    version: Count
    files: dict[str, _File]
    check: Check


def keep_check(run: Path, check: Check) -> Check:
    """Keeps the check of a run, unless a higher one is kept of the same files.

    Args:
        run: folder of the run.
        check: what was found by who calls this.

    Returns:
        The check that is kept now.
    """
    known = find_check(run)
    # A snapshot of the Hugging Face Hub is in a cache, and in no folder of runs.
    if known.rank > check.rank or _path(run).parent.name == "snapshots":
        return known
    # The files are the same, so that who signed them is, too.
    check = msgspec.structs.replace(check, signer=check.signer or known.signer)
    files = {path.name: _File.of(path) for path in _files(run)}
    kept = _Kept(version=_VERSION, files=files, check=check)
    try:
        write_json(_path(run), msgspec.to_builtins(kept))
    except OSError as error:
        # Nothing of the run depends on it, which may lie in somebody else's folder.
        log.warning("%s: that its check is %r is not kept: %s", run, check.level, explain(error))
        return known
    return check


def find_check(run: Path) -> Check:
    """Returns the check that is kept of a run; `UNKNOWN` if there is none, or the run's files are others."""
    path = _path(run)
    try:
        # Most runs have none, which takes one question to find out.
        if not path.is_file():
            return UNKNOWN
        kept = read_struct(path, _Kept, what="a check of a run", newest=_VERSION, largest=_LARGEST)
        there = {path.name: path for path in _files(run)}
        same = there.keys() == kept.files.keys()
        return kept.check if same and all(kept.files[name].is_at(there[name]) for name in there) else UNKNOWN
    except (InputError, OSError):
        return UNKNOWN


def lowest(checks: Sequence[Check]) -> Check:
    """Returns the check that holds for all of several runs: the lowest level, and all that is not checked."""
    names = {name for check in checks for name in check.not_checked}
    signers = {check.signer for check in checks}
    return Check(
        level=min(checks, key=lambda check: check.rank).level,
        not_checked=tuple(name for name in UNKNOWN.not_checked if name in names),
        signer=signers.pop() if len(signers) == 1 else None,
    )


def _path(run: Path) -> Path:
    # Not resolved: a run's folder may be a link, and the check is of the name in this folder of runs.
    folder = Path(os.path.abspath(run))
    return folder.parent / f".{folder.name}.check.json"


def _files(run: Path) -> list[Path]:
    return [run / name for name in _FILES if (run / name).is_file()]


def _state(path: Path) -> str:
    found = path.stat()
    return " ".join(map(str, (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)))
