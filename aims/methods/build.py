"""Builds a model from the names of its method, tuning and backbone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor

from aims.core.errors import InputError
from aims.methods.base import Method
from aims.methods.options import configure
from aims.models.backbone import BACKBONES, Backbone
from aims.models.segmenter import Segmenter
from aims.models.trainable import freeze_undeclared, require_match


def build_model(
    *,
    method: str,
    tuning: str,
    backbone: str,
    channels: int,
    weights: Mapping[str, Tensor] | None,
    seed: int,
    options: Mapping[str, object] = MappingProxyType({}),
    initial: Mapping[str, Tensor] | None = None,
) -> Segmenter:
    """Builds a model on the CPU, with exactly the declared parameters requiring a gradient.

    The same arguments give bit-identical weights, and the state of torch's global generators is restored.
    Backbone, method and tuning are seeded separately, so the alignment module of a seed is the same under
    every tuning and with every backbone.

    Args:
        method: name in `METHODS`.
        tuning: name in `TUNINGS`, or "none" for a method that trains nothing.
        backbone: name in `BACKBONES`.
        channels: channels of the images.
        weights: all tensors of the plain SAM (`load_weights`), copied; None for random weights.
        seed: seed of all random weights.
        options: options of the method and the tuning by name, where they differ from the defaults.
        initial: all tensors of a model of the same form to start from, copied; the tuning's layers may be
            absent and are initialised then. None starts from `weights`.

    Raises:
        InputError: a name or an option is unknown; method, tuning, backbone and number of channels do not go
            together; weights or initial tensors do not fit; or the method has no model.
    """
    chosen, chosen_tuning = configure(method, tuning, options)
    if not isinstance(chosen, Method):
        raise InputError(f"method {method!r} has no model that could be built")
    chosen_backbone = BACKBONES[backbone]
    if weights is not None and not chosen.loads_weights:
        raise InputError(f"method {method!r} starts from random weights, but weights were given")
    if channels < 1:
        raise InputError(f"a model needs at least one channel, got {channels}")
    with _seeded(seed, "backbone"):
        model = _build_plain(chosen_backbone, weights)
    with _seeded(seed, "method"):
        chosen.adapt(model, channels)
    model.in_channels = channels
    untuned = initial is not None and initial.keys() == model.state_dict().keys()
    if untuned:
        _load_initial(model, initial)
    with _seeded(seed, "tuning"):
        if chosen_tuning is not None:
            chosen_tuning.apply(model)
    if not untuned:
        _load_initial(model, initial)
    freeze_undeclared(model)
    model.path = "fast"
    return model


def _load_initial(model: Segmenter, initial: Mapping[str, Tensor] | None) -> None:
    if initial is None:
        return
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    require_match(shapes, initial, source="what the run starts from")
    # On the meta device (`build_shapes`) only the check matters, as tensors hold no data.
    if not next(model.parameters()).is_meta:
        model.load_state_dict(initial)


def _build_plain(backbone: Backbone, weights: Mapping[str, Tensor] | None) -> Segmenter:
    if weights is None:
        model = backbone.build()
        backbone.initialize(model)
        return model
    model = backbone.build_blank()
    require_match(
        {name: tensor.shape for name, tensor in model.state_dict().items()}, weights, source="weights"
    )
    if model.device.type == "meta":
        model.to_empty(device="cpu")
    # Copied, not assigned: training must not write into the caller's (perhaps mapped) tensors.
    model.load_state_dict(weights)
    return model


@contextmanager
def _seeded(seed: int, part: str) -> Iterator[None]:
    """Seeds torch's CPU generator for one part of a model, and restores its state afterwards."""
    digest = hashlib.sha256(f"{seed}:{part}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the generators of all devices as well.
        torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield
