"""A SAM so small that a training step takes milliseconds, and jobs that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from aims.core.config import RunConfig
from aims.core.vocabulary import STRICT, Protocol
from aims.data.modalities import choose_dataset
from aims.data.read import Dataset
from aims.data.write import convert
from aims.engine import run as making
from aims.engine.inputs import survey
from aims.engine.job import Job
from aims.engine.samples import Source
from aims.methods import BACKBONES
from aims.models.flops import Flops, count_flops
from aims.models.sam import SAM
from aims.models.segmenter import Segmenter
from helpers import MadeUp

# Counting takes a third of the time of such a run, and the same layers have the same operations.
_COUNTED: dict[tuple[str, int, int], Flops] = {}


def _count_once(model: Segmenter) -> Flops:
    key = (repr(model), model.in_channels, model.image_size)
    if key not in _COUNTED:
        _COUNTED[key] = count_flops(model)
    return _COUNTED[key]


making.count_flops = _count_once

if "sam-toy" not in BACKBONES:
    BACKBONES.register("sam-toy")(
        SAM(
            width=24,
            depth=2,
            heads=2,
            global_blocks=(1,),
            image_size=64,
            patch_size=8,
            window=4,
            prompt_dim=16,
            decoder_mlp_dim=32,
            iou_hidden_dim=16,
        )
    )

_PACKAGE = f"""
from aims.methods import BACKBONES
from aims.models.sam import SAM
if "sam-toy" not in BACKBONES:
    BACKBONES.register("sam-toy")({BACKBONES["sam-toy"]!r})
"""


def install(site: Path) -> None:
    """Makes a folder of packages with one that registers the toy backbone, as an installation would."""
    metadata = site / "toy_backbone-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "toy_backbone.py").write_text(_PACKAGE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-backbone\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[aims.methods]\ntoy = toy_backbone\n")


#: Changes of a `job` that trains nothing, and of one without a model.
UNTRAINED = {"tuning": "none", "epochs": 0, "lr": 0.0, "batch_size": 1}
FLOOR = {"method": "disc", "weights": "none", "backbone": "none", "loss": "none", **UNTRAINED}


def made_up_set(folder: Path, **options: Any) -> Dataset:
    """Converts a made-up set into `folder` unless it is there."""
    raw = folder.with_name(f"{folder.name}-raw")
    raw.mkdir(parents=True, exist_ok=True)
    convert(MadeUp(raw=raw, **{"images": 8, "size": (40, 52), **options}), folder)
    return Dataset.open(folder)


def source(dataset: Dataset, protocol: Protocol, size: int = 64) -> Source:
    """What turns a made-up set's images into inputs of `size` pixels."""
    chosen, modality = choose_dataset([dataset], "signal", STRICT)
    surveyed = survey(chosen, modality, dataset.index["train"], protocol, shuffle_seed=0)
    return Source(
        dataset=chosen,
        modality=modality,
        protocol=protocol,
        preprocessing=surveyed.preprocessing,
        input_size=size,
    )


def job(dataset: Dataset, runs: Path, **changes: Any) -> Job:
    """A job on the toy backbone."""
    found, modality = choose_dataset([dataset], changes.pop("modality", "signal"), STRICT)
    settings: dict[str, Any] = {
        "method": "simcmf",
        "tuning": "full",
        "modality": modality.name,
        "dataset": found.name,
        "fingerprint": found.fingerprint,
        "backbone": "sam-toy",
        "weights": "random",
        "epochs": 3,
        "lr": 1e-3,
        "batch_size": 3,
        "seed": 0,
        "protocol": "strict",
        "precision": "float32",
        "loss": "dice-ce",
        **changes,
    }
    return Job(
        config=RunConfig(**settings),
        dataset=found,
        modality=modality,
        weights=None,
        device=torch.device("cpu"),
        runs=runs,
    )
