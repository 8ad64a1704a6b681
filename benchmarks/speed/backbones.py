"""Speed and memory of backbones at their own size: encoding, a click, and a training step.

    python -m aims.benchmarks.speed.backbones BACKBONE [BACKBONE ...] [--device cpu] [--step]

Each backbone is measured in a process of its own, with SimCMF and LoRA at one channel and random weights,
which do not change the time. On a CPU the seconds are those of the processor, so that other programs do not
count; on a GPU those of the clock, after a warm-up. The peak is that of the whole process, on a GPU that of
its memory. Prints a Markdown table.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from aims.engine.losses import LOSSES
from aims.engine.machine import PeakMemory
from aims.methods import build_model, describe
from aims.models.trainable import declared_parameters
from aims.reports.tables.markdown import markdown_table

from . import harness

T = TypeVar("T")

_METHOD: dict[str, Any] = {"method": "simcmf", "tuning": "lora", "channels": 1}


def measure(backbone: str, device: torch.device, *, step: bool) -> dict[str, float | None]:
    """Measures one backbone; seconds, and bytes."""
    memory = PeakMemory(device)
    counted = describe(backbone=backbone, **_METHOD)
    model = build_model(backbone=backbone, weights=None, seed=0, **_METHOD).to(device).eval()
    size = model.image_size
    images = torch.randn(1, 1, size, size, device=device)
    coords, labels = torch.full((1, 1, 2), size / 2), torch.ones(1, 1, dtype=torch.int64)
    coords, labels = coords.to(device), labels.to(device)
    with torch.inference_mode():
        if device.type == "cuda":
            model.decode(model.embed(images), coords, labels)
        features, encode = _timed(lambda: model.embed(images), device)
        _, click = _timed(lambda: model.decode(features, coords, labels), device)
    found: dict[str, float | None] = {"encode": encode, "click": click, "evaluating": memory.read()}
    found |= {"step": None, "training": None}
    if step:
        optimizer = torch.optim.Adam(declared_parameters(model).values(), lr=1e-5)

        def train() -> None:
            logits, iou = model.decode(model.embed(images), coords, labels)
            loss = LOSSES["dice-ce"](logits[:, 0], torch.zeros_like(logits[:, 0]), iou[:, 0])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        model.train()
        if device.type == "cuda":
            train()
        found |= {"step": _timed(train, device)[1], "training": memory.read()}
    return found | {"parameters": counted.parameters.total, "flops": counted.flops.forward}


def _timed(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    return harness.clock(work, device, processor_time=device.type != "cuda")


def main(arguments: list[str] | None = None) -> int:
    parser = harness.parser(__doc__)
    parser.add_argument("backbones", nargs="+", metavar="BACKBONE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--step", action="store_true", help="also a training step of one image")
    parser.add_argument("--one", action="store_true", help="measure in this process and print JSON")
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.backbones[0], torch.device(options.device), step=options.step)))
        return 0
    rows = []
    for backbone in options.backbones:
        words = ["--one", "--device", options.device, *(["--step"] if options.step else []), backbone]
        command = [sys.executable, "-m", "aims.benchmarks.speed.backbones", *words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(_row(backbone, json.loads(done.stdout.splitlines()[-1])))
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    header = ["backbone", "parameters", "GFLOP", "encode s", "click s", "peak MB", "step s", "peak MB"]
    print("\n".join(markdown_table(header, rows, 1)))
    return 0


def _row(backbone: str, found: dict[str, float | None]) -> list[str]:
    def text(key: str, scale: float = 1.0, form: str = ",.0f") -> str:
        value = found[key]
        return "" if value is None else format(value / scale, form)

    return [
        f"`{backbone}`",
        text("parameters"),
        text("flops", 1e9),
        text("encode", form=".3g"),
        text("click", form=".2g"),
        text("evaluating", 1e6),
        text("step", form=".3g"),
        text("training", 1e6),
    ]


if __name__ == "__main__":
    sys.exit(main())
