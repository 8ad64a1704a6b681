"""Speed of the engine: the fast path beside the stock path, in one process.

    python -m aims.benchmarks.speed.engine [--backbone sam-vit-b ...] [--precision float32 bf16]
        [--batch 1 ...] [--prompts 20 ...] [--channels 1 ...] [--parts encoder decode lora full evaluation]
        [--repeats 3] [--device auto] [--out FOLDER]

Parts: the encoder's forward pass; decoding the prompts of one image; a training step of SimCMF with LoRA, and
with full tuning; the evaluation of one 480 x 640 image with as many instances as prompts, masks and IoU
included. The stock path is segment-anything's modules in float32, one prompt at a time (`--attention stock`).

The first values of all options are the base; each further value is measured with all other options at the
base. Weights are random, which does not change the time. A training step takes a batch, the other parts one
image.

Prints, and writes to FOLDER/engine.md and engine.json: the seconds of the fastest repeat, the peak memory
beyond what the process held before (on a CPU known on Linux only), images per second, the share of the
device's peak (that of a large matrix product in the same precision), and the ratio of both paths. The share
counts the operations of the stock path, also for the fast path, which saves some of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from aims.core.vocabulary import IOU_GRID, STRICT
from aims.data.instances import stretch_nearest
from aims.data.refs import ImageRef
from aims.engine.evaluate import score_image
from aims.engine.losses import LOSSES
from aims.engine.machine import PeakMemory, hardware
from aims.engine.samples import EvaluationImage
from aims.methods import build_model
from aims.models.attention import AttentionPath
from aims.models.features import Features
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters
from aims.reports.tables.markdown import markdown_table

from . import harness

PARTS = ("encoder", "decode", "lora", "full", "evaluation")
NATIVE = (480, 640)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One combination of the options of the command line."""

    backbone: str
    precision: str
    batch: int
    prompts: int
    channels: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measurement of one attention path in one part.

    Attributes:
        seconds: the fastest of the repeats.
        peak_bytes: peak memory beyond what the process held before; None where it is unknown.
        images_per_second: batch size over seconds.
        share_of_peak: FLOP/s of the stock path's operations over the device's matrix peak, 0..1.
    """

    seconds: float
    peak_bytes: int | None
    images_per_second: float
    share_of_peak: float


def settings(options: argparse.Namespace) -> Iterator[tuple[str, Setting]]:
    """Yields the base setting, then one per further value, each with the name of the varied option."""
    names = ("backbone", "precision", "batch", "prompts", "channels")
    base = Setting(**{name: getattr(options, name)[0] for name in names})
    yield "base", base
    for name in names:
        for value in getattr(options, name)[1:]:
            yield name, replace(base, **{name: value})


def matrix_peak(precision: str, device: torch.device, side: int | None = None) -> float:
    """Measures the FLOP/s of a large matrix product.

    Args:
        precision: "bf16" or "float32".
        device: the device to measure.
        side: rows and columns of the matrices; None for 8192 on a GPU and 2048 on a CPU.
    """
    side = side or (8192 if device.type == "cuda" else 2048)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2.0 * side**3 / float(harness.repeat(lambda: a @ b, 5, device).min())


class Bench:
    """The model, images and prompts of one setting, on its device."""

    def __init__(self, setting: Setting, tuning: str, device: torch.device) -> None:
        self.setting, self.device = setting, device
        self.model: Segmenter = build_model(
            method="simcmf",
            tuning=tuning,
            backbone=setting.backbone,
            channels=setting.channels,
            weights=None,
            seed=0,
        ).to(device)
        self.size = self.model.image_size
        generator = torch.Generator().manual_seed(0)
        shape = (setting.batch, setting.channels, self.size, self.size)
        self.images = torch.randn(shape, generator=generator).to(device)
        self.coords = self.size * torch.rand(setting.prompts, 1, 2, generator=generator)
        self.embeddings = self.with_path("fast", lambda: self.embed(1))

    def with_path(self, path: AttentionPath, work: Callable[[], Any]) -> Any:
        """Calls `work` with an attention path; the stock path always runs in float32."""
        if self.model.path != path:
            self.model.path = path
        bf16 = path != "stock" and self.setting.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return work()

    @torch.inference_mode()
    def embed(self, count: int) -> Features:
        """Encodes the first `count` images."""
        return self.model.eval().embed(self.images[:count])

    @torch.inference_mode()
    def decode(self) -> None:
        """Decodes all prompts of one image."""
        coords = self.coords.to(self.device)
        labels = torch.ones(coords.shape[:2], dtype=torch.int64, device=self.device)
        self.model.eval().decode(self.embeddings, coords, labels)

    def step(self) -> None:
        """Runs a training step: forward pass, loss, backward pass and Adam."""
        if not hasattr(self, "optimizer"):
            fused = self.device.type == "cuda" or None
            self.optimizer = torch.optim.Adam(declared_parameters(self.model).values(), lr=1e-5, fused=fused)
        batch = self.setting.batch
        coords = self.coords[:1].expand(batch, -1, -1).to(self.device)
        labels = torch.ones(coords.shape[:2], dtype=torch.int64, device=self.device)
        model = self.model.train()
        logits, iou = model.decode(model.embed(self.images), coords, labels)
        masks = (torch.arange(logits.shape[-1], device=self.device) > 8).float().expand_as(logits[:, 0])
        with torch.autocast(self.device.type, enabled=False):
            loss = LOSSES["dice-ce"](logits[:, 0].float(), masks, iou[:, 0].float())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self) -> None:
        """Scores one image with all its instances, including the masks; the instances are cells of a grid."""
        rows, columns = np.indices(NATIVE)
        count = self.setting.prompts
        across = int(np.ceil(np.sqrt(count)))
        cells = 1 + (rows * across // NATIVE[0]) * across + columns * across // NATIVE[1]
        native: NDArray[np.uint16] = np.where(cells <= count, cells, 0).astype(np.uint16)
        item = EvaluationImage(
            ref=ImageRef(
                image_id="made", group="made", split="test", instances=count, file="made", row_group=0, row=0
            ),
            ids=np.arange(1, count + 1),
            clicks=np.zeros((count, 2), np.int64),
            click_size=NATIVE,
            grid=stretch_nearest(native, (IOU_GRID, IOU_GRID)),
            native=native,
            class_ids=[1] * count,
            areas=[1] * count,
            image=None,  # type: ignore[arg-type]
            point_coords=self.coords,
        )
        embeddings = self.embed(1)
        precision = "bf16" if torch.is_autocast_enabled(self.device.type) else "float32"
        list(score_image(self.model, embeddings, item, STRICT, precision, True))


def measure(
    part: str, bench: Bench, path: AttentionPath, repeats: int, peak: float, flops: float
) -> Measured:
    """Measures time and memory of one attention path in one part.

    Args:
        part: a name in `PARTS`.
        bench: the model and its inputs.
        path: the attention path.
        repeats: number of timed calls.
        peak: FLOP/s of the device, from `matrix_peak`.
        flops: FLOPs of one call, from `count_operations`.
    """
    work = _work(part, bench)
    memory = PeakMemory(bench.device)
    before = memory.read()
    seconds = float(harness.repeat(lambda: bench.with_path(path, work), repeats, bench.device).min())
    peak_bytes = memory.read()
    images = bench.setting.batch if part in ("lora", "full") else 1
    return Measured(
        seconds=seconds,
        peak_bytes=None if peak_bytes is None or before is None else peak_bytes - before,
        images_per_second=images / seconds,
        share_of_peak=flops / seconds / peak,
    )


def _work(part: str, bench: Bench) -> Callable[[], Any]:
    return {
        "encoder": lambda: bench.embed(1),
        "decode": bench.decode,
        "lora": bench.step,
        "full": bench.step,
        "evaluation": bench.evaluate,
    }[part]


def count_operations(part: str, bench: Bench) -> float:
    """Counts the FLOPs of the stock path's matrix products and convolutions with `FlopCounterMode`."""
    with FlopCounterMode(display=False) as counter:
        bench.with_path("stock", _work(part, bench))
    return float(counter.get_total_flops())


def table(rows: list[dict[str, Any]]) -> str:
    """Formats the measurements as a Markdown table."""
    header = ["part", "varied", "backbone", "precision", "batch", "prompts", "channels"]
    left = len(header)
    header += ["stock s", "fast s", "ratio", "stock MB", "fast MB", "images/s", "share of peak"]
    lines = []
    for row in rows:
        setting, stock, fast = row["setting"], row["stock"], row["fast"]
        known = fast["peak_bytes"] is not None
        lines.append(
            [row["part"], row["varied"], *map(str, setting.values())]
            + [f"{stock['seconds']:.3g}", f"{fast['seconds']:.3g}"]
            + [f"{stock['seconds'] / fast['seconds']:.2f}"]
            + ([f"{each['peak_bytes'] / 1e6:,.0f}" for each in (stock, fast)] if known else ["", ""])
            + [f"{fast['images_per_second']:.3g}", f"{100 * fast['share_of_peak']:.0f} %"]
        )
    return "\n".join(markdown_table(header, lines, left))


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--backbone", nargs="+", default=["sam-vit-b"])
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bf16"])
    for name, default in (("batch", 1), ("prompts", 20), ("channels", 1)):
        parser.add_argument(f"--{name}", nargs="+", type=int, default=[default])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(chosen if options.device == "auto" else options.device)
    peaks = {precision: matrix_peak(precision, device) for precision in {*options.precision, "float32"}}
    rows: list[dict[str, Any]] = []
    for varied, setting in settings(options):
        for part in options.parts:
            bench = Bench(setting, "full" if part == "full" else "lora", device)
            flops = count_operations(part, bench)
            measured: tuple[tuple[AttentionPath, str], ...] = (
                ("fast", setting.precision),
                ("stock", "float32"),
            )
            paths = {
                path: measure(part, bench, path, options.repeats, peaks[precision], flops)
                for path, precision in measured
            }
            rows.append(
                {"part": part, "varied": varied, "setting": asdict(setting), "flops": flops}
                | {path: asdict(found) for path, found in paths.items()}
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
            del bench
    text = table(rows)
    print(f"\n{text}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "engine.md").write_text(text + "\n")
        record = {
            "date": date.today().isoformat(),
            "command": ["python", "-m", "aims.benchmarks.speed.engine", *(arguments or sys.argv[1:])],
            "hardware": msgspec.to_builtins(hardware(device)),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "matrix_peak_flops": peaks,
            "rows": rows,
        }
        (options.out / "engine.json").write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
