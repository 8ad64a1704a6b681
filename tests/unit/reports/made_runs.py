"""Run folders made by hand, as `aims run` would leave them."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as coco_mask

from aims.core.config import RunConfig
from aims.core.files import write_json
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, RECORD, RUN_VERSION
from aims.reports.paper.cells import FilledTable
from aims.reports.paper.table1 import fill_table1
from aims.reports.paper.tables import load_paper_tables
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds

SHA = "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"
CONFIG = RunConfig(
    method="simcmf",
    tuning="lora",
    modality="nir",
    dataset="ivrg-nir",
    fingerprint="f1" * 32,
    backbone="sam-vit-b",
    weights=SHA,
    epochs=50,
    lr=3e-4,
    batch_size=4,
    seed=0,
    protocol="strict",
    precision="float32",
    loss="dice-ce",
)
# Two images, three instances: the mean over instances is (0.2 + 0.4 + 0.9) / 3 = 0.5.
SCORED = {"image-1": [0.2, 0.4], "image-2": [0.9]}

HARDWARE = {
    "device": "cpu",
    "name": "a processor",
    "threads": 4,
    "cpus": 8,
    "platform": "Linux",
    "python": "3.12.1",
}
CODE = {"aims": "1", "commit": "c0ffee", "torch": "2"}

AddRun = Callable[..., Path]


def parameters(encoder: int, decoder: int = 0, alignment: int = 0) -> dict[str, Any]:
    """What a record says of so many parameters that learn."""
    parts = {"alignment": alignment, "encoder": encoder, "decoder": decoder}
    return {"total": 98_000_000, "trainable": {**parts, "total": sum(parts.values())}}


def instance_row(
    image_id: str, instance_id: int, iou: float, area: int = 100, *, pixels: int | None = None
) -> dict[str, Any]:
    mask = np.zeros((256, 256), np.uint8, order="F")
    mask[100:150, 80:180] = 1
    rle = {"size": [256, 256], "counts": coco_mask.encode(mask)["counts"].decode("ascii")}
    return {
        "image_id": image_id,
        "group": image_id,
        "instance_id": instance_id,
        "class_id": 1,
        "area": area,
        "pixels": pixels,
        "click": [3, 4],
        "click_size": [1024, 1024],
        "iou": iou,
        "iou_grid": iou,
        "iou_native": None,
        "rle_grid": rle,
        "rle_native": None,
    }


def write_run(
    runs: Path,
    scored: Mapping[str, Sequence[float]] | float = SCORED,
    *,
    folder: str | None = None,
    val_miou: float | None = None,
    scores: Mapping[str, Any] = {},
    areas: Sequence[int] = (),
    pixels: int | None = None,
    record: Mapping[str, Any] = {},
    **changes: Any,
) -> Path:
    """Writes a finished run; `areas` are of the instances of every image, `record` is added to its record.

    Without `pixels` its rows are those of an earlier version, which did not tell the size of a picture.
    Scratch starts from random weights unless said otherwise, floors from none.
    """
    if changes.get("method") == "scratch":
        changes = {"weights": "random", "tuning": "full", **changes}
    if changes.get("method") in ("disc", "oracle-disc"):
        nothing = dict.fromkeys(("tuning", "weights", "backbone", "loss"), "none")
        changes = {**nothing, "epochs": 0, "lr": 0.0, "batch_size": 1, **changes}
    config = dataclasses.replace(CONFIG, **changes)
    if not isinstance(scored, Mapping):
        scored = {"image-1": [scored], "image-2": [scored]}
    rows = [
        instance_row(image_id, number, iou, *areas[number - 1 : number], pixels=pixels)
        for image_id, ious in scored.items()
        for number, iou in enumerate(ious, start=1)
    ]
    path = runs / (folder or config.run_name)
    path.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=INSTANCE_SCHEMA), path / INSTANCES)
    found: dict[str, Any] = {
        "miou": sum(row["iou"] for row in rows) / max(len(rows), 1),
        "instances": len(rows),
        "images": len(scored),
        "epoch": 50,
    }
    if val_miou is not None:
        found["val_miou"] = val_miou
    content = {
        "version": RUN_VERSION,
        "status": "finished",
        "config": dataclasses.asdict(config),
        "scores": {**found, **scores},
        **record,
    }
    write_json(path / RECORD, content)
    return path


def edit_record(path: Path, **changes: Any) -> None:
    """Changes the record of a run: whole entries, or parts of those that are given as dicts."""
    record = json.loads((path / RECORD).read_text())
    for name, value in changes.items():
        if isinstance(value, dict):
            record[name].update(value)
        else:
            record[name] = value
    (path / RECORD).write_text(json.dumps(record))


def table1(runs: Path) -> tuple[FilledTable, ...]:
    """Table 1 of what lies in a folder of runs."""
    results, _ = pool_seeds(load_runs(runs)[0])
    return fill_table1(load_paper_tables()[0], results)
