"""The configuration of a pretraining, the fixed part of its recipe, and the file that keeps both."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aims.core.config import PRECISIONS
from aims.core.errors import InputError, require_at_least_one, unknown_name
from aims.core.structs import read_struct
from aims.engine.checkpoint import has_sharded
from aims.engine.plan import find_device
from aims.methods import BACKBONES
from aims.pretrain.scores import HELD_OUT_SEED

#: Name of the file of a pretraining's folder that holds its configuration and recipe.
SETTINGS = "pretraining.json"

_MOST_WORKERS = 16
#: Default share of photographs among the images, if there are photographs.
SHARE_OF_PHOTOS = 0.3


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """The part of the recipe that is not configurable.

    Attributes:
        betas: betas of AdamW.
        weight_decay: weight decay of AdamW, for the weights of linear and convolutional layers.
        gradient_norm: norm to which gradients are clipped.
        warm_up_steps: number of steps of the linear warm-up of the learning rate.
        last_rate: learning rate at the end of the cosine, as a fraction of the highest.
        average_decay: decay of the moving average of the weights, which is released.
        pair_weight: initial weight of the loss on pairs of patches; it falls linearly to 0.
        balanced_share: share of the training over which the cross-entropy changes from balanced to plain.
    """

    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    gradient_norm: float = 1.0
    warm_up_steps: int = 300
    last_rate: float = 0.01
    average_decay: float = 0.999
    pair_weight: float = 0.5
    balanced_share: float = 0.2


RECIPE = PretrainRecipe()


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything that determines the weights of a pretraining.

    Attributes:
        images: number of images to train on; equal configurations then give equal weights. None if `hours` is
            given.
        hours: duration of the training; the learning rate falls with time. None if `images` is given.
        backbone: name in `BACKBONES`.
        batch_size: number of images per step.
        clicks: number of clicks per image.
        lr: highest learning rate.
        share_of_photos: share of photographs among the images, 0..1; 0 for scenes only.
        precision: "float32", or "bf16" (autocast; losses are computed in float32).
        seed: seed of weights, scenes and all random choices.
        held_out: number of held-out scenes of each family.
        score_every: number of images between two scorings.
    """

    images: int | None = None
    hours: float | None = None
    backbone: str = "sam-tiny"
    batch_size: int = 8
    clicks: int = 6
    lr: float = 5e-4
    share_of_photos: float = 0.0
    precision: str = "float32"
    seed: int = 0
    held_out: int = 200
    score_every: int = 20_000

    def __post_init__(self) -> None:
        BACKBONES[self.backbone]
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if (self.images is None) == (self.hours is None):
            raise InputError("say how long: with --images or with --hours")
        names = ("images", "batch_size", "clicks", "held_out", "score_every")
        require_at_least_one(
            **{name: getattr(self, name) for name in names if getattr(self, name) is not None}
        )
        for name in ("hours", "lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--{name} must be a positive number, not {value}")
        if not 0 <= self.share_of_photos < 1:
            raise InputError(f"--share-of-photos must be at least 0 and below 1, not {self.share_of_photos}")
        if self.seed < 0 or self.seed == HELD_OUT_SEED:
            raise InputError(
                f"--seed must be at least 0 and not {HELD_OUT_SEED}, that of the held-out scenes"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(PretrainConfig):
    """The content of pretraining.json: configuration and recipe."""

    recipe: PretrainRecipe = RECIPE


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """A pretraining with its folders and its device.

    Attributes:
        config: configuration, which determines the weights.
        folder: folder of all output.
        device: device to train on.
        photos: folder of photographs to train on; used if `share_of_photos` is above 0.
        bsds: folder of photographs to score on.
        workers: number of processes that prepare scenes ahead.
        seconds: time limit of this call, after which it writes all output; None for no limit.
    """

    config: PretrainConfig
    folder: Path
    device: torch.device
    photos: Path | None = None
    bsds: Path | None = None
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
    target = find_device(device)
    if workers is None:
        workers = 0 if target.type == "cpu" else min(_MOST_WORKERS, max(1, len(os.sched_getaffinity(0)) - 1))
    return PretrainJob(
        config=config,
        folder=folder,
        device=target,
        photos=photos,
        bsds=bsds,
        workers=workers,
        seconds=seconds,
    )


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
