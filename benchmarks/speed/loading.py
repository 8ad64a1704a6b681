"""Speed of reading training images, from Parquet and from the raw files.

    python -m aims.benchmarks.speed.loading [--images 1449] [--size 480x640] [--workers 0 2] [--folder FOLDER]
        [--device cuda]

Generates a set like NYUv2 (depth as float32 `.npy`, RGB as JPEG, instances as PNG), converts it, and reads it
in random order as a training does: decoded and scaled, with a click and the mask of its instance; stretching
and normalising are left to the device. For comparison the raw files are only decoded. Prints the images per
second of one process for both, and those of a loader for each number of `--workers`; with `--device` this
includes copying to the device, normalising and stretching to 1024 x 1024 there.

The exit code is 1 if one process reads fewer than 25 depth images of 480 x 640 per second: eight workers then
keep a GPU busy that takes 200.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from aims.converters.folder import FolderConverter
from aims.core.records import Preprocessing
from aims.core.vocabulary import MODALITIES, STRICT
from aims.data.instances import split_instances
from aims.data.read import Dataset
from aims.data.write import convert
from aims.engine.loading import loader
from aims.engine.samples import Schedule, Source, TrainingSet

from . import harness
from .nyuv2 import picture

WANTED, WORKERS = 200.0, 8
DISTINCT = 24
_TOML = """\
name = "nyuv2-like"
license = "Apache-2.0"
classes = ["thing"]

[splits]
train = "*"

[streams.depth]
files = "depth/{id}.npy"
unit = "m"
valid_range = [0.0, 10.0]
missing = 0

[rgb]
files = "rgb/{id}.jpg"

[labels]
files = "labels/{id}.png"
kind = "instance"
"""


def write_raw(folder: Path, images: int, size: tuple[int, int]) -> Path:
    """Writes the raw files, which repeat `DISTINCT` images, and returns the TOML that describes them."""
    for name in ("depth", "rgb", "labels"):
        (folder / name).mkdir(parents=True)
    across = (size[1], size[0])
    for number in range(min(DISTINCT, images)):
        made = picture(number)
        assert made.raw_depth is not None
        depth = cv2.resize(made.raw_depth, across, interpolation=cv2.INTER_NEAREST)
        rgb = cv2.resize(made.rgb, across)
        instances = split_instances(made.labels)
        labels = cv2.resize(instances.astype(np.uint16), across, interpolation=cv2.INTER_NEAREST)
        for copy in range(number, images, DISTINCT):
            np.save(folder / "depth" / f"{copy:05}.npy", depth)
            cv2.imwrite(str(folder / "rgb" / f"{copy:05}.jpg"), rgb[:, :, ::-1])
            cv2.imwrite(str(folder / "labels" / f"{copy:05}.png"), labels)
    description = folder / "nyuv2-like.toml"
    description.write_text(_TOML, encoding="utf-8")
    return description


def rate(read: Callable[[int], object], order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    """Measures images per second over `order`, after up to eight warm-up reads."""
    for index in order[:8].tolist():
        read(index)
    _, seconds = harness.clock(lambda: [read(index) for index in order.tolist()])
    return len(order) / seconds


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--images", type=int, default=1449)
    parser.add_argument("--size", type=harness.size_of, default=(480, 640), help="HEIGHTxWIDTH")
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    parser.add_argument("--device", type=torch.device, help="where the model would be; none by default")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        raw = Path(folder) / "raw"
        description = write_raw(raw, options.images, options.size)
        convert(FolderConverter(config=description), Path(folder) / "set")
        made = Dataset.open(Path(folder) / "set")
        slow = _measure(made, raw, options.images, options.workers, options.device)
    return int(slow and options.size == (480, 640))


def _measure(
    dataset: Dataset, raw: Path, images: int, workers: list[int], device: torch.device | None
) -> bool:
    order = np.random.default_rng(0).permutation(images)
    slow = False
    for name in ("depth", "rgb-depth"):
        modality = MODALITIES[name]
        channels = modality.channels or 1
        preprocessing = Preprocessing(
            streams=modality.streams,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            source="made",
            channel_order=tuple(range(channels)),
        )
        source = Source(
            dataset=dataset,
            modality=modality,
            protocol=STRICT,
            preprocessing=preprocessing,
            input_size=1024,
        )
        data = TrainingSet(source=source, refs=tuple(dataset.index["train"]), mask_size=256, seed=0)

        def from_parquet(index: int, data: TrainingSet = data) -> object:
            return data[(0, 0, (index,))]

        def from_files(index: int, rgb: bool = "rgb" in modality.streams) -> object:
            depth = np.load(raw / "depth" / f"{index:05}.npy")
            labels = cv2.imread(str(raw / "labels" / f"{index:05}.png"), cv2.IMREAD_UNCHANGED)
            return depth, labels, cv2.imread(str(raw / "rgb" / f"{index:05}.jpg")) if rgb else None

        ours, plain = rate(from_parquet, order), rate(from_files, order)
        print(f"{name}: one process {ours:.1f} images/s, raw files alone {plain:.1f} images/s", flush=True)
        slow |= name == "depth" and ours < WANTED / WORKERS
        for count in workers:
            schedule = Schedule(images=images, batch_size=4, epochs=1, shuffle=True, seed=0)
            gpu = device is not None and device.type == "cuda"
            batches = iter(loader(data, schedule.batches(0, 0), count, pin_memory=gpu))
            next(batches)
            began, read = time.perf_counter(), 0
            for batch in batches:
                read += len(batch.images)
                if device is not None:
                    source.inputs(batch.images, device)
                    batch.prompts.masks.to(device, non_blocking=True)
            if gpu:
                torch.cuda.synchronize(device)
            where = "" if device is None else f", to the model's input on {device}"
            rate_found = read / (time.perf_counter() - began)
            print(f"{name}: {count} workers{where} {rate_found:.1f} images/s", flush=True)
    return slow


if __name__ == "__main__":
    sys.exit(main())
