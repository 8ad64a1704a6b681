"""One run from configuration to record: plan, train, evaluate, write down."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from filelock import FileLock, Timeout
from msgspec.structs import replace
from torch import Tensor

from aims.core.curve import EpochLine
from aims.core.errors import AimsError, Busy
from aims.core.records import METRICS, RESUME, WEIGHTS, InstanceRow, RunContent, RunRecord, is_finished
from aims.core.structs import read_lines
from aims.data.read import ImageRef
from aims.engine.checkpoint import TrainingState, load_trained
from aims.engine.evaluate import evaluate
from aims.engine.floors import run_floor
from aims.engine.initial import save_initial
from aims.engine.inputs import survey
from aims.engine.job import Job
from aims.engine.machine import PeakMemory
from aims.engine.record import begin_record, fail_record, finish_record
from aims.engine.samples import Source, split_images
from aims.engine.train import RunObserver, Stopped, Trainer
from aims.methods import BACKBONES, METHODS, build_model, count_parameters, describe, has_model
from aims.models.flops import count_flops
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters


def run(job: Job, *, fresh: bool = False, observer: RunObserver | None = None) -> tuple[RunRecord, bool]:
    """Trains and evaluates, or goes on with an unfinished run, or answers from a finished one.

    Args:
        job: what to do.
        fresh: discard what is there.
        observer: receives the progress.

    Returns:
        The run's record, and whether it was finished before.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, after saving.
        AimsError: training failed, or another process works on the same run.
    """
    with _working_on(job, fresh):
        # As the first process sees it, before any of them changes something.
        if job.distributed.any(job.distributed.is_main and is_finished(job.folder)):
            # A kill may have come between the record and this.
            (job.folder / RESUME).unlink(missing_ok=True)
            return RunRecord.load(job.folder), True
        record = _make(job, observer or RunObserver(), job.config.epochs)
        assert record is not None
        return record, False


def run_until(job: Job, epochs: int, *, fresh: bool = False, observer: RunObserver | None = None) -> float:
    """Trains a run up to an epoch, or takes it as it is if it has come further; `run` goes on from there.

    Args:
        job: what to do.
        epochs: a multiple of `score_every`, at most the run's.
        fresh: discard what is there.
        observer: receives the progress.

    Returns:
        The best score up to that epoch on the split that the protocol selects on.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, after saving.
        AimsError: training failed, or another process works on the same run.
    """
    with _working_on(job, fresh):
        if not job.distributed.any(job.distributed.is_main and is_finished(job.folder)):
            _make(job, observer or RunObserver(), epochs)
            job.distributed.barrier()
        lines = read_lines(job.folder / METRICS, EpochLine)
        scores = [line.miou(job.protocol.select_on) for line in lines if line.epoch <= epochs]
        return max(score for score in scores if score is not None)


@contextmanager
def _working_on(job: Job, fresh: bool) -> Iterator[None]:
    """Locks the run's folder, and leaves torch's generators as they were."""
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    lock = (
        FileLock(job.runs / f".{folder.name}.lock", timeout=0) if job.distributed.is_main else nullcontext()
    )
    try:
        with lock:
            if fresh and job.distributed.is_main:
                shutil.rmtree(folder)
                folder.mkdir()
            job.distributed.barrier()
            # Dropout and data loaders draw from torch's global generators.
            with torch.random.fork_rng([job.device] if job.device.type == "cuda" else []):
                yield
    except Timeout:
        raise Busy(f"{folder}: another process is working on this run") from None


def _make(job: Job, observer: RunObserver, until: int) -> RunRecord | None:
    """Makes a run, or its training up to an epoch, which leaves no record of a finished one."""
    peak = PeakMemory(job.device)
    refs = split_images(job.dataset, job.protocol, job.config.seed, job.config.limit, job.config.train_images)
    if not has_model(job.config.method):
        return _make_floor(job, refs, observer, peak)
    plan = _plan(job, refs, observer)
    try:
        state = _train(job, plan, observer, until, peak)
        if until < job.config.epochs:
            return None
        rows = _evaluate(job, plan, observer, state)
        state.hold(peak.read())
    except Stopped:
        raise
    except (AimsError, RuntimeError) as error:
        raise fail_record(job, plan.record, error) from None
    return finish_record(job, plan.refs, plan.record, state, rows)


def _make_floor(
    job: Job, refs: Mapping[str, tuple[ImageRef, ...]], observer: RunObserver, peak: PeakMemory
) -> RunRecord:
    """The run of a method without a model: nothing is built, surveyed or trained, and no sensor is read."""
    began = time.perf_counter()
    counted = describe(**_method(job))
    record = begin_record(job, refs, counted.parameters, counted.flops)
    if not job.distributed.is_main:
        job.distributed.barrier()
        return RunRecord.load(job.folder)
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
    """What is trained, on what, and what run.json says of it beforehand."""

    model: Segmenter
    source: Source
    refs: Mapping[str, tuple[ImageRef, ...]]
    mask_size: int
    record: RunContent


def _plan(job: Job, refs: dict[str, tuple[ImageRef, ...]], observer: RunObserver) -> _Plan:
    """Surveys the training part and builds the model, on its device."""
    config, backbone = job.config, BACKBONES[job.config.backbone]
    observer.stage("read", len(refs["train"]))
    surveyed = survey(
        job.dataset,
        job.modality,
        refs["train"],
        job.protocol,
        # No method may know which channels are RGB but those that fuse RGB by design (paper, Table 2).
        shuffle_seed=None if METHODS[config.method].knows_rgb else config.seed,
        on_progress=observer.advance,
    )
    refs["train"] = surveyed.usable
    model = _build(job, None if job.initial is None else job.initial.state)
    if job.initial is not None and job.distributed.is_main:
        save_initial(job.folder, model, _build(job), job.initial)
    record = begin_record(job, refs, count_parameters(model), count_flops(model), surveyed.preprocessing)
    model.to(job.device)
    model.path = job.path
    source = Source(
        dataset=job.dataset,
        modality=job.modality,
        protocol=job.protocol,
        preprocessing=surveyed.preprocessing,
        input_size=backbone.image_size,
    )
    return _Plan(model=model, source=source, refs=refs, mask_size=backbone.mask_size, record=record)


def _method(job: Job) -> dict[str, Any]:
    """The arguments by which `build_model` and `describe` know a run's method."""
    return {
        "method": job.config.method,
        "tuning": job.config.tuning,
        "backbone": job.config.backbone,
        "channels": job.modality.channels or 0,
        "options": job.config.options,
    }


def _build(job: Job, initial: Mapping[str, Tensor] | None = None) -> Segmenter:
    return build_model(**_method(job), weights=job.weights, seed=job.config.seed, initial=initial)


def _train(job: Job, plan: _Plan, observer: RunObserver, until: int, peak: PeakMemory) -> TrainingState:
    """Trains, and leaves the model with the selected weights; a model without anything to train stays."""
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
    job.distributed.barrier()
    load_trained(job.folder / WEIGHTS, plan.model)
    return state


def _evaluate(job: Job, plan: _Plan, observer: RunObserver, state: TrainingState) -> list[InstanceRow]:
    """Scores the test split, and adds the time that it took to the run's."""
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
