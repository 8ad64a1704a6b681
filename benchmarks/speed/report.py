"""Speed of `aims report` with thousands of runs.

    python -m aims.benchmarks.speed.report [--runs 10000] [--images 40] [--instances 3] [--folder FOLDER]

Writes run folders as `aims run` does, without the weights and sample sheets that a report does not read:
records with all fields, curves of 50 epochs, and instances with masks. The runs are those of a large study:
thirteen methods and tunings, five sensors of one dataset, seven learning rates and three seeds, then the same
with other backbones and another protocol. Scores are drawn at random.

Times `load_runs` in one process, and `aims report` as a whole, with one process per processor. The files have
just been written, so they are read from memory rather than from the disk. The exit code is 1 if 10,000 runs
take `aims report` more than 20 seconds, and proportionally for other numbers.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as coco

from aims.core.config import RunConfig
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, METRICS, RECORD, RUN_VERSION
from aims.core.schema import StreamSpec
from aims.core.vocabulary import IOU_GRID
from aims.reports.runs.load import load_runs

from . import harness

LIMIT, LIMIT_RUNS = 20.0, 10_000
MODALITIES = ("thermal", "depth", "hha", "nir", "polarization")
BACKBONES = ("sam-vit-b", "sam-tiny", "sam-vit-l", "sam-vit-h")
ROWS = (
    *(("scratch", "full"), ("random-embed", "lora"), ("linear", "lora"), ("linear-frozen", "lora")),
    *(("mlp", "lora"), ("transformer", "lora"), ("channel-batch", "lora")),
    *(("simcmf", name) for name in ("lora", "full", "adapter", "prompt", "prefix", "linear-probe")),
)
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
EPOCHS = 50
SIZE = (480, 640)
# The protocol `paper` records clicks in pixels of the model's input.
MODEL_SIDE = 1024


def configurations() -> Iterator[RunConfig]:
    """Yields the configurations of the study; the seed varies fastest."""
    for protocol, backbone, (method, tuning), modality, lr, seed in itertools.product(
        ("strict", "paper"), BACKBONES, ROWS, MODALITIES, RATES, range(3)
    ):
        yield RunConfig(
            method=method,
            tuning=tuning,
            modality=modality,
            dataset="made-up-rooms",
            fingerprint="5" * 64,
            backbone=backbone,
            weights="random" if method == "scratch" else "c" * 64,
            epochs=EPOCHS,
            lr=lr,
            batch_size=4,
            seed=seed,
            protocol=protocol,
            precision="float32",
            loss="dice-ce",
        )


class Instances:
    """The instances of the test images, which all runs share; `write` draws the scores of each run."""

    def __init__(self, images: int, instances: int) -> None:
        rng = np.random.default_rng(0)
        self.count = images * instances
        self.images = images
        areas = rng.integers(200, 30_000, self.count)
        clicks = rng.integers(0, SIZE, (self.count, 2))[:, ::-1]
        masks = [self._mask(rng, IOU_GRID, IOU_GRID) for _ in range(self.count)]
        native = [self._mask(rng, *SIZE) for _ in range(self.count)]
        image_ids = [f"scene-{k:05}" for k in range(images) for _ in range(instances)]
        self.columns: dict[str, Any] = {
            "image_id": image_ids,
            "group": image_ids,
            "instance_id": [*range(1, instances + 1)] * images,
            "class_id": rng.integers(1, 14, self.count),
            "area": areas,
            "pixels": [SIZE[0] * SIZE[1]] * self.count,
            "click": clicks.tolist(),
            "click_size": [SIZE] * self.count,
            "rle_grid": masks,
            "rle_native": native,
        }
        self.arrays = {
            name: pa.array(values, INSTANCE_SCHEMA.field(name).type) for name, values in self.columns.items()
        }

    def _mask(self, rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
        rows, columns = np.mgrid[:height, :width]
        middle = rng.uniform(0.2, 0.8, 2) * (height, width)
        radii = rng.uniform(0.03, 0.2, 2) * height
        wobble = 1 + 0.2 * np.sin(rng.uniform(3, 9) * np.arctan2(rows - middle[0], columns - middle[1]))
        inside = np.hypot((rows - middle[0]) / radii[0], (columns - middle[1]) / radii[1]) < wobble
        return {"size": [height, width], "counts": coco.encode(np.asfortranarray(inside))["counts"].decode()}

    def write(self, path: Path, rng: np.random.Generator, quality: float, *, strict: bool) -> float:
        """Writes the instances of a run; returns their mean IoU."""
        iou = np.clip(quality + rng.normal(0, 0.2, self.count), 0, 1)
        arrays = {**self.arrays, **dict.fromkeys(("iou", "iou_grid", "iou_native"), pa.array(iou))}
        if not strict:
            side = [[MODEL_SIDE, MODEL_SIDE]] * self.count
            arrays["click_size"] = pa.array(side, INSTANCE_SCHEMA.field("click_size").type)
            for name in ("iou_native", "rle_native"):
                arrays[name] = pa.nulls(self.count, INSTANCE_SCHEMA.field(name).type)
        table = pa.table([arrays[name] for name in INSTANCE_SCHEMA.names], schema=INSTANCE_SCHEMA)
        pq.write_table(table, path, compression="zstd")
        return float(iou.mean())


def write_run(runs: Path, config: RunConfig, instances: Instances) -> None:
    """Writes one run folder as `aims run` does, without weights and sample sheet."""
    folder = runs / config.run_name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(int(config.hash, 16))
    quality = rng.uniform(0.2, 0.8)
    miou = instances.write(folder / INSTANCES, rng, quality, strict=config.protocol == "strict")
    lines = [
        {"epoch": k, "loss": 2.0 / k + quality, "lr": config.lr}
        | ({"val_miou": quality * k / EPOCHS} if k % 5 == 0 else {})
        for k in range(1, EPOCHS + 1)
    ]
    (folder / METRICS).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    scores = {"miou": miou, "instances": instances.count, "images": instances.images, "epoch": EPOCHS}
    if config.protocol == "strict":
        scores["val_miou"] = quality
    total = {"alignment": 640, "encoder": 147_456, "decoder": 4_058_340, "total": 4_206_436}
    record = {
        "version": RUN_VERSION,
        "status": "finished",
        "config": dataclasses.asdict(config),
        "dataset": {
            "license": "Apache-2.0",
            "citation": "",
            "url": "",
            "streams": {"depth": dataclasses.asdict(StreamSpec(channels=1, unit="m"))},
        },
        "images": {"train": 800, "test": instances.images, "val": 160},
        "selected_on": "val" if config.protocol == "strict" else "test",
        "options": {"kernel": 3, "width": 64, "depth": 1, "rank": 4},
        "code": {"aims": "0.0.1", "commit": "1" * 40, "torch": "2.13.0"},
        "hardware": {
            "device": "cpu",
            "name": "made up",
            "threads": 2,
            "cpus": 2,
            "platform": "Linux",
            "python": "3.11",
        },
        "path": "fast",
        "processes": 1,
        "command": ["aims", "run", "--method", config.method],
        "started": "2026-11-26T00:00:00+00:00",
        "preprocessing": {
            "streams": [config.modality],
            "mean": [0.5] * 3,
            "std": [0.2] * 3,
            "source": "training part",
            "channel_order": [0, 1, 2],
        },
        "parameters": {"total": 97_942_100, "trainable": total},
        "flops": {"forward": 980_000_000_000, "alignment": 1_000_000},
        "scores": scores,
        "seconds": round(float(rng.uniform(100, 1000)), 3),
        "peak_memory_bytes": 2_000_000_000,
        "finished": "2026-11-26T00:20:00+00:00",
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")


def measure(count: int, images: int = 40, instances: int = 3, folder: Path | None = None) -> float:
    """Writes run folders, reads them and reports them; returns the seconds of `aims report`."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        runs, shared = Path(made) / "runs", Instances(images, instances)
        began = time.perf_counter()
        for config in itertools.islice(configurations(), count):
            write_run(runs, config, shared)
        print(f"{count} runs written: {time.perf_counter() - began:.1f} s", file=sys.stderr)
        # Otherwise the disk would still write the run folders while reading is timed.
        os.sync()
        (loaded, left_out), seconds = harness.clock(lambda: load_runs(runs))
        assert (len(loaded), left_out) == (count, [])
        print(f"load_runs: {seconds:.1f} s", file=sys.stderr)
        command = (sys.executable, "-m", "aims", "report", "--runs", runs, "--out", Path(made) / "out")
        report = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        _, seconds = harness.clock(report)
        print(f"aims report, the whole process: {seconds:.1f} s", file=sys.stderr)
    return seconds


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--runs", type=int, default=LIMIT_RUNS)
    parser.add_argument("--images", type=int, default=40, help="test images")
    parser.add_argument("--instances", type=int, default=3, help="of each image")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    options = parser.parse_args(arguments)
    if options.runs > sum(1 for _ in configurations()):
        parser.error("the study has fewer runs; give fewer --runs")
    seconds = measure(options.runs, options.images, options.instances, options.folder)
    return int(seconds > LIMIT * options.runs / LIMIT_RUNS)


if __name__ == "__main__":
    sys.exit(main())
