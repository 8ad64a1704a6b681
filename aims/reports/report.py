"""Writes tables, figures and the HTML page from run folders: what `aims report` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aims.reports.folder import keep_report
from aims.reports.runs.load import read_runs, sort_runs
from aims.reports.runs.workers import Workers

if TYPE_CHECKING:
    from aims.reports.contents import ReportResult


def write_report(
    runs: Path,
    out: Path,
    *,
    against: str | None = None,
    data: Path | None = None,
    title: str = "AIMS leaderboard",
    jobs: int = 1,
) -> ReportResult:
    """Writes the paper's tables and figures, every method beside every sensor with paired tests, and a page.

    Files that an earlier report wrote into the folder and this one does not are removed.

    Args:
        runs: folder of run folders, as `aims run` leaves them.
        out: folder for the files; made where it does not exist.
        against: what the comparison tests others against, METHOD or METHOD:TUNING; see `build_comparisons`.
            "paper" lists every published number with ours beside it instead.
        data: folder of converted datasets, for the pictures of masks; without it, or without the runs'
            datasets in it, no masks are drawn.
        title: heading of the page.
        jobs: maximum number of processes; with more than 1, a script must guard its main module
            (see `aims.core.processes.process_pool`).

    Raises:
        InputError: `runs` does not exist, `out` cannot be made a folder, there is no run of `against`, or
            there is no finished run at all and `out` holds a report of some.
    """
    with Workers(jobs) as workers:
        reading = read_runs(runs, workers)
        # Imported while the processes read: it takes as long as reading hundreds of runs.
        from aims.reports.contents import write_contents

        loaded, unusable = sort_runs(reading)
        if not loaded:
            keep_report(out, runs)
        return write_contents(loaded, unusable, workers, out, against, data, title)
