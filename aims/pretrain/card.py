"""The results of a pretraining: weights, model card, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from aims.core.files import atomic_write, sha256_file, write_json, write_text
from aims.engine.checkpoint import save_tensors
from aims.engine.export_card import render_card
from aims.engine.machine import commit, hardware, peak_memory
from aims.pretrain.checkpoint import Progress
from aims.pretrain.photographs import Photographs
from aims.pretrain.pictures import FAMILY
from aims.pretrain.scores import HELD_OUT_SEED, LARGE
from aims.pretrain.step import LOSS_NAMES
from aims.version import __version__

WEIGHTS, CARD, README, CURVES = "weights.safetensors", "card.json", "README.md", "curves.png"

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_SCENES_ONLY = "Apache-2.0, as AIMS: only scenes that AIMS generates were learned from."
_WITH_PHOTOGRAPHS = (
    "NOT TO BE SHIPPED: photographs were learned from as well. Those of BSDS500 are given for research, with "
    "citation (Arbelaez, Maire, Fowlkes and Malik, PAMI 2011), and not under a free licence; neither may "
    "these weights be passed on under one."
)
_KINDS = {
    "wilds": "held-out scenes of the family that was learned",
    "rooms": "held-out scenes of the other family, with other shapes, textures and materials",
    "photographs": "validation photographs (BSDS500's layout), regions drawn by people; a figure only",
}


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Writes a state dict in half precision; `aims.models.weights` reads it as float32."""
    save_tensors(path, {name: tensor.to("cpu", torch.float16) for name, tensor in state.items()}, {})


def write_card(
    folder: Path,
    *,
    settings: Mapping[str, Any],
    progress: Progress,
    share_done: float,
    scores: Mapping[str, Mapping[str, float]],
    photographs: Mapping[str, Photographs],
    model: nn.Module,
    device: torch.device,
    scoring_seconds: float,
) -> dict[str, Any]:
    """Writes card.json and README.md for the weights in a folder.

    Args:
        folder: of the pretraining; holds the weights.
        settings: configuration and recipe.
        progress: where it stands.
        share_done: share of the planned training, 0..1.
        scores: of the written weights, by held-out set.
        photographs: what was learned from ("learn") and scored on.
        model: for the number of its parameters.
        device: where it was trained.
        scoring_seconds: the last scoring, which `progress` does not hold.

    Returns:
        The content of card.json.
    """
    weights, learned = folder / WEIGHTS, photographs.get("learn")
    content: dict[str, Any] = {
        "model": settings["backbone"],
        "license": _WITH_PHOTOGRAPHS if learned else _SCENES_ONLY,
        "shippable": learned is None,
        "weights": {"file": WEIGHTS, "bytes": weights.stat().st_size, "sha256": sha256_file(weights)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "images_seen": progress.step * settings["batch_size"],
        "steps": progress.step,
        "share_done": round(share_done, 4),
        "seconds": round(progress.seconds, 1),
        "scoring_seconds": round(scoring_seconds, 1),
        "peak_memory_bytes": peak_memory(device),
        "hardware": hardware(device),
        "settings": dict(settings),
        "learned_from": {
            "scenes": {"family": FAMILY, "seed": settings["seed"]},
            "photographs": len(learned.names) if learned else 0,
        },
        "held_out_seed": HELD_OUT_SEED,
        "large_share": LARGE,
        "scores": {name: {**numbers, **progress.floors[name]} for name, numbers in scores.items()},
        "code": {"aims": __version__, "commit": commit(), "torch": torch.__version__},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / CARD, content)
    rows = [_score_row(name, numbers) for name, numbers in content["scores"].items()]
    readme = render_card(_TEMPLATE, content, rows=rows, kinds=_KINDS, curves=CURVES)
    write_text(folder / README, readme)
    return content


def _score_row(name: str, numbers: Mapping[str, float]) -> list[str]:
    cells = [name]
    for suffix, count in (("", "instances"), ("_large", "large_instances")):
        shares = (f"{100 * numbers[f'{key}{suffix}']:.1f}" for key in ("miou", "disc", "best_disc"))
        cells += [f"{numbers[count]:,}", *shares]
    return cells


def draw_curves(folder: Path, progress: Progress) -> None:
    """Draws losses and scores over the images seen."""
    losses = [line for line in progress.lines if LOSS_NAMES[0] in line]
    scores = [line for line in progress.lines if "wilds_miou" in line]
    # A figure of its own: pyplot keeps global state, and figures that nobody closes.
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in LOSS_NAMES:
        left.plot([line["images"] for line in losses], _smooth([line[name] for line in losses]), label=name)
    left.set(xlabel="images", ylabel="loss, smoothed")
    left.legend()
    for colour, (name, floors) in enumerate(progress.floors.items()):
        key = f"{name}_miou"
        drawn = [(line["images"], 100 * line[key]) for line in scores if key in line]
        right.plot(*zip(*drawn, strict=True) if drawn else ((), ()), f"C{colour}.-", label=name)
        right.axhline(100 * floors["disc"], color=f"C{colour}", linestyle=":")
    right.set(xlabel="images", ylabel="mean IoU from one click, %  (dotted: disc)")
    if progress.floors:
        right.legend()
    with atomic_write(folder / CURVES) as beside:
        figure.savefig(beside, format="png", dpi=110)


def _smooth(values: Sequence[float]) -> list[float]:
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else 0.9 * smoothed[-1] + 0.1 * value)
    return smoothed
