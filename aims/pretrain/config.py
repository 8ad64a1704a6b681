"""From options to a pretraining job, and the folder in which it can begin or go on."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from aims.core.errors import InputError
from aims.core.structs import read_struct
from aims.engine.checkpoint import has_sharded
from aims.engine.plan import find_device
from aims.models.weights import LoadedWeights, load_weights, resolve_weights
from aims.pretrain.card import Card, find_card
from aims.pretrain.optimizers import require_optimizer
from aims.pretrain.photographs import Photographs
from aims.pretrain.settings import PretrainConfig, PretrainSettings

#: Name of the file of a pretraining's folder that holds its configuration and recipe.
SETTINGS = "pretraining.json"

_MOST_WORKERS = 16
#: Default share of photographs among the images, if there are photographs.
SHARE_OF_PHOTOS = 0.3


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """A pretraining with its folders and its device.

    Attributes:
        config: configuration, which determines the weights.
        folder: folder of all output.
        device: device to train on.
        photos: folder of photographs to train on; used if `share_of_photos` is above 0.
        bsds: folder of photographs to score on.
        weights: weights that training starts from; None for random ones.
        earlier: card of these weights; None where they have none.
        workers: number of processes that prepare scenes ahead.
        seconds: time limit of this call, after which it writes all output; None for no limit.
    """

    config: PretrainConfig
    folder: Path
    device: torch.device
    photos: Path | None = None
    bsds: Path | None = None
    weights: LoadedWeights | None = None
    earlier: Card | None = None
    workers: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise InputError(f"--seconds must be a positive number, not {self.seconds}")


def plan_pretraining(
    *,
    folder: Path,
    photos: Path | None = None,
    bsds: Path | None = None,
    share_of_photos: float | None = None,
    weights: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    seconds: float | None = None,
    **settings: Any,
) -> PretrainJob:
    """Resolves and checks the options of the command line.

    Args:
        folder: folder of all output.
        photos: folder of photographs to train on.
        bsds: folder of photographs to score on.
        share_of_photos: share of photographs among the images; None for 0.3 with `photos` and 0 without.
        weights: file of weights that training starts from, or the name of weights that come with AIMS; None
            or "none" for random weights.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: number of processes that prepare scenes ahead; None for none on a CPU, where they would take
            cores from the training, and for all cores but one, at most 16, with a GPU.
        seconds: time limit of this call, after which it writes all output; None for no limit.
        settings: fields of `PretrainConfig`.

    Raises:
        InputError: an option cannot be used; nothing has been written.
    """
    if share_of_photos and photos is None:
        raise InputError("--share-of-photos needs --photos, the folder of photographs")
    share = (SHARE_OF_PHOTOS if share_of_photos is None else share_of_photos) if photos else 0.0
    config = PretrainConfig(share_of_photos=share, **settings)
    require_optimizer(config.optimizer)
    loaded = earlier = None
    if weights not in (None, "none"):
        path = resolve_weights(config.backbone, weights)
        loaded = load_weights(config.backbone, path)
        earlier = find_card(path, loaded.sha256)
        config = replace(config, weights=loaded.sha256)
    target = find_device(device)
    if workers is None:
        workers = 0 if target.type == "cpu" else min(_MOST_WORKERS, max(1, len(os.sched_getaffinity(0)) - 1))
    return PretrainJob(
        config=config,
        folder=folder,
        device=target,
        photos=photos,
        bsds=bsds,
        weights=loaded,
        earlier=earlier,
        workers=workers,
        seconds=seconds,
    )


def find_photographs(job: PretrainJob) -> dict[str, Photographs]:
    """Finds the photographs to train on ("learn"), and those of the scores ("train" and "val").

    Raises:
        InputError: a folder holds no photographs in BSDS500's layout.
    """
    found: dict[str, Photographs] = {}
    if job.photos is not None and job.config.share_of_photos:
        found["learn"] = Photographs.find(job.photos, "train")
    if job.bsds is not None:
        found |= {split: Photographs.find(job.bsds, split) for split in ("train", "val")}
    return found


def settings_of(job: PretrainJob) -> PretrainSettings:
    """Returns the content of a job's pretraining.json."""
    return PretrainSettings(**vars(job.config))


def require_folder(job: PretrainJob, finish: bool) -> None:
    """Checks that a job can begin or go on in its folder.

    Args:
        job: the pretraining.
        finish: whether there must be a saved state.

    Raises:
        InputError: the folder holds other files, or a pretraining of another configuration.
    """
    folder = job.folder
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder with --out")
    if not (folder / SETTINGS).is_file():
        if finish or (folder.is_dir() and any(folder.iterdir())):
            what = "no pretraining to finish here" if finish else "holds something else; give a new folder"
            raise InputError(f"{folder}: {what}")
        return
    if finish and not has_sharded(folder):
        raise InputError(f"{folder}: nothing is saved here yet; there is nothing to finish")
    before = read_struct(folder / SETTINGS, PretrainSettings, what="the settings of a pretraining")
    for name, value in vars(job.config).items():
        if (then := getattr(before, name)) != value:
            raise InputError(
                f"{folder}: was begun with {name.replace('_', '-')} {then}, not {value}; repeat the same "
                "command to go on, or give another --out"
            )
