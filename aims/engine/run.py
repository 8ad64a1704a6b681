"""One run from configuration to record: plan, train, evaluate, record."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from aims.core.curve import EpochLine, best_epoch
from aims.core.errors import AimsError
from aims.core.records import METRICS, RESUME, WEIGHTS, InstanceRow, RunContent, RunRecord, is_finished
from aims.core.staging import held
from aims.core.structs import read_lines
from aims.data.refs import ImageRef
from aims.data.verified import require_verified
from aims.engine.checkpoint import TrainingState, load_trained
from aims.engine.evaluate import evaluate
from aims.engine.floors import FloorOutcome, run_floor
from aims.engine.initial import save_initial
from aims.engine.inputs import survey
from aims.engine.job import Job
from aims.engine.lock import run_lock
from aims.engine.machine import PeakMemory
from aims.engine.record import begin_record, fail_record, finish_record
from aims.engine.samples import Source
from aims.engine.stopping import Stopped
from aims.engine.tracking import tracking
from aims.engine.train import RunObserver, Trainer
from aims.methods import BACKBONES, METHODS, Method, build_model, count_parameters, describe, has_model
from aims.methods.options import configure
from aims.models.flops import count_flops
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters


def run(job: Job, *, fresh: bool = False, observer: RunObserver | None = None) -> tuple[RunRecord, bool]:
    """Trains and evaluates a model; resumes an unfinished run, and returns the record of a finished one.

    Args:
        job: the run.
        fresh: whether to discard an earlier run of the same configuration.
        observer: receives the progress.

    Returns:
        The run's record, and whether it had been finished before the call.

    Raises:
        Stopped: on a signal (`StopRequest`), after saving.
        InputError: the dataset violates its format.
        AimsError: training failed, or another process works on the same run.
    """
    _verify(job, fresh, observer)
    with _working_on(job, fresh):
        # All processes must take the same branch: they follow the main one, which alone holds the lock.
        if job.distributed.any(job.distributed.is_main and is_finished(job.folder)):
            # An earlier process may have been killed after it wrote the record and before this.
            (job.folder / RESUME).unlink(missing_ok=True)
            return RunRecord.load(job.folder), True
        with tracking(job, observer or RunObserver()) as told:
            record = _make(job, told, job.config.epochs)
            # `_make` returns None only if it stops before the last epoch.
            assert record is not None
            told.finished(record)
        return record, False


def run_until(job: Job, epochs: int, *, fresh: bool = False, observer: RunObserver | None = None) -> float:
    """Trains a run up to an epoch, unless it is already trained further; `run` can then resume it.

    Args:
        job: the run.
        epochs: number of epochs: a multiple of `score_every`, at most that of the run.
        fresh: whether to discard an earlier run of the same configuration.
        observer: receives the progress.

    Returns:
        The best mIoU up to that epoch, 0..1, on the split that the protocol selects on.

    Raises:
        Stopped: on a signal (`StopRequest`), after saving.
        InputError: the dataset violates its format.
        AimsError: training failed, or another process works on the same run.
    """
    _verify(job, fresh, observer)
    with _working_on(job, fresh):
        if not job.distributed.any(job.distributed.is_main and is_finished(job.folder)):
            with tracking(job, observer or RunObserver()) as told:
                _make(job, told, epochs)
            job.distributed.barrier()
        lines = read_lines(job.folder / METRICS, EpochLine)
        best = best_epoch([line for line in lines if line.epoch <= epochs], job.protocol.select_on)
        assert best is not None  # `epochs` is one that is scored
        return best[1]


def _verify(job: Job, fresh: bool, observer: RunObserver | None) -> None:
    """Checks the dataset before anything is written, unless the run is finished or trusts it."""
    told = observer or RunObserver()
    with job.distributed.failing_together():
        if job.distributed.is_main and not job.trust and (fresh or not is_finished(job.folder)):
            require_verified(job.dataset, on_total=partial(told.stage, "verify"), on_progress=told.advance)


@contextmanager
def _working_on(job: Job, fresh: bool) -> Iterator[None]:
    """Locks the run's folder, and restores the state of PyTorch's global generators at the end."""
    folder = job.folder
    with ExitStack() as stack:
        with job.distributed.failing_together():
            folder.mkdir(parents=True, exist_ok=True)
            # Only the main process writes, so it alone locks.
            if job.distributed.is_main:
                stack.enter_context(held(run_lock(folder), folder, "working on this run"))
            if fresh and job.distributed.is_main:
                shutil.rmtree(folder)
                folder.mkdir()
        try:
            # Dropout and data loaders draw from torch's global generators.
            with torch.random.fork_rng([job.device] if job.device.type == "cuda" else []):
                yield
        finally:
            # It is empty where the run was refused.
            if job.distributed.is_main:
                with suppress(OSError):
                    folder.rmdir()


def _make(job: Job, observer: RunObserver, until: int) -> RunRecord | None:
    """Computes a run; None, without a record, if `until` ends its training early."""
    peak = PeakMemory(job.device)
    if not has_model(job.config.method):
        return _make_floor(job, job.splits, observer, peak)
    plan = _plan(job, job.splits, observer)
    try:
        state = _train(job, plan, observer, until, peak)
        if until < job.config.epochs:
            return None
        rows = _evaluate(job, plan, observer, state)
        state.hold(peak.read())
    except Stopped:
        # Not a failure: run.json keeps the status "running".
        raise
    except (AimsError, RuntimeError) as error:
        raise fail_record(job, plan.record, error) from None
    return finish_record(job, plan.refs, plan.record, state, rows)


def _make_floor(
    job: Job, refs: Mapping[str, tuple[ImageRef, ...]], observer: RunObserver, peak: PeakMemory
) -> RunRecord:
    """Computes the run of a floor: nothing is built, surveyed or trained, and no stream is read."""
    began = time.perf_counter()
    counted = describe(**_method(job))
    record = begin_record(job, refs, counted.parameters, counted.flops)
    with job.distributed.failing_together():
        # A floor is computed by the main process alone, and the others only wait for its record.
        outcome = FloorOutcome()
        if job.distributed.is_main:
            try:
                outcome = run_floor(job.config, job.dataset, refs, observer)
            except AimsError as error:
                raise fail_record(job, record, error) from None
    record = replace(record, selected_on=outcome.chosen_on, chosen=dict(outcome.chosen))
    best = EpochLine(epoch=0, val_miou=outcome.val_miou)
    state = TrainingState(seconds=time.perf_counter() - began, best=best, peak_bytes=peak.read())
    return finish_record(job, refs, record, state, outcome.rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plan:
    """The model, the data it is trained and evaluated on, and the content of run.json so far."""

    model: Segmenter
    source: Source
    refs: Mapping[str, tuple[ImageRef, ...]]
    mask_size: int
    record: RunContent


def _plan(job: Job, refs: dict[str, tuple[ImageRef, ...]], observer: RunObserver) -> _Plan:
    """Surveys the training part, builds the model on its device, and writes the first run.json."""
    config, backbone = job.config, BACKBONES[job.config.backbone]
    observer.stage("read", len(refs["train"]))
    surveyed = survey(
        job.dataset,
        job.modality,
        refs["train"],
        job.protocol,
        # Only methods that fuse RGB with a sensor by design may know which channels are RGB (paper, Table 2).
        shuffle_seed=None if METHODS[config.method].knows_rgb else config.seed,
        rgb=backbone.rgb,
        on_progress=observer.advance,
    )
    refs["train"] = surveyed.usable
    source = Source(
        dataset=job.dataset,
        modality=job.modality,
        protocol=job.protocol,
        preprocessing=surveyed.preprocessing,
        input_size=backbone.image_size,
    )
    model = _build(job, None if job.initial is None else job.initial.state)
    if job.initial is None:
        _fit(job, model, source, surveyed.usable, observer)
    elif job.distributed.is_main:
        save_initial(job.folder, model, _build(job), job.initial)
    record = begin_record(job, refs, count_parameters(model), count_flops(model), surveyed.preprocessing)
    model.to(job.device)
    model.path = job.path
    return _Plan(model=model, source=source, refs=refs, mask_size=backbone.mask_size, record=record)


def _method(job: Job) -> dict[str, Any]:
    """Returns the arguments of `build_model` and `describe` for a run."""
    return {
        "method": job.config.method,
        "tuning": job.config.tuning,
        "backbone": job.config.backbone,
        "channels": job.modality.channels or 0,
        "options": job.config.options,
    }


def _build(job: Job, initial: Mapping[str, Tensor] | None = None) -> Segmenter:
    return build_model(**_method(job), weights=job.weights, seed=job.config.seed, initial=initial)


def _fit(job: Job, model: Segmenter, source: Source, refs: Sequence[ImageRef], observer: RunObserver) -> None:
    """Lets the method set initial weights by the training images."""

    def images() -> Iterator[Tensor]:
        observer.stage("fit", len(refs))
        for ref in refs:
            image = source.dataset.read(ref, source.modality.streams)
            yield source.inputs([source.channels(image)], torch.device("cpu"))[0]
            observer.advance()

    method, _ = configure(job.config.method, job.config.tuning, job.config.options)
    assert isinstance(method, Method)
    method.fit(model, images(), BACKBONES[job.config.backbone].rgb)


def _train(job: Job, plan: _Plan, observer: RunObserver, until: int, peak: PeakMemory) -> TrainingState:
    """Trains the model, if it has trainable parameters, and loads the weights of the selected epoch."""
    if not declared_parameters(plan.model):
        return TrainingState(best=EpochLine(epoch=0))
    trainer = Trainer(
        config=job.config,
        folder=job.folder,
        model=plan.model,
        source=plan.source,
        refs=plan.refs,
        mask_size=plan.mask_size,
        workers=job.workers,
        checkpoint_every=job.checkpoint_every,
        observer=observer,
        distributed=job.distributed,
        peak=peak,
    )
    state = trainer.run(until)
    # The main process writes the weights that all processes load.
    job.distributed.barrier()
    load_trained(job.folder / WEIGHTS, plan.model)
    return state


def _evaluate(job: Job, plan: _Plan, observer: RunObserver, state: TrainingState) -> list[InstanceRow]:
    """Scores the test split, and adds its duration to `state.seconds`."""
    observer.stage("test", len(plan.refs["test"]))
    began = time.perf_counter()
    rows = evaluate(
        plan.model,
        plan.source,
        plan.refs["test"],
        precision=job.config.precision,
        masks=True,
        workers=job.workers,
        distributed=job.distributed,
        on_image=observer.advance,
    )
    state.seconds += time.perf_counter() - began
    return rows
