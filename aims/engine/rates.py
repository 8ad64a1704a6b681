"""Selection of the learning rate among the paper's seven, by the protocol's selection score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from aims.core.checks import find_check, keep_check
from aims.core.errors import AimsError, Busy, InputError
from aims.core.records import RunRecord, TriedRates
from aims.core.vocabulary import PROTOCOLS
from aims.engine.job import Job
from aims.engine.run import run, run_until
from aims.engine.stopping import Stopped
from aims.engine.train import RunObserver

#: Learning rates of the paper's sweep (Table 5).
RATES = (3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
#: Number of rates that `strict` trains to the end, after training all for a fifth of the epochs.
KEPT = 3


@dataclass(frozen=True, kw_only=True)
class RateSweep:
    """The result of a sweep over learning rates.

    Attributes:
        best: record of the run with the best rate.
        scores: mIoU by rate on the split that the protocol selects on, 0..1; None where training failed.
        stopped: rates that were dropped after a fifth of the epochs.
    """

    best: RunRecord
    scores: Mapping[float, float | None]
    stopped: tuple[float, ...]


def run_rates(job: Job, *, fresh: bool = False, observer: RunObserver | None = None) -> RateSweep:
    """Runs a job with every learning rate, or resumes such runs, and selects the best rate.

    `strict` selects on the validation part: all rates are trained for a fifth of the epochs, and the best
    three to the end. `paper` selects on the test split, as the paper did, and trains all rates to the end. A
    rate with which training fails is left out.

    Args:
        job: the run to make; its own learning rate is ignored.
        fresh: whether to discard earlier results of these runs.
        observer: receives the progress.

    Returns:
        The best run, whose record lists the rates that were tried, and the scores of all rates.

    Raises:
        Stopped: on a signal (`StopRequest`), after saving.
        InputError: the method trains nothing.
        Busy: another process works on one of the runs.
        AimsError: training failed with every rate.
    """
    if not job.config.epochs:
        raise InputError(f"method {job.config.method!r} trains nothing; there is no rate to choose")
    jobs = {rate: dataclasses.replace(job, config=dataclasses.replace(job.config, lr=rate)) for rate in RATES}
    scores: dict[float, float | None] = dict.fromkeys(RATES)
    kept = list(RATES)
    every = job.config.score_every
    # Only scored epochs can be compared.
    early = every * max(1, round(job.config.epochs / 5 / every))
    by_validation = PROTOCOLS[job.config.protocol].select_on == "val"
    if by_validation and early < job.config.epochs:
        for rate in RATES:
            scores[rate] = _until(jobs[rate], early, fresh, observer)
        kept = [rate for rate in _ranked(scores) if scores[rate] is not None][:KEPT]
        # These runs are resumed below, not started again.
        fresh = False
    records: dict[float, RunRecord] = {}
    for rate in sorted(kept):
        try:
            records[rate], _ = run(jobs[rate], fresh=fresh, observer=observer)
        except (Stopped, Busy):
            # Each is an `AimsError`, too, but not a failure of this rate.
            raise
        except AimsError:
            scores[rate] = None
            continue
        found = records[rate].scores
        scores[rate] = found.val_miou if by_validation else found.miou
    if not records:
        raise AimsError(f"training failed with every rate from {RATES[0]:g} to {RATES[-1]:g}; see {job.runs}")
    best = next(rate for rate in _ranked(scores) if rate in records)
    stopped = tuple(rate for rate in RATES if rate not in kept and scores[rate] is not None)
    return RateSweep(best=_noted(job, records[best], scores, stopped), scores=scores, stopped=stopped)


def _until(job: Job, epochs: int, fresh: bool, observer: RunObserver | None) -> float | None:
    try:
        return run_until(job, epochs, fresh=fresh, observer=observer)
    except (Stopped, Busy):
        raise
    except AimsError:
        return None


def _ranked(scores: Mapping[float, float | None]) -> list[float]:
    """Sorts rates by score, best first; ties go to the lower rate."""
    return sorted(scores, key=lambda rate: (-(scores[rate] or 0.0), rate))


def _noted(
    job: Job, record: RunRecord, scores: Mapping[float, float | None], stopped: tuple[float, ...]
) -> RunRecord:
    """Adds the rates that were tried to the record of the best run."""
    tried = TriedRates(
        scores={f"{rate:g}": score for rate, score in scores.items()}, stopped_early=list(stopped)
    )
    with job.distributed.failing_together():
        if job.distributed.is_main:
            made_here = find_check(record.path)
            replace(record.content, learning_rates=tried).write(record.path)
            keep_check(record.path, made_here)
    return RunRecord.load(record.path)
