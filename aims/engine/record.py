"""Writing a run down: run.json while it works, when it fails and when it is finished, and its instances."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from aims.core.errors import AimsError
from aims.core.files import atomic_write, write_json
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, RECORD, RESUME, RUN_VERSION, SAMPLES, RunRecord
from aims.data.read import ImageRef
from aims.engine.checkpoint import TrainingState
from aims.engine.contact_sheet import save_contact_sheet
from aims.engine.evaluate import count_images, large_iou, mean_iou
from aims.engine.inputs import dataset_facts
from aims.engine.job import Job
from aims.engine.machine import commit, hardware
from aims.methods import known_options
from aims.version import __version__

Splits = Mapping[str, tuple[ImageRef, ...]]


def begin_record(job: Job, refs: Splits, model: Mapping[str, Any]) -> dict[str, Any]:
    """Writes run.json as it is while the run works.

    Args:
        job: what is run.
        refs: images of train, test and, where the protocol has one, val.
        model: "preprocessing", "parameters" and "flops".

    Returns:
        The content of run.json.
    """
    now = _now()
    record = {
        "version": RUN_VERSION,
        "status": "running",
        "config": dataclasses.asdict(job.config),
        "dataset": dataset_facts(job.dataset, job.modality),
        "images": {split: len(images) for split, images in refs.items()},
        "selected_on": job.protocol.select_on,
        "options": known_options(job.config.method, job.config.tuning) | dict(job.config.options),
        "code": {"aims": __version__, "commit": commit(), "torch": torch.__version__},
        "hardware": hardware(job.device),
        **({} if job.initial is None else {"init": job.initial.as_json()}),
        "path": job.path,
        "processes": job.distributed.world_size,
        "command": sys.argv,
        "started": now,
        **model,
    }
    _write(job, record)
    return record


def fail_record(job: Job, record: Mapping[str, Any], error: AimsError | RuntimeError) -> Exception:
    """Writes into run.json that the run failed.

    Returns:
        The error to raise: torch's lack of memory in words, every other error as it is.
    """
    # On a CPU lack of memory is a plain RuntimeError.
    lacking = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    failure: Exception = error
    if lacking:
        failure = AimsError(
            f"out of memory on {job.device} with batches of {job.config.batch_size}: try a smaller "
            "--batch-size, --precision bf16, or a smaller --backbone "
            f"(the last epoch is kept in {job.folder})"
        )
    _write(job, {**record, "status": "failed", "reason": str(failure)})
    return failure


def finish_record(
    job: Job,
    refs: Splits,
    record: Mapping[str, Any],
    state: TrainingState,
    rows: Sequence[dict[str, Any]],
) -> RunRecord:
    """Writes instances.parquet, the contact sheet and, last, run.json with the scores.

    Args:
        job: what was run.
        refs: as in `begin_record`.
        record: what run.json holds beside the scores.
        state: where the training ended; its `best` is the line of metrics.jsonl that was selected.
        rows: the scored test instances (`aims.core.records.INSTANCE_SCHEMA`), with masks.
    """
    assert state.best is not None  # the last epoch is always scored
    if job.distributed.is_main:
        save_contact_sheet(job.folder / SAMPLES, job.dataset, job.modality, refs["test"], rows)
        with atomic_write(job.folder / INSTANCES) as beside:
            table = pa.Table.from_pylist(list(rows), INSTANCE_SCHEMA)
            pq.write_table(table, beside, compression="zstd")
        finished = {
            "status": "finished",
            "scores": _scores(state.best, rows),
            "seconds": round(state.seconds, 3),
            "peak_memory_bytes": state.peak_bytes,
            "micro_batch": state.micro_batch,
            "finished": _now(),
        }
        _write(job, {**record, **finished})
        (job.folder / RESUME).unlink(missing_ok=True)
    job.distributed.barrier()
    return RunRecord.load(job.folder)


def _scores(best: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    grid = [row["iou_grid"] for row in rows if row["iou_grid"] is not None]
    return {
        "miou": mean_iou(rows),
        "instances": len(rows),
        "images": count_images(rows),
        "epoch": best["epoch"],
        **{key: value for key, value in best.items() if key == "val_miou"},
        **large_iou(rows),
        "miou_grid": sum(grid) / len(grid) if grid else None,
    }


def _write(job: Job, record: Mapping[str, Any]) -> None:
    if job.distributed.is_main:
        write_json(job.folder / RECORD, record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
