"""The learning rate chosen among the paper's seven, by the protocol's own score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from aims.core.errors import AimsError, InputError
from aims.core.records import RunRecord, TriedRates
from aims.core.vocabulary import PROTOCOLS
from aims.engine.job import Job
from aims.engine.run import run, run_until
from aims.engine.train import RunObserver, Stopped

#: The paper's (Table 5).
RATES = (3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
#: Under `strict`: rates that are trained to the end, after a fifth of the epochs of all.
KEPT = 3


@dataclass(frozen=True, kw_only=True)
class RateSweep:
    """What a sweep over rates found.

    Attributes:
        best: the record of the run with the best rate.
        scores: by rate, what it was chosen by: the mIoU on the protocol's split; None where training failed.
        stopped: the rates that were left after a fifth of the epochs.
    """

    best: RunRecord
    scores: Mapping[float, float | None]
    stopped: tuple[float, ...]


def run_rates(job: Job, *, fresh: bool = False, observer: RunObserver | None = None) -> RateSweep:
    """Makes a run of every rate, or goes on with what is there, and takes the best.

    `strict` chooses on the validation part: all rates are trained for a fifth of the epochs, the best three
    to the end. `paper` chooses on the test split, as it does with everything, and trains all to the end. A
    rate with which training fails is left out.

    Args:
        job: what to do; its own rate counts for nothing.
        fresh: discard what is there of these runs.
        observer: receives the progress.

    Returns:
        The best run; its record says what was tried.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, after saving.
        InputError: nothing is trained.
        AimsError: training failed with every rate.
    """
    if not job.config.epochs:
        raise InputError(f"method {job.config.method!r} trains nothing; there is no rate to choose")
    jobs = {rate: dataclasses.replace(job, config=dataclasses.replace(job.config, lr=rate)) for rate in RATES}
    scores: dict[float, float | None] = dict.fromkeys(RATES)
    kept = list(RATES)
    every = job.config.score_every
    early = every * max(1, round(job.config.epochs / 5 / every))
    by_validation = PROTOCOLS[job.config.protocol].select_on == "val"
    if by_validation and early < job.config.epochs:
        for rate in RATES:
            scores[rate] = _until(jobs[rate], early, fresh, observer)
        kept = [rate for rate in _ranked(scores) if scores[rate] is not None][:KEPT]
        fresh = False
    records: dict[float, RunRecord] = {}
    for rate in sorted(kept):
        try:
            records[rate], _ = run(jobs[rate], fresh=fresh, observer=observer)
        except Stopped:
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
    except Stopped:
        raise
    except AimsError:
        return None


def _ranked(scores: Mapping[float, float | None]) -> list[float]:
    """The best first; of equal ones the lower rate."""
    return sorted(scores, key=lambda rate: (-(scores[rate] or 0.0), rate))


def _noted(
    job: Job, record: RunRecord, scores: Mapping[float, float | None], stopped: tuple[float, ...]
) -> RunRecord:
    """Writes into the best run's record what was tried beside it."""
    tried = TriedRates(
        scores={f"{rate:g}": score for rate, score in scores.items()}, stopped_early=list(stopped)
    )
    if job.distributed.is_main:
        replace(record.content, learning_rates=tried).write(record.path)
    job.distributed.barrier()
    return RunRecord.load(record.path)
