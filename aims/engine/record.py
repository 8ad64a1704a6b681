"""Writing run.json, when a run starts, fails or finishes, and the scored instances."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from msgspec.structs import replace

from aims.core.checks import Check, keep_check
from aims.core.curve import EpochLine
from aims.core.errors import AimsError
from aims.core.files import atomic_write
from aims.core.records import (
    INSTANCE_SCHEMA,
    INSTANCES,
    RESUME,
    RUN_VERSION,
    SAMPLES,
    Code,
    DatasetFacts,
    InitialRun,
    InstanceRow,
    Operations,
    Parameters,
    Preprocessing,
    RunContent,
    RunRecord,
    Scores,
    StreamFacts,
)
from aims.data.refs import ImageRef
from aims.engine.checkpoint import TrainingState
from aims.engine.contact_sheet import save_contact_sheet
from aims.engine.evaluate import count_images, large_iou, mean_grid_iou, mean_iou
from aims.engine.job import Job
from aims.engine.machine import commit, hardware
from aims.methods import ParameterCounts, known_options
from aims.models.flops import Flops
from aims.models.weights import packaged_name
from aims.version import __version__

Splits = Mapping[str, tuple[ImageRef, ...]]


def begin_record(
    job: Job,
    refs: Splits,
    parameters: ParameterCounts,
    flops: Flops,
    preprocessing: Preprocessing | None = None,
) -> RunContent:
    """Writes run.json at the start of a run, with the status "running".

    Args:
        job: the run.
        refs: images of train, test and, where the protocol has one, val.
        parameters: numbers of parameters of the model.
        flops: floating-point operations of the model.
        preprocessing: mean, standard deviation and channel order; None without a model.
    """
    spec, initial = job.dataset.spec, job.initial
    record = RunContent(
        version=RUN_VERSION,
        status="running",
        config=job.config,
        dataset=DatasetFacts(
            license=spec.license,
            citation=spec.citation,
            url=spec.url,
            streams={name: StreamFacts(**vars(job.dataset.streams[name])) for name in job.modality.streams},
        ),
        images={split: len(images) for split, images in refs.items()},
        selected_on=job.protocol.select_on,
        options=known_options(job.config.method, job.config.tuning) | dict(job.config.options),
        code=Code(aims=__version__, commit=commit(), torch=str(torch.__version__)),
        hardware=hardware(job.device),
        weights_name=packaged_name(job.config.weights),
        init=None if initial is None else InitialRun(run=initial.run, weights=initial.sha256),
        path=job.path,
        trusted=job.trust,
        processes=job.distributed.world_size,
        command=sys.argv,
        started=_now(),
        preprocessing=preprocessing,
        parameters=msgspec.convert(parameters.as_json(), Parameters),
        flops=Operations(**vars(flops)),
    )
    _write(job, record)
    return record


def fail_record(job: Job, record: RunContent, error: AimsError | RuntimeError) -> Exception:
    """Writes run.json with the status "failed" and the reason.

    Returns:
        The error to raise: an `AimsError` with advice if memory ran out, else `error` itself.
    """
    # On a CPU PyTorch reports lack of memory as a plain RuntimeError.
    lacking = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    failure: Exception = error
    if lacking:
        failure = AimsError(
            f"out of memory on {job.device} with batches of {job.config.batch_size}: try a smaller "
            "--batch-size, --precision bf16, or a smaller --backbone "
            f"(the last epoch is kept in {job.folder})"
        )
    _write(job, replace(record, status="failed", reason=str(failure)))
    return failure


def finish_record(
    job: Job,
    refs: Splits,
    record: RunContent,
    state: TrainingState,
    rows: Sequence[InstanceRow],
) -> RunRecord:
    """Writes instances.parquet, the contact sheet and, last, run.json with the scores.

    Args:
        job: the run.
        refs: images of train, test and, where the protocol has one, val.
        record: content of run.json so far.
        state: final state of the training; its `best` is the line of the selected epoch.
        rows: scored test instances (`aims.core.records.INSTANCE_SCHEMA`), with masks.
    """
    assert state.best is not None  # the last epoch is always scored
    with job.distributed.failing_together():
        if job.distributed.is_main:
            save_contact_sheet(job.folder / SAMPLES, job.dataset, job.modality, refs["test"], rows)
            with atomic_write(job.folder / INSTANCES) as beside:
                table = pa.Table.from_pylist(list(rows), INSTANCE_SCHEMA)
                pq.write_table(table, beside, compression="zstd")
            finished = replace(
                record,
                status="finished",
                scores=_scores(state.best, rows),
                seconds=round(state.seconds, 3),
                peak_memory_bytes=state.peak_bytes,
                micro_batch=state.micro_batch,
                finished=_now(),
            )
            # Last: once the record says "finished", the run is never trained further.
            _write(job, finished)
            keep_check(job.folder, Check(level="own run"))
            (job.folder / RESUME).unlink(missing_ok=True)
    return RunRecord.load(job.folder)


def _scores(best: EpochLine, rows: Sequence[InstanceRow]) -> Scores:
    large, number = large_iou(rows)
    return Scores(
        miou=mean_iou(rows),
        instances=len(rows),
        images=count_images(rows),
        epoch=best.epoch,
        val_miou=best.val_miou,
        miou_large=large,
        instances_large=number,
        miou_grid=mean_grid_iou(rows),
    )


def _write(job: Job, record: RunContent) -> None:
    if job.distributed.is_main:
        record.write(job.folder)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
