"""Verification of a submission: its files, then its scores against the dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir

from aims.core.errors import AimsError, InputError
from aims.core.files import temporary_folder
from aims.core.processes import interrupted_by_signals
from aims.core.records import RECORD, RunRecord
from aims.core.submissions import SUFFIX, open_submission
from aims.engine.verify import verify_run


def verify_submission(
    path: Path,
    data: Path,
    *,
    into: Path | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> tuple[list[str], dict[str, int]]:
    """Unpacks a submission into a temporary folder, and verifies it as `aims.engine.verify.verify_run` does.

    Args:
        path: submission file.
        data: a converted dataset or a folder of several, one of which is the run's.
        into: folder of runs to which the run is added if there is no problem; None for none.
        on_progress: called with the number of images finished since the last call.

    Returns:
        Problems, one line each; and the number of "instances" and of "images" that the run scored, empty if
        its files could not be read.

    Raises:
        InputError: the file is no submission, `into` has the run already, or the dataset is missing.
    """
    submission = open_submission(path)
    if into is not None:
        if (into / submission.run).exists():
            raise InputError(f"{into / submission.run}: is there already; remove it, or give another --into")
        into.mkdir(parents=True, exist_ok=True)
    # Inside `into`, so that the rename below stays on one file system.
    parent = Path(gettempdir()) if into is None else into
    with interrupted_by_signals(), temporary_folder(parent, "unpacked") as temporary:
        folder = temporary / submission.run
        if problems := submission.unpack(folder):
            return problems, {}
        try:
            problems, counts = _check(folder, data, on_progress)
        except AimsError as error:
            # Messages name the submission: the temporary folder means nothing to the user.
            raise type(error)(str(error).replace(str(folder), str(path))) from None
        if not problems and into is not None:
            os.rename(folder, into / submission.run)
    return [problem.replace(f"{folder}/", "").replace(str(folder), str(path)) for problem in problems], counts


def _check(folder: Path, data: Path, on_progress: Callable[[int], None]) -> tuple[list[str], dict[str, int]]:
    try:
        record = RunRecord.load(folder)
    except InputError as error:
        # The checksums match, so this is what the submitter wrote: a problem of the run, not of the input.
        return [str(error)], {}
    if record.config.run_name != folder.name:
        return [f"{RECORD}: its configuration is that of {record.config.run_name}{SUFFIX}"], {}
    counts = {"instances": record.scores.instances, "images": record.scores.images}
    return verify_run(folder, data, on_progress=on_progress), counts
