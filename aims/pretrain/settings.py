"""The settings of a pretraining, which are options of the command line, and its fixed recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import msgspec

from aims.core.config import PRECISIONS, RANDOM_WEIGHTS
from aims.core.errors import InputError, unknown_name
from aims.core.settings import declared_settings, setting
from aims.core.vocabulary import TRAINING_PROMPTS, TrainingPrompts

#: Seed of all held-out scenes; training with it is refused.
HELD_OUT_SEED = 2_026
OPTIMIZERS = ("adamw", "muon")
AUGMENTATIONS = ("none", "sensor")
#: What the first prompt of a region is: a click, or in half of the steps a box.
FIRST_PROMPTS = ("click", "mixed")


class PretrainRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the recipe that is not configurable.

    Files of earlier versions hold `average_decay` here, with the value that is now its default as a setting.

    Attributes:
        betas: betas of AdamW.
        weight_decay: weight decay, for the weights of linear and convolutional layers.
        gradient_norm: norm to which gradients are clipped.
        warm_up_steps: number of steps of the linear warm-up of the learning rate.
        last_rate: learning rate at the end of the cosine, as a fraction of the highest.
        pair_weight: initial weight of the loss on pairs of patches; it falls linearly to 0.
        balanced_share: share of the training over which the cross-entropy changes from balanced to plain once
            masks are learned.
    """

    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    gradient_norm: float = 1.0
    warm_up_steps: int = 300
    last_rate: float = 0.01
    pair_weight: float = 0.5
    balanced_share: float = 0.2


RECIPE = PretrainRecipe()


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything that determines the weights of a pretraining.

    A field with `setting` is an option of `aims pretrain`. Files of earlier versions lack those that came
    later; their defaults are what was done before.

    Attributes:
        images: number of images to train on; equal configurations then give equal weights. None if `hours` is
            given.
        hours: duration of the training; the learning rate falls with time. None if `images` is given.
        weights: SHA-256 of the file of weights that training starts from, or "random".
        share_of_photos: share of photographs among the images, 0..1; 0 for scenes only.
    """

    images: int | None = setting("How many images are seen: this, or --hours.", since=None, least=1)
    hours: float | None = setting("How long it takes.", since=None)
    backbone: str = setting("What is trained; a variant as NAME:FIELD=VALUE,...", since="sam-tiny")
    weights: str = RANDOM_WEIGHTS
    batch_size: int = setting("Images in a step.", since=8, least=1)
    clicks: int = setting("Regions of an image that are clicked.", since=6, least=1)
    first: str = setting(
        "Prompt of each: click, or mixed: in half of the steps a box.", since="click", choices=FIRST_PROMPTS
    )
    rounds: int = setting("Answers to each; every further click corrects the last.", since=1, least=1)
    lr: float = setting("Highest learning rate.", since=5e-4)
    optimizer: str = setting(" or ".join(OPTIMIZERS) + ".", since="adamw", choices=OPTIMIZERS)
    drop_path: float = setting("Chance that the encoder's last block is skipped, 0..1.", since=0.0)
    feature_share: float = setting(
        "Share of the training, at first, that teaches the encoder alone, 0..1.", since=0.0
    )
    average_decay: float = setting("Decay of the moving average of the weights, 0..1.", since=0.999)
    augment: str = setting(
        "sensor: 70 % of the images look as from another sensor.", since="none", choices=AUGMENTATIONS
    )
    objects: int | None = setting("Most objects of a scene.  [default: the family's]", since=None, least=6)
    object_size: float | None = setting(
        "Largest size of an object, 0.14..5.  [default: the family's]", since=None
    )
    share_of_photos: float = 0.0
    precision: str = setting(" or ".join(PRECISIONS) + ".", since="float32", choices=PRECISIONS)
    seed: int = setting("Seed of everything that is drawn.", since=0, least=0)
    held_out: int = setting("Scored scenes of each family.", since=200, least=1)
    score_every: int = setting("Images between scores.", since=20_000, least=1)

    def __post_init__(self) -> None:
        # Imported here: torch takes seconds, and the command line needs the declarations only.
        from aims.methods import BACKBONES
        from aims.models.sam import SAM

        if not isinstance(BACKBONES[self.backbone], SAM):
            raise InputError(f"--backbone {self.backbone}: pretraining makes weights of SAM's architecture")
        for name, item in PRETRAIN_SETTINGS.items():
            value = getattr(self, name)
            if item.choices and value not in item.choices:
                raise unknown_name(name, value, item.choices)
            if item.least is not None and value is not None and value < item.least:
                raise InputError(f"--{item.option} must be at least {item.least}, not {value}")
        if (self.images is None) == (self.hours is None):
            raise InputError("say how long: with --images or with --hours")
        for name in ("hours", "lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--{name} must be a positive number, not {value}")
        for name in ("share_of_photos", "drop_path", "feature_share", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise InputError(f"--{option} must be at least 0 and below 1, not {getattr(self, name)}")
        if self.object_size is not None and not 0.14 < self.object_size <= 5:
            raise InputError(f"--object-size must be above 0.14 and at most 5, not {self.object_size}")
        if self.seed == HELD_OUT_SEED:
            raise InputError(f"--seed must not be {HELD_OUT_SEED}, that of the held-out scenes")

    @property
    def prompts(self) -> TrainingPrompts:
        """The prompts that are simulated for each region."""
        return replace(TRAINING_PROMPTS[self.first], further=self.rounds - 1)


#: The settings of a pretraining, in the order of `PretrainConfig`.
PRETRAIN_SETTINGS = declared_settings(PretrainConfig)


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(PretrainConfig):
    """The content of pretraining.json: configuration and recipe."""

    recipe: PretrainRecipe = RECIPE
