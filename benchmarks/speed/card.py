"""Speed of the engine on a GPU within a time limit, the most important measurements first.

    python -m aims.benchmarks.speed.card --device cuda --seconds 150 --out FILE.json

Measures the card's peaks (a large bf16 and float32 product, a copy in its memory), then SAM at 1024 x 1024
with random weights: a training step of batch 4 with LoRA and with full tuning, the evaluation of an image
with 20 instances, and larger backbones; segment-anything's modules in float32 beside the fast path in bf16;
and variants of it: float32, compiled, convolutions in channels-last. Every measurement is printed, and
written to FILE.json, as soon as it is there. What does not fit into the memory or fails is noted and the next
one begins; nothing begins that would probably not end in time.

On a CPU the same is rehearsed with `sam-tiny` and one repeat: those figures mean nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import torch

from aims.core.files import write_json
from aims.engine.machine import hardware
from aims.models import sam_segmenter
from aims.models.attention import AttentionPath
from aims.models.encoder import PlainEncoder

from . import harness
from .engine import Bench, Measured, Setting, count_operations, matrix_peak, measure

#: Targets of the fast path: speed-up of step and evaluation and memory relative to the stock path, and
#: fraction of the card's peak.
TARGETS = {"step": 8.0, "evaluation": 15.0, "memory": 0.25, "peak": 0.40}


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        part: a name in `engine.PARTS`.
        variant: a name in `VARIANTS`.
        backbone: name of the backbone.
        seconds: estimated duration, including the building of the model.
    """

    part: str
    variant: str
    backbone: str = "sam-vit-b"
    seconds: float = 8.0


#: All measurements, the most important first, as time may run out.
CASES = (
    *(Case("lora", "fast"), Case("lora", "stock"), Case("evaluation", "fast"), Case("evaluation", "stock")),
    *(Case("full", "fast"), Case("full", "stock"), Case("encoder", "fast"), Case("encoder", "stock")),
    *(Case("decode", "fast"), Case("decode", "stock"), Case("lora", "float32")),
    *(Case("lora", "fast", "sam-vit-h", 20), Case("lora", "fast", "sam-vit-l", 12)),
    *(Case("lora", "channels-last"), Case("lora", "stock", "sam-vit-l", 15)),
    *(Case("lora", "stock", "sam-vit-h", 25), Case("lora", "compiled", seconds=90)),
    *(Case("evaluation", "compiled", seconds=60), Case("full", "compiled", seconds=90)),
    Case("decode", "compiled", seconds=40),
)


def _compile(bench: Bench) -> None:
    # Block by block rather than as a whole: blocks are alike, so the compiled code of one or two serves all.
    encoder = bench.model.image_encoder
    assert isinstance(encoder, PlainEncoder)
    for block in encoder.blocks:
        block.compile(dynamic=False, backend=_backend(bench.device))


def _backend(device: torch.device) -> str:
    # "eager" generates no kernels, which would take minutes on a CPU.
    return "inductor" if device.type == "cuda" else "eager"


def _channels_last(bench: Bench) -> None:
    bench.model.image_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


#: Attention path, precision, and a further change of the model, by name of the variant.
VARIANTS: dict[str, tuple[AttentionPath, str, Callable[[Bench], None] | None]] = {
    "stock": ("stock", "float32", None),
    "fast": ("fast", "bf16", None),
    "float32": ("fast", "float32", None),
    "compiled": ("fast", "bf16", _compile),
    "channels-last": ("fast", "bf16", _channels_last),
}


@contextmanager
def _compiled_decoder(wanted: bool, device: torch.device) -> Iterator[None]:
    """Context in which every model decodes with the compiled function, if `wanted`."""
    # Any, as mypy forbids assigning to a module's function.
    holder: Any = sam_segmenter
    plain = holder.decode_masks
    if wanted:
        holder.decode_masks = torch.compile(plain, dynamic=False, backend=_backend(device))
    try:
        yield
    finally:
        holder.decode_masks = plain


class Card:
    """The measurements of one device, written to disk after each one.

    Args:
        device: the device to measure.
        out: JSON file to write.
        seconds: time limit for all measurements.
    """

    def __init__(self, device: torch.device, out: Path, seconds: float) -> None:
        self.device, self.out, self.end = device, out, time.monotonic() + seconds
        self.repeats = 1 if device.type == "cpu" else 5
        self.rows: list[dict[str, Any]] = []
        self.peaks: dict[str, float] = {}
        self._flops: dict[tuple[str, str], float] = {}

    def write(self) -> None:
        """Writes the peaks and the rows measured so far."""
        content = {
            "date": date.today().isoformat(),
            "hardware": msgspec.to_builtins(hardware(self.device)),
            "torch": torch.__version__,
            "targets": TARGETS,
            "peaks": self.peaks,
            "rows": self.rows,
        }
        write_json(self.out, content)

    def measure_peaks(self) -> None:
        """Measures the FLOP/s of matrix products and the bytes per second of a copy (read and written)."""
        for precision in ("bf16", "float32") if self.device.type == "cuda" else ("float32",):
            side = None if self.device.type == "cuda" else 256
            self.peaks[precision] = matrix_peak(precision, self.device, side)
        size = 1 << (31 if self.device.type == "cuda" else 24)
        source = torch.empty(size, dtype=torch.uint8, device=self.device).random_()
        target = torch.empty_like(source)
        seconds = float(harness.repeat(lambda: target.copy_(source), self.repeats, self.device).min())
        self.peaks["copy_bytes_per_second"] = 2 * size / seconds
        for name, value in self.peaks.items():
            print(f"peak {name}: {value:.3g} a second", flush=True)
        self.write()

    def add(self, case: Case) -> None:
        """Measures a case, or records why it could not be measured."""
        row: dict[str, Any] = asdict(case)
        self.rows.append(row)
        if time.monotonic() + case.seconds > self.end and self.device.type != "cpu":
            row["error"] = "not enough time was left"
        else:
            began = time.monotonic()
            try:
                row |= asdict(self._measured(case))
            except Exception as error:
                # Any error, such as a kernel missing on this card or version, or a lack of memory.
                row["error"] = f"{type(error).__name__}: {str(error)[:300]}"
            row["took"] = round(time.monotonic() - began, 1)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        self.write()
        print(self.line(row), flush=True)

    def _measured(self, case: Case) -> Measured:
        path, precision, change = VARIANTS[case.variant]
        tiny = self.device.type == "cpu"
        # Few CPUs have bf16 instructions.
        precision = "float32" if tiny else precision
        setting = Setting(
            backbone="sam-tiny" if tiny else case.backbone,
            precision=precision,
            batch=4,
            prompts=20,
            channels=1,
        )
        bench = Bench(setting, "full" if case.part == "full" else "lora", self.device)
        if change is not None:
            change(bench)
        flops = self._operations(case, bench)
        compiled = case.variant == "compiled"
        with _compiled_decoder(compiled, self.device):
            return measure(case.part, bench, path, self.repeats, self.peaks[precision], flops)

    def _operations(self, case: Case, bench: Bench) -> float:
        """Scales the stock path's FLOPs for one image to the batch, which may not fit into the memory."""
        key = (case.part, case.backbone)
        if key not in self._flops:
            images, setting = bench.images, bench.setting
            bench.images, bench.setting = images[:1], replace(setting, batch=1)
            steps = setting.batch if case.part in ("lora", "full") else 1
            self._flops[key] = steps * count_operations(case.part, bench)
            bench.images, bench.setting = images, setting
        return self._flops[key]

    def line(self, row: dict[str, Any]) -> str:
        """Formats a measurement as one line, with its ratios to the stock path if that was measured."""
        name = f"{row['part']:10} {row['backbone']:9} {row['variant']:13}"
        if "error" in row:
            return f"{name} {row['error']}"
        peak = row["peak_bytes"]
        memory = "" if peak is None else f"{peak / 1e9:6.2f} GB"
        text = f"{name} {1e3 * row['seconds']:9.2f} ms {memory} {row['share_of_peak']:6.1%} of the peak"
        stock = self._stock(row)
        if stock is not None and row["variant"] != "stock":
            target = TARGETS["evaluation" if row["part"] == "evaluation" else "step"]
            text += f"; {stock['seconds'] / row['seconds']:.2f} x stock (target {target:g})"
            if peak and stock["peak_bytes"]:
                text += f", {peak / stock['peak_bytes']:.2f} of its memory (target {TARGETS['memory']})"
        return text

    def _stock(self, row: dict[str, Any]) -> dict[str, Any] | None:
        wanted = (row["part"], row["backbone"], "stock")
        return next(
            (
                other
                for other in self.rows
                if (other["part"], other["backbone"], other["variant"]) == wanted and "error" not in other
            ),
            None,
        )


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    card = Card(options.device, options.out, options.seconds)
    card.measure_peaks()
    for case in CASES:
        card.add(case)
    print(f"targets: {TARGETS}; with the stock path known:")
    for row in card.rows:
        print(card.line(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
