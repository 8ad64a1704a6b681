"""Datasets and runs of earlier versions, which stay readable."""

from __future__ import annotations

from pathlib import Path

from aims.core.submissions import open_submission

EARLIER = Path(__file__).parent / "earlier"


def earlier_run(folder: Path) -> Path:
    """Unpacks a run of an earlier version as it was left, with its weights; returns its folder."""
    (path,) = EARLIER.glob("version-2/*vipt*.zip")
    submission = open_submission(path)
    assert submission.unpack(folder / submission.run) == []
    return folder / submission.run
