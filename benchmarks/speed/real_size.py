"""Time and memory of a training step and an evaluation of SAM ViT-B at 1024 x 1024, with the stock modules.

    python -m aims.benchmarks.speed.real_size [--method simcmf] [--tuning lora] [--batch-size 1] ...

The weights are random, which does not change the time; the images are generated, 480 x 640, with one channel,
or four with `--modality rgb-thermal`. Prints the seconds of the step and of the evaluation of one image with
all its instances, and the peak memory. Each setting needs a process of its own, as the peak is that of the
whole process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from aims.converters.folder import FolderConverter
from aims.data.write import convert
from aims.engine.plan import plan
from aims.engine.run import run
from aims.engine.train import RunObserver
from aims.synth.shapes import write_shapes


class Stopwatch(RunObserver):
    """Records the seconds from the start of each stage to the last unit that is done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.name, self.begin = "", 0.0

    def stage(self, name: str, total: int, done: int = 0) -> None:
        self.name, self.begin = name, time.perf_counter()

    def advance(self, count: int = 1, *, loss: float | None = None) -> None:
        self.seconds[self.name] = time.perf_counter() - self.begin


def main() -> None:
    parser = argparse.ArgumentParser(description="One training step and one evaluation at the real size.")
    parser.add_argument("--backbone", default="sam-vit-b")
    parser.add_argument("--method", default="simcmf")
    parser.add_argument("--tuning", default="lora")
    parser.add_argument("--modality", default="thermal")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="auto")
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        scenes = 3 * options["batch_size"]
        toml = write_shapes(Path(folder) / "raw", scenes=scenes, size=(480, 640), seed=0, rgb=True)
        convert(FolderConverter(config=toml), Path(folder) / "set")
        job = plan(
            weights="none",
            data=Path(folder) / "set",
            protocol="paper",
            epochs=1,
            limit=options["batch_size"],
            runs=Path(folder) / "runs",
            **options,
        )
        watch = Stopwatch()
        record, _ = run(job, observer=watch)
    instances = record.scores.instances
    assert record.content.flops is not None  # for mypy: a new run counts its FLOPs
    print(
        f"{options['backbone']} {options['method']} {options['tuning']}, {options['modality']}, "
        f"{options['precision']} on {job.device}, "
        f"batch {options['batch_size']}: training step {watch.seconds['train']:.1f} s, "
        f"evaluation of {record.scores.images} image with {instances} instances "
        f"{watch.seconds['test']:.1f} s, peak memory {(record.content.peak_memory_bytes or 0) / 1e9:.2f} GB, "
        f"{(record.content.flops.forward or 0) / 1e12:.2f} TFLOP an image and click"
    )


if __name__ == "__main__":
    main()
