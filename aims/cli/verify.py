"""`aims verify PATH`: every promise of the dataset format, or every score of a run, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from aims.cli._options import MODEL, data_option, device_option, json_option, path_option, weights_option
from aims.cli._terminal import counting, out, print_json
from aims.core.errors import AimsError, InputError
from aims.core.words import count

if TYPE_CHECKING:
    from aims.engine.rerun import Rerun
    from aims.engine.submission import Outcome


@click.command()
@click.argument("path", type=MODEL)
@data_option("Of a run or a submission: a converted folder, or a folder of several, with its dataset.")
@path_option("--into", "Of a submission: folder of runs that it is added to, if nothing is wrong.")
@click.option(
    "--rerun",
    "again",
    is_flag=True,
    help="Of a run or a submission with weights: predict every mask again, too. Nothing is trained.",
)
@path_option(
    "--allowed-signers",
    "Of a submission: names and public SSH keys of those who may have signed it (man ssh-keygen).",
)
@weights_option()
@device_option()
@json_option("Print the findings as JSON.")
def command(
    path: Path,
    data: Path,
    into: Path | None,
    again: bool,
    allowed_signers: Path | None,
    weights: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Check a dataset's format, or the scores of a run or a submission.

    Of a dataset: schema, checksums, fingerprint, instances, clicks and splits. Of a run: every IoU
    and every mean, computed again from the stored masks and the dataset, and every claim that
    follows from these. Of a submission (a file of `aims submit`): the same, its checksums and its
    name. With --rerun the model predicts every mask again, on --device, from the weights that the
    run trained and --weights that it started from. With --allowed-signers one of these must have
    signed the submission. Names every failure and where it is; the exit
    code is 1 if there is one. The level of check that a run has passed is kept beside it for
    `aims report`. Of a folder of runs each finished one is checked.
    """
    from aims.core.records import RECORD

    is_run = (path / RECORD).is_file()
    for option, given in (("--into", into), ("--allowed-signers", allowed_signers)):
        if given is not None and not path.is_file():
            raise InputError(f"{path}: no submission (a file of `aims submit`); leave {option} out")
    runs = [] if path.is_file() or is_run else _runs_in(path)
    if not (path.is_file() or is_run or runs):
        if again:
            raise InputError(f"{path}: no run and no submission; leave --rerun out")
        problems, counts = _verify_dataset(path)
        _tell(path, problems, counts, as_json)
        return
    from aims.engine.plan import find_device
    from aims.engine.rerun import Rerun
    from aims.engine.submission import verify_submission

    how = Rerun(weights=weights, device=find_device(device)) if again else None
    if runs:
        _verify_runs(path, runs, data, how, as_json)
        return
    if is_run:
        outcome = _verify_run(path, data, how)
    else:
        with counting("verify") as counter:
            outcome = verify_submission(
                path, data, into=into, again=how, allowed=allowed_signers, on_progress=counter.advance
            )
    lines, facts = _described(outcome)
    lines += [f"added to {into}"] if into is not None else []
    _tell(path, outcome.problems, outcome.counts, as_json, lines, facts)


def _runs_in(path: Path) -> list[Path]:
    """Returns the runs in a folder of runs, which no dataset is."""
    from aims.core.records import RECORD, run_folders
    from aims.data.manifest import MANIFEST

    if not path.is_dir() or (path / MANIFEST).exists():
        return []
    return [folder for folder in run_folders(path) if (folder / RECORD).is_file()]


def _verify_runs(path: Path, runs: Sequence[Path], data: Path, how: Rerun | None, as_json: bool) -> None:
    """Verifies each finished run of a folder. Raises AimsError if one has a problem or none is finished."""
    from aims.core.records import is_finished

    found, unfinished, wrong = [], [], 0
    for run in runs:
        try:
            if not is_finished(run):
                unfinished.append(run)
                continue
            outcome = _verify_run(run, data, how)
            problems, counts = outcome.problems, outcome.counts
            lines, facts = _described(outcome)
        except AimsError as error:
            problems, counts, lines, facts = (str(error),), {}, [], {}
        wrong += bool(problems)
        found.append(_facts(run, problems, counts, facts))
        if not as_json:
            _show(run, problems, counts, lines)
    if as_json:
        print_json({"path": str(path), "runs": found, "unfinished": [str(run) for run in unfinished]})
    elif unfinished:
        out.print(f"{path}: {count(len(unfinished), 'run')} not finished, left out", markup=False)
    if not found:
        raise InputError(f"{path}: none of its runs is finished")
    if wrong:
        raise AimsError(f"{path}: problems found in {wrong:,} of {count(len(found), 'run')}")


def _verify_run(path: Path, data: Path, how: Rerun | None) -> Outcome:
    """Verifies a run, and keeps the check that it passes unless a higher one is kept."""
    from aims.core.checks import keep_check
    from aims.core.records import RunRecord
    from aims.engine.submission import check_run

    images = RunRecord.load(path).scores.images
    with counting("verify", images * (1 if how is None else 2)) as counter:
        outcome = check_run(path, data, again=how, on_progress=counter.advance)
    if outcome.check is None:
        return outcome
    return replace(outcome, check=keep_check(path, outcome.check))


def _described(outcome: Outcome) -> tuple[list[str], dict[str, Any]]:
    """Returns the check that was passed as lines of text, and as JSON; both are empty without one."""
    from aims.core.checks import LEVELS

    if (check := outcome.check) is None:
        return [], {}
    lines = [f"check: {check.level} ({LEVELS[check.level]})"]
    if check.not_checked:
        lines.append(f"not checked: {', '.join(name.replace('_', ' ') for name in check.not_checked)}")
    if check.signer is not None:
        lines.append(f"signed by {check.signer}")
    elif outcome.signed:
        lines.append("signed, it is not checked by whom: give --allowed-signers")
    return lines, {"check": check.level, "not_checked": list(check.not_checked), "signer": check.signer}


def _verify_dataset(folder: Path) -> tuple[Sequence[Any], Mapping[str, int]]:
    from aims.data.read import Dataset
    from aims.data.verify import verify_dataset

    images = Dataset.open(folder).manifest.images
    with counting("verify", images) as counter:
        return verify_dataset(folder, on_progress=counter.advance), {"images": images}


def _tell(
    path: Path,
    problems: Sequence[Any],
    counts: Mapping[str, int],
    as_json: bool,
    lines: Sequence[str] = (),
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Prints what was found. Raises AimsError if there are problems."""
    if as_json:
        print_json(_facts(path, problems, counts, facts))
    else:
        _show(path, problems, counts, lines)
    if problems:
        raise AimsError(f"{path}: {count(len(problems), 'problem')} found")


def _facts(
    path: Path, problems: Sequence[Any], counts: Mapping[str, int], facts: Mapping[str, Any]
) -> dict[str, Any]:
    found = [text if isinstance(text, str) else vars(text) for text in problems]
    return {"path": str(path), **counts, **facts, "problems": found}


def _show(path: Path, problems: Sequence[Any], counts: Mapping[str, int], lines: Sequence[str]) -> None:
    for problem in problems:
        out.print(str(problem), markup=False)
    if not problems:
        counted = " and ".join(f"{number:,} {name}" for name, number in counts.items())
        for line in (f"{path}: {counted} verified, no problem found", *lines):
            out.print(line, markup=False)
