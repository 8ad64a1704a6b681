"""From names to a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from aims.core.errors import InputError
from aims.methods.base import METHODS
from aims.models.initialization import initialize_random
from aims.models.sam import BACKBONES, Backbone, build_sam
from aims.models.segmenter import Segmenter
from aims.models.trainable import freeze_undeclared, require_match
from aims.models.tuning import TUNINGS


def build_model(
    *,
    method: str,
    tuning: str,
    backbone: str,
    channels: int,
    weights: Mapping[str, Tensor] | None,
    seed: int,
) -> Segmenter:
    """Builds a model on the CPU, with exactly the declared parameters requiring a gradient.

    The same arguments give the same weights, bit for bit, and torch's global generators are left as they
    were. Backbone, method and tuning draw from generators of their own: the alignment module of a seed is the
    same under every tuning and with every backbone.

    Args:
        method: name in `METHODS`.
        tuning: name in `TUNINGS`.
        backbone: name in `BACKBONES`.
        channels: channels of the images.
        weights: all tensors of the plain SAM (`load_weights`), copied; None for random weights.
        seed: of all random weights.

    Raises:
        InputError: a name is unknown, method and tuning make no sense together, or the weights do not fit.
    """
    require_pair(method, tuning)
    chosen, chosen_tuning, chosen_backbone = METHODS[method](), TUNINGS[tuning](), BACKBONES[backbone]
    if weights is not None and not chosen.loads_weights:
        raise InputError(f"method {method!r} starts from random weights, but weights were given")
    if channels < 1:
        raise InputError(f"a model needs at least one channel, got {channels}")
    with _seeded(seed, "backbone"):
        model = _build_plain(chosen_backbone, weights)
    with _seeded(seed, "method"):
        chosen.adapt(model, channels)
    model.in_channels = channels
    with _seeded(seed, "tuning"):
        chosen_tuning.apply(model)
    freeze_undeclared(model)
    return model


def require_pair(method: str, tuning: str) -> None:
    """Checks that a method and a tuning make sense together.

    Raises:
        InputError: a name is unknown, or the pair makes no sense; it gives the reason.
    """
    TUNINGS[tuning]
    objection = METHODS[method]().objection(tuning)
    if objection is not None:
        raise InputError(f"method {method!r} does not go with tuning {tuning!r}: {objection}")


def default_tuning(method: str, pretrained: bool) -> str:
    """The tuning when none is asked for: "lora", or "full" where the weights are random.

    Args:
        method: name in `METHODS`.
        pretrained: whether pretrained weights were given.

    Raises:
        InputError: the method is unknown.
    """
    return "lora" if METHODS[method].loads_weights and pretrained else "full"


def _build_plain(backbone: Backbone, weights: Mapping[str, Tensor] | None) -> Segmenter:
    if weights is None:
        model = build_sam(backbone)
        initialize_random(model)
        return model
    with torch.device("meta"):
        model = build_sam(backbone)
    require_match(
        {name: tensor.shape for name, tensor in model.state_dict().items()}, weights, source="weights"
    )
    # Copied, not assigned: training must not write into the caller's (perhaps mapped) tensors.
    model.to_empty(device="cpu")
    model.load_state_dict(weights)
    return model


@contextmanager
def _seeded(seed: int, part: str) -> Iterator[None]:
    """Seeds torch's CPU generator for one part of a model, and puts its state back."""
    digest = hashlib.sha256(f"{seed}:{part}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the generators of all devices as well.
        torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield
