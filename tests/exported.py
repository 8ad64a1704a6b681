"""Runs to export, and the code of exported cards, run where only what they name is installed."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import torch
import toys
from packaging.requirements import Requirement

from aims.core.config import RunConfig
from aims.core.files import write_json
from aims.core.records import RUN_VERSION, Preprocessing
from aims.core.schema import StreamSpec
from aims.engine.checkpoint import save_trained
from aims.methods import build_model
from aims.models.trainable import declared_parameters

assert toys  # registers sam-toy
CHANNELS = 4
CONFIG = {
    "method": "simcmf",
    "tuning": "lora",
    "modality": "signal",
    "dataset": "made-up",
    "fingerprint": "f" * 64,
    "backbone": "sam-toy",
    "weights": "random",
    "epochs": 3,
    "lr": 1e-3,
    "batch_size": 3,
    "seed": 2,
    "protocol": "strict",
    "precision": "float32",
    "loss": "dice-ce",
}


def made_run(runs: Path, *, channels: int = CHANNELS, base: Mapping[str, Any] | None = None, **changes: Any):
    """A run folder as `aims run` leaves it, with random numbers in place of what training would find."""
    config = RunConfig(**{**CONFIG, **changes})
    model = build_model(
        method=config.method,
        tuning=config.tuning,
        backbone=config.backbone,
        channels=channels,
        weights=base,
        seed=config.seed,
        options=config.options,
    ).eval()
    generator = torch.Generator().manual_seed(7)
    for parameter in declared_parameters(model).values():
        # B of LoRA and relative positions are zero at the start.
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    folder = runs / config.run_name
    folder.mkdir(parents=True)
    if declared_parameters(model):
        save_trained(folder / "weights.safetensors", model, {"epoch": "2", "run": config.run_name})
    preprocessing = Preprocessing(
        streams=("signal",),
        mean=tuple(0.5 + k for k in range(channels)),
        std=tuple(1.5 + k for k in range(channels)),
        source="training part",
        channel_order=tuple(reversed(range(channels))),
    )
    record = {
        "version": RUN_VERSION,
        "status": "finished",
        "config": dataclasses.asdict(config),
        "preprocessing": dataclasses.asdict(preprocessing),
        "options": dict(config.options),
        "selected_on": "val",
        "scores": {"miou": 0.4321, "instances": 19, "images": 4, "epoch": 2},
        "code": {"aims": "0.0.1", "commit": None, "torch": torch.__version__},
    }
    write_json(folder / "run.json", record)
    return folder, model


def changed(folder: Path, **changes: Any) -> None:
    """Edits a run record."""
    content = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", {**content, **changes})


def describe_streams(folder: Path, channels: int = CHANNELS, **changes: Any) -> None:
    """Edits a run record to say how its stream is stored."""
    spec = StreamSpec(
        **{"channels": channels, "unit": "K", "valid_range": (-2.0, 3.0), "missing": -1.0, **changes}
    )
    facts = {"license": "CC0-1.0", "citation": None, "url": None}
    changed(folder, dataset={**facts, "streams": {"signal": dataclasses.asdict(spec)}})


def outputs(model, images, point_coords):
    """Embeddings and mask logits, LoRA's layers unfolded."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    embeddings = model.embed(images)
    logits, _ = model.decode(embeddings, point_coords, torch.ones(point_coords.shape[:2], dtype=torch.long))
    return embeddings, logits


def code_blocks(folder: Path) -> str:
    """All Python of the card, in order."""
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    )


def installed(folder: Path) -> list[str]:
    """The requirements that the card tells to install."""
    (line,) = re.findall(r"^\$ pip install (.*)$", (folder / "README.md").read_text(), re.MULTILINE)
    return line.split()


def link_only(requirements: Iterable[str], site: Path) -> None:
    """Fills a folder with links to installed distributions: those required, what these require, no others."""
    site.mkdir()
    wanted, seen = [Requirement(text) for text in requirements], set()
    while wanted:
        requirement = wanted.pop()
        if requirement.name in seen or not (
            requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ):
            continue
        seen.add(requirement.name)
        found = distribution(requirement.name)
        assert requirement.specifier.contains(found.version), requirement
        wanted += map(Requirement, found.requires or ())
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(found.locate_file(top))


def run_cards(folders: list[Path], names: Iterable[str], tmp_path: Path) -> list[dict[str, Any]]:
    """Runs the code of cards that name the same requirements as it stands, and nothing else to import.

    Returns:
        The values of `names` after each card's code: lists of numbers for arrays.
    """
    (requirements,) = {tuple(installed(folder)) for folder in folders}
    site = tmp_path / f"only-{len(list(tmp_path.iterdir()))}"
    link_only(requirements, site)
    script = f"""
import json, os, sys
sys.path.insert(0, {str(site)!r})

def plain(value):
    if isinstance(value, dict):
        return {{name: plain(each) for name, each in value.items()}}
    return [plain(each) for each in value] if isinstance(value, tuple) else value.tolist()

for folder, code in {[(str(folder), code_blocks(folder)) for folder in folders]!r}:
    os.chdir(folder)
    seen = {{}}
    exec(code, seen)
    with open(folder + ".seen", "w") as file:
        json.dump({{name: plain(seen[name]) for name in {list(names)!r}}}, file)
"""
    # Isolated and without site: no other package can be imported, AIMS least of all.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(Path(f"{folder}.seen").read_text()) for folder in folders]
