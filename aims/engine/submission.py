"""Checks a submission from scratch: its files, then everything that follows from them and the dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from aims.core.errors import AimsError, InputError
from aims.core.records import INSTANCES, RECORD, RunRecord
from aims.core.submissions import SUFFIX, open_submission
from aims.engine.evaluate import count_images
from aims.engine.verify import read_rows, verify_rows


def verify_submission(
    path: Path,
    data: Path,
    *,
    into: Path | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> tuple[list[str], dict[str, int]]:
    """Unpacks a submission beside everything else, and checks it as `aims.engine.verify.verify_run` does.

    Args:
        path: the file.
        data: a converted dataset or a folder of several, with the run's own among them.
        into: folder of runs that the run is added to, if nothing is wrong; None for none.
        on_progress: called with the number of further images that are done.

    Returns:
        What is wrong, one line each, and how many instances and images the run scored.

    Raises:
        InputError: the file is no submission, `into` has the run already, or the dataset is not there.
    """
    submission = open_submission(path)
    if into is not None:
        if (into / submission.run).exists():
            raise InputError(f"{into / submission.run}: is there already; remove it, or give another --into")
        into.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unpacked-", dir=into) as temporary:
        folder = Path(temporary) / submission.run
        if problems := submission.unpack(folder):
            return problems, {}
        try:
            problems, counts = _check(folder, data, on_progress)
        except AimsError as error:
            # Nobody knows the folder.
            raise type(error)(str(error).replace(str(folder), str(path))) from None
        if not problems and into is not None:
            os.rename(folder, into / submission.run)
    return [problem.replace(f"{folder}/", "").replace(str(folder), str(path)) for problem in problems], counts


def _check(folder: Path, data: Path, on_progress: Callable[[int], None]) -> tuple[list[str], dict[str, int]]:
    try:
        record = RunRecord.load(folder)
        rows = read_rows(folder / INSTANCES)
    except InputError as error:
        # The file is whole: somebody wrote this.
        return [str(error)], {}
    if record.config.run_name != folder.name:
        return [f"{RECORD}: its configuration is that of {record.config.run_name}{SUFFIX}"], {}
    counts = {"instances": len(rows), "images": count_images(rows)}
    return verify_rows(record, rows, data, on_progress=on_progress), counts
