"""`aims verify PATH`: every promise of the dataset format, or every score of a run, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aims.cli._options import MODEL, data_option, json_option, path_option
from aims.cli._terminal import counting, out, print_json
from aims.core.errors import AimsError, InputError


@click.command()
@click.argument("path", type=MODEL)
@data_option("Of a run or a submission: a converted folder, or a folder of several, with its dataset.")
@path_option("--into", "Of a submission: folder of runs that it is added to, if nothing is wrong.")
@json_option("Print the findings as JSON.")
def command(path: Path, data: Path, into: Path | None, as_json: bool) -> None:
    """Check a dataset's format, or the scores of a run or a submission.

    Of a dataset: schema, checksums, fingerprint, instances, clicks and splits. Of a run: every IoU
    and every mean, computed again from the stored masks and the dataset. Of a submission (a file
    of `aims submit`): the same, its checksums and its name. Names every failure and where it is;
    the exit code is 1 if there is one.
    """
    from aims.core.records import RECORD

    if path.is_file():
        problems, summary = _verify_submission(path, data, into)
    elif into is not None:
        raise InputError(f"{path}: no submission (a file of `aims submit`); leave --into out")
    else:
        problems, summary = (_verify_run if (path / RECORD).is_file() else _verify_dataset)(path, data)
    if as_json:
        found = [text if isinstance(text, str) else vars(text) for text in problems]
        print_json({"path": str(path), **summary, "problems": found})
    else:
        for problem in problems:
            out.print(str(problem), markup=False)
    if problems:
        raise AimsError(f"{path}: {len(problems)} problem{'s' * (len(problems) > 1)} found")
    if not as_json:
        counted = " and ".join(f"{number:,} {name}" for name, number in summary.items())
        added = f"; added to {into}" if into is not None else ""
        out.print(f"{path}: {counted} verified, no problem found{added}", markup=False)


def _verify_dataset(folder: Path, _: Path) -> tuple[list[Any], dict[str, int]]:
    from aims.data.read import Dataset
    from aims.data.verify import verify_dataset

    images = Dataset.open(folder).manifest.images
    with counting("verify", images) as counter:
        return verify_dataset(folder, on_progress=counter.advance), {"images": images}


def _verify_run(folder: Path, data: Path) -> tuple[list[Any], dict[str, int]]:
    from aims.core.records import RunRecord
    from aims.engine.verify import verify_run

    scores = RunRecord.load(folder).scores
    counts = {"instances": scores.instances, "images": scores.images}
    with counting("verify", scores.images) as counter:
        return verify_run(folder, data, on_progress=counter.advance), counts


def _verify_submission(path: Path, data: Path, into: Path | None) -> tuple[list[Any], dict[str, int]]:
    from aims.engine.submission import verify_submission

    with counting("verify") as counter:
        problems, counts = verify_submission(path, data, into=into, on_progress=counter.advance)
    return list(problems), counts
