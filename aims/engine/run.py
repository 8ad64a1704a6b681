"""One run from configuration to record: build, train, evaluate, write down."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from aims.core.config import RunConfig
from aims.core.errors import AimsError, Busy
from aims.core.files import atomic_write, read_json, write_json
from aims.core.records import (
    INSTANCE_SCHEMA,
    INSTANCES,
    METRICS,
    RECORD,
    RESUME,
    RUN_VERSION,
    SAMPLES,
    WEIGHTS,
    RunRecord,
)
from aims.core.vocabulary import PROTOCOLS, Modality
from aims.data.read import Dataset, ImageRef
from aims.engine._machine import PeakMemory, commit, hardware
from aims.engine.checkpoint import TrainingState, load_weights
from aims.engine.evaluate import count_images, evaluate, large_iou, mean_iou
from aims.engine.floors import run_floor
from aims.engine.initial import Initial, save_initial
from aims.engine.inputs import dataset_facts, survey
from aims.engine.samples import Source, split_images
from aims.engine.sheet import save_sheet
from aims.engine.team import Team
from aims.engine.train import Observer, Stopped, Trainer
from aims.methods import (
    BACKBONES,
    METHODS,
    build_model,
    count_parameters,
    describe,
    has_model,
    known_options,
)
from aims.models.attention import Path as ModelPath
from aims.models.flops import count_flops
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters
from aims.version import __version__

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What a run needs beside its configuration.

    Attributes:
        config: everything that decides the numbers.
        dataset: the dataset of the configuration.
        modality: its modality, with the channel count filled in.
        weights: tensors of the plain SAM; None for random weights.
        initial: what another run trained, to start from; None for none.
        device: where to run.
        runs: folder of all runs.
        workers: processes that read ahead.
        checkpoint_every: steps after which a training is saved, beside the end of every epoch; None: only
            there.
        path: how the model is computed; it changes no number beyond rounding.
        team: the processes that work on it together.
    """

    config: RunConfig
    dataset: Dataset
    modality: Modality
    weights: Mapping[str, Tensor] | None
    initial: Initial | None = None
    device: torch.device
    runs: Path
    workers: int = 0
    checkpoint_every: int | None = None
    path: ModelPath = "fast"
    team: Team = dataclasses.field(default_factory=Team)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.runs / self.config.run_name


def run(job: Job, *, fresh: bool = False, observer: Observer | None = None) -> tuple[RunRecord, bool]:
    """Trains and evaluates, or goes on with an unfinished run, or answers from a finished one.

    Args:
        job: what to do.
        fresh: discard what is there.
        observer: is told of progress.

    Returns:
        The run's record, and whether it was finished before.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, after saving.
        AimsError: training failed, or another process works on the same run.
    """
    with _working_on(job, fresh):
        # As the first process sees it, before any of them changes something.
        if job.team.any(job.team.leads and _is_finished(job)):
            # A kill may have come between the record and this.
            (job.folder / RESUME).unlink(missing_ok=True)
            return RunRecord.load(job.folder), True
        record = _run(job, observer or Observer(), job.config.epochs)
        assert record is not None
        return record, False


def run_until(job: Job, epochs: int, *, fresh: bool = False, observer: Observer | None = None) -> float:
    """Trains a run up to an epoch, or takes it as it is if it has come further; `run` goes on from there.

    Args:
        job: what to do.
        epochs: a multiple of `score_every`, at most the run's.
        fresh: discard what is there.
        observer: is told of progress.

    Returns:
        The best score up to that epoch on the split that the protocol selects on.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, after saving.
        AimsError: training failed, or another process works on the same run.
    """
    name = f"{PROTOCOLS[job.config.protocol].select_on}_miou"
    with _working_on(job, fresh):
        if not job.team.any(job.team.leads and _is_finished(job)):
            _run(job, observer or Observer(), epochs)
            job.team.wait()
        lines = map(json.loads, (job.folder / METRICS).read_text(encoding="utf-8").splitlines())
        return float(max(line[name] for line in lines if line["epoch"] <= epochs and name in line))


@contextmanager
def _working_on(job: Job, fresh: bool) -> Iterator[None]:
    """Locks the run's folder, and leaves torch's generators as they were."""
    folder = job.folder
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(job.runs / f".{folder.name}.lock", timeout=0) if job.team.leads else nullcontext()
    try:
        with lock:
            if fresh and job.team.leads:
                shutil.rmtree(folder)
                folder.mkdir()
            job.team.wait()
            # Dropout and data loaders draw from torch's global generators.
            with torch.random.fork_rng([job.device] if job.device.type == "cuda" else []):
                yield
    except Timeout:
        raise Busy(f"{folder}: another process is working on this run") from None


def _is_finished(job: Job) -> bool:
    record = job.folder / RECORD
    return record.is_file() and read_json(record).get("status") == "finished"


def _run(job: Job, observer: Observer, until: int) -> RunRecord | None:
    """Makes a run, or its training up to an epoch, which leaves no record of a finished one."""
    config, protocol, peak = job.config, PROTOCOLS[job.config.protocol], PeakMemory(job.device)
    refs = split_images(job.dataset, protocol, config.seed, config.limit, config.train_images)
    if not has_model(config.method):
        if job.team.leads:
            _run_floor(job, refs, observer, peak)
        job.team.wait()
        return RunRecord.load(job.folder)
    observer.stage("read", len(refs["train"]))
    surveyed = survey(
        job.dataset,
        job.modality,
        refs["train"],
        protocol,
        # No method may know which channels are RGB but those that are told (paper, Table 2).
        shuffle_seed=None if METHODS[config.method].knows_rgb else config.seed,
        on_progress=observer.advance,
    )
    refs["train"] = surveyed.usable
    backbone = BACKBONES[config.backbone]
    model = _build(job, None if job.initial is None else job.initial.state)
    if job.initial is not None and job.team.leads:
        save_initial(job.folder, model, _build(job), job.initial)
    record = _provenance(job, refs) | {
        "preprocessing": surveyed.preprocessing.as_json(),
        "parameters": count_parameters(model).as_json(),
        "flops": dataclasses.asdict(count_flops(model)),
    }
    _write_record(job, record)
    model.to(job.device)
    model.path = job.path
    source = Source(
        dataset=job.dataset,
        modality=job.modality,
        protocol=protocol,
        preprocessing=surveyed.preprocessing,
        input_size=backbone.image_size,
    )
    try:
        state = _train(job, model, source, refs, backbone.mask_size, observer, until, peak)
        if until < config.epochs:
            return None
        observer.stage("test", len(refs["test"]))
        began = time.perf_counter()
        rows = evaluate(
            model,
            source,
            refs["test"],
            precision=config.precision,
            masks=True,
            workers=job.workers,
            team=job.team,
            on_image=observer.advance,
        )
        state.seconds += time.perf_counter() - began
        state.hold(peak.read())
    except Stopped:
        raise
    except (AimsError, RuntimeError) as error:
        failure = _as_failure(error, job)
        _write_record(job, {**record, "status": "failed", "reason": str(failure)})
        raise failure from None
    if job.team.leads:
        save_sheet(job.folder / SAMPLES, job.dataset, job.modality, refs["test"], rows)
        _finish(job, state, rows, record)
    job.team.wait()
    return RunRecord.load(job.folder)


def _build(job: Job, initial: Mapping[str, Tensor] | None = None) -> Segmenter:
    config = job.config
    return build_model(
        method=config.method,
        tuning=config.tuning,
        backbone=config.backbone,
        channels=job.modality.channels or 0,
        weights=job.weights,
        seed=config.seed,
        options=config.options,
        initial=initial,
    )


def _write_record(job: Job, record: dict[str, Any]) -> None:
    if job.team.leads:
        write_json(job.folder / RECORD, record)


def _run_floor(
    job: Job, refs: Mapping[str, tuple[ImageRef, ...]], observer: Observer, peak: PeakMemory
) -> None:
    """The run of a method without a model: nothing is built, surveyed or trained, and no sensor is read."""
    config, began = job.config, time.perf_counter()
    counted = describe(
        method=config.method,
        tuning=config.tuning,
        backbone=config.backbone,
        channels=job.modality.channels or 0,
        options=config.options,
    )
    record = _provenance(job, refs) | {
        "preprocessing": None,
        "parameters": counted.parameters.as_json(),
        "flops": dataclasses.asdict(counted.flops),
    }
    write_json(job.folder / RECORD, record)
    try:
        outcome = run_floor(config, job.dataset, refs, observer)
    except AimsError as error:
        write_json(job.folder / RECORD, {**record, "status": "failed", "reason": str(error)})
        raise
    record |= {"selected_on": outcome.chosen_on, "chosen": dict(outcome.chosen)}
    save_sheet(job.folder / SAMPLES, job.dataset, job.modality, refs["test"], outcome.rows)
    best = {"epoch": 0} if outcome.val_miou is None else {"epoch": 0, "val_miou": outcome.val_miou}
    state = TrainingState(seconds=time.perf_counter() - began, best=best, peak_bytes=peak.read())
    _finish(job, state, outcome.rows, record)


def _train(
    job: Job,
    model: Segmenter,
    source: Source,
    refs: Mapping[str, tuple[ImageRef, ...]],
    mask_size: int,
    observer: Observer,
    until: int,
    peak: PeakMemory,
) -> TrainingState:
    """Trains and leaves the model with the selected weights; a model without anything to train stays."""
    if not declared_parameters(model):
        return TrainingState(best={"epoch": 0})
    trainer = Trainer(
        config=job.config,
        folder=job.folder,
        model=model,
        source=source,
        refs=refs,
        mask_size=mask_size,
        workers=job.workers,
        checkpoint_every=job.checkpoint_every,
        observer=observer,
        team=job.team,
        peak=peak,
    )
    state = trainer.run(until)
    job.team.wait()
    load_weights(job.folder / WEIGHTS, model)
    return state


def _as_failure(error: AimsError | RuntimeError, job: Job) -> Exception:
    """Puts torch's lack of memory into words; every other error stays as it is."""
    # On a CPU it is a plain RuntimeError.
    lacking = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    if not lacking:
        return error
    return AimsError(
        f"out of memory on {job.device} with batches of {job.config.batch_size}: try a smaller --batch-size, "
        f"--precision bf16, or a smaller --backbone (the last epoch is kept in {job.folder})"
    )


def _finish(job: Job, state: TrainingState, rows: Sequence[dict[str, Any]], record: dict[str, Any]) -> None:
    assert state.best is not None  # the last epoch is always scored
    with atomic_write(job.folder / INSTANCES) as beside:
        pq.write_table(pa.Table.from_pylist(list(rows), INSTANCE_SCHEMA), beside, compression="zstd")
    scores = {
        "miou": mean_iou(rows),
        "instances": len(rows),
        "images": count_images(rows),
        "epoch": state.best["epoch"],
        **{key: value for key, value in state.best.items() if key == "val_miou"},
        **large_iou(rows),
    }
    grid = [row["iou_grid"] for row in rows if row["iou_grid"] is not None]
    scores["miou_grid"] = sum(grid) / len(grid) if grid else None
    record |= {
        "status": "finished",
        "scores": scores,
        "seconds": round(state.seconds, 3),
        "peak_memory_bytes": state.peak_bytes,
        "micro_batch": state.micro_batch,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(job.folder / RECORD, record)
    (job.folder / RESUME).unlink(missing_ok=True)


def _provenance(job: Job, refs: Mapping[str, tuple[ImageRef, ...]]) -> dict[str, Any]:
    protocol = PROTOCOLS[job.config.protocol]
    return {
        "version": RUN_VERSION,
        "status": "running",
        "config": dataclasses.asdict(job.config),
        "dataset": dataset_facts(job.dataset, job.modality),
        "images": {split: len(images) for split, images in refs.items()},
        "selected_on": protocol.select_on,
        "options": known_options(job.config.method, job.config.tuning) | dict(job.config.options),
        "code": {"aims": __version__, "commit": commit(), "torch": torch.__version__},
        "hardware": hardware(job.device),
        **({} if job.initial is None else {"init": job.initial.as_json()}),
        "path": job.path,
        "processes": job.team.size,
        "command": sys.argv,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
