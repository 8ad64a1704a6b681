"""The configuration of a pretraining, and the fixed part of its recipe."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aims.core.config import PRECISIONS
from aims.core.errors import InputError, require_at_least_one, unknown_name
from aims.engine.plan import find_device
from aims.methods import BACKBONES
from aims.pretrain.scores import HELD_OUT_SEED

_MOST_WORKERS = 16
#: Share of photographs where none is asked for.
SHARE_OF_PHOTOS = 0.3


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """The part of the recipe that is not configurable.

    Attributes:
        betas: of AdamW.
        weight_decay: of AdamW, for the weights of linear and convolutional layers.
        gradient_norm: longer gradients are shortened to it.
        warm_up_steps: the rate grows linearly over them.
        last_rate: share of the rate that is left at the end of the cosine.
        average_decay: of the moving average of the weights, which is what is shipped.
        pair_weight: of the loss on pairs of patches at the start; it falls to 0 linearly.
        balanced_share: share of the training over which the cross-entropy goes from balanced to plain.
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
    """Everything that decides the weights of a pretraining.

    Attributes:
        images: how many images are seen; equal configurations then give equal weights. None if `hours`
            decides.
        hours: how long it takes; the learning rate falls with the clock. None if `images` decides.
        backbone: name in `BACKBONES`.
        batch_size: images of a step.
        clicks: clicks on each image.
        lr: the highest learning rate.
        share_of_photos: share of the images that are photographs; 0 without them.
        precision: "float32", or "bf16" (autocast; the losses stay float32).
        seed: of weights, scenes and everything that is drawn.
        held_out: scenes of each family that are scored.
        score_every: images between two scores.
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
    """The content of pretraining.json: the configuration, and the recipe below it."""

    recipe: PretrainRecipe = RECIPE


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """A pretraining, and where it happens.

    Attributes:
        config: what decides the weights.
        folder: where everything is written.
        device: where to train.
        photos: folder of photographs to learn from; used if `share_of_photos` is above 0.
        bsds: folder of photographs to score on.
        workers: processes that make the tables of scenes ahead.
        seconds: time after which this call stops training and writes everything; None for no limit.
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
    """Resolves and checks what the command line gives.

    Args:
        folder: where everything is written.
        photos: photographs to learn from.
        bsds: photographs to score on.
        share_of_photos: None for 0.3 with photographs and 0 without.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: processes that make the tables of scenes ahead; None for none on a CPU, where they would take
            cores from the training, and for all cores but one beside a GPU, at most 16.
        seconds: time after which this call stops training and writes everything; None for no limit.
        settings: of `PretrainConfig`.

    Raises:
        InputError: something cannot be used; nothing has been written then.
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
