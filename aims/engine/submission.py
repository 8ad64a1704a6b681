"""Verification of a run or a submission: its files, its scores against the dataset, its model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import gettempdir

from msgspec import structs

from aims.core.checks import Check, keep_check
from aims.core.errors import AimsError, InputError
from aims.core.files import temporary_folder
from aims.core.processes import interrupted_by_signals
from aims.core.records import RECORD, RunRecord
from aims.core.signatures import find_signer, is_available, is_intact
from aims.core.submissions import MANIFEST, SIGNATURE, SUFFIX, Submission, open_submission
from aims.engine.claims import passed
from aims.engine.rerun import Rerun
from aims.engine.verify import verify_run


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found of a run or a submission.

    Attributes:
        problems: one line each.
        counts: number of "instances" and "images" that the run scored; empty if its files cannot be read.
        check: the check that it has passed; None with problems.
        signed: whether the list of files of a submission is signed, by whomever.
    """

    problems: Sequence[str]
    counts: Mapping[str, int] = field(default_factory=dict)
    check: Check | None = None
    signed: bool = False


def check_run(
    folder: Path,
    data: Path,
    *,
    again: Rerun | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Outcome:
    """Verifies a run (`aims.engine.verify.verify_run`, which has the arguments and errors)."""
    record = RunRecord.load(folder)
    counts = {"instances": record.scores.instances, "images": record.scores.images}
    if problems := verify_run(folder, data, again=again, on_progress=on_progress):
        return Outcome(problems=problems, counts=counts)
    return Outcome(problems=(), counts=counts, check=passed(record, again=again is not None))


def verify_submission(
    path: Path,
    data: Path,
    *,
    into: Path | None = None,
    again: Rerun | None = None,
    allowed: Path | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Outcome:
    """Unpacks a submission into a temporary folder, and verifies it as a run.

    Args:
        path: submission file.
        data: a converted dataset or a folder of several, one of which is the run's.
        into: folder of runs to which the run is added if there is no problem, where its check is kept; None
            for none.
        again: how the run's masks are predicted again, if nothing else is wrong; None for not at all.
        allowed: file of allowed signers (`aims.core.signatures.find_signer`), one of whom must have signed;
            None for anybody and nobody.
        on_progress: called with the number of images finished since the last call.

    Raises:
        InputError: the file is no submission, `into` has the run already, the dataset is missing, weights
            that `again` needs, or ssh-keygen, which verifies signatures.
    """
    submission = open_submission(path)
    signer, problem = _check_signature(submission, allowed)
    if problem:
        return Outcome(problems=[problem])
    if into is not None:
        if (into / submission.run).exists():
            raise InputError(f"{into / submission.run}: is there already; remove it, or give another --into")
        into.mkdir(parents=True, exist_ok=True)
    # Inside `into`, so that the rename below stays on one file system.
    parent = Path(gettempdir()) if into is None else into
    with interrupted_by_signals(), temporary_folder(parent, "unpacked") as temporary:
        folder = temporary / submission.run
        if problems := submission.unpack(folder):
            return Outcome(problems=problems)
        try:
            outcome = _check(folder, data, again, on_progress)
        except AimsError as error:
            # Messages name the submission: the temporary folder means nothing to the user.
            raise type(error)(str(error).replace(str(folder), str(path))) from None
        if outcome.check is not None:
            signed = structs.replace(outcome.check, signer=signer)
            outcome = replace(outcome, check=signed, signed=submission.signature is not None)
        if outcome.check is not None and into is not None:
            os.rename(folder, into / submission.run)
            keep_check(into / submission.run, outcome.check)
    named = [each.replace(f"{folder}/", "").replace(str(folder), str(path)) for each in outcome.problems]
    return replace(outcome, problems=named)


def _check_signature(submission: Submission, allowed: Path | None) -> tuple[str | None, str]:
    """Returns the signer, if allowed signers are given, and what is wrong; "" if nothing is."""
    data, signature = submission.manifest, submission.signature
    if signature is None:
        return None, "" if allowed is None else f"{submission.path}: nobody signed it"
    # Without allowed signers a signature proves nothing that its absence would not: it need not be verified.
    if (allowed is not None or is_available()) and not is_intact(data, signature):
        return None, f"{SIGNATURE}: no signature of {MANIFEST}"
    signer = None if allowed is None else find_signer(data, signature, allowed)
    if allowed is not None and signer is None:
        return None, f"{SIGNATURE}: of no signer whom {allowed} allows"
    return signer, ""


def _check(folder: Path, data: Path, again: Rerun | None, on_progress: Callable[[int], None]) -> Outcome:
    try:
        record = RunRecord.load(folder)
    except InputError as error:
        # The checksums match, so this is what the submitter wrote: a problem of the run, not of the input.
        return Outcome(problems=[str(error)])
    if record.config.run_name != folder.name:
        return Outcome(problems=[f"{RECORD}: its configuration is that of {record.config.run_name}{SUFFIX}"])
    return check_run(folder, data, again=again, on_progress=on_progress)
