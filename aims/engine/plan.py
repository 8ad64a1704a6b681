"""From settings to a job: resolves names, fills in defaults and checks weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from aims.core.config import (
    NO_MODEL,
    NO_TUNING,
    RANDOM_WEIGHTS,
    RunConfig,
    fill_settings,
    replaced_settings,
)
from aims.core.errors import InputError
from aims.core.vocabulary import find_protocol
from aims.data.hub import local_path
from aims.data.modalities import choose_dataset
from aims.data.read import Dataset, find_datasets
from aims.engine.distributed import LaunchedGroup, find_process_group
from aims.engine.initial import Initial, load_initial
from aims.engine.job import Job
from aims.engine.losses import LOSSES
from aims.engine.trackers import require_tracker
from aims.methods import (
    BACKBONES,
    METHODS,
    build_shapes,
    changed_options,
    default_tuning,
    has_model,
    require_modality,
    require_pair,
)
from aims.models.attention import AttentionPath
from aims.models.weights import load_weights, resolve_weights

#: Default learning rates of full tuning with pretrained weights, and of everything else: the paper's best on
#: polarization for full tuning and for LoRA (Figure 5a). It gives none for other tunings or random weights.
FULL_LR, DEFAULT_LR = 1e-5, 3e-4
_WORKERS_ON_GPU = 8


def plan(
    *,
    data: Path | Sequence[Dataset] = Path("data/aims"),
    device: str = "auto",
    workers: int | None = None,
    checkpoint_every: int | None = None,
    path: AttentionPath = "fast",
    runs: Path = Path("runs"),
    trust: bool = False,
    track: str | None = None,
    options: Mapping[str, object] = MappingProxyType({}),
    **settings: Any,
) -> Job:
    """Resolves and checks everything that a run needs, before any slow work starts.

    Args:
        data: a converted dataset, or a folder of several; or datasets that are open.
        device: "auto", "cpu", "cuda" or "cuda:N". Ignored by methods without a model.
        workers: number of reading processes; None for none on a CPU and at most eight with a GPU.
        checkpoint_every: number of steps between checkpoints within an epoch; None for none.
        path: "fast", or "stock": segment-anything's unchanged modules, float32, one prompt at a time.
        runs: folder of runs.
        trust: whether the dataset is taken as it is, without being verified; the record says so.
        track: experiment tracker to tell of the progress, one of `aims.core.vocabulary.TRACKERS`; it changes
            nothing about the run. None for none.
        options: options of the method and the tuning by name; strings are parsed to the types of the options.
        **settings: settings of `aims.core.config.SETTINGS` by name; those left out have their defaults.
            `tuning`: None for the method's default, "none" for a method that trains nothing. `dataset`: None
            lets the modality decide. `weights`: a checkpoint file, the name of weights that come with AIMS
            ("sam-tiny@1"), "none" for random weights, or None for the cache folder or the newest edition;
            methods that start from random weights refuse a file. `lr`: None for the default of tuning and
            weights. `init`: folder of a finished run whose trained weights this run starts from. Settings of
            the training or of the model are ignored by methods without one.

    Raises:
        InputError: a name, a file or a number cannot be used; nothing has been written.
    """
    asked = fill_settings(settings)
    if track is not None:
        require_tracker(track)
    # Registry look-ups raise for unknown names: before gigabytes of weights are read.
    method, tuning, weights = asked["method"], asked["tuning"], asked["weights"]
    chosen, modelled = METHODS[method], has_model(method)
    if modelled:
        BACKBONES[asked["backbone"]], LOSSES[asked["loss"]]
    if tuning is not None:
        require_pair(method, tuning)
    protocol = find_protocol(asked["protocol"])
    if protocol.recorded_as:
        raise InputError(
            f"protocol {protocol.name!r} is what {protocol.recorded_as!r} was in earlier versions, and is "
            f"only read; take --protocol {protocol.recorded_as}"
        )
    if path == "stock" and asked["precision"] != "float32":
        raise InputError(
            f"--attention stock computes in float32, not in {asked['precision']}; leave --precision out"
        )
    target = find_device(device)
    distributed = find_process_group(target)
    # accelerate assigns a GPU to each process.
    if isinstance(distributed, LaunchedGroup) and device in ("auto", "cuda"):
        target = distributed.device
    datasets = find_datasets(data) if isinstance(data, Path) else data
    found, resolved = choose_dataset(datasets, asked["modality"], protocol, asked["dataset"])
    if weights not in (None, "none") and not chosen.loads_weights:
        starts = "starts from random weights" if modelled else "has no model"
        raise InputError(f"method {method!r} {starts}; leave --weights out")
    random = weights == "none" or not chosen.loads_weights
    tuning = tuning or default_tuning(method, pretrained=not random)
    require_pair(method, tuning)
    require_modality(method, resolved)
    lr = _default_lr(tuning, random) if asked["lr"] is None else asked["lr"]
    config = RunConfig(
        **{
            **asked,
            "tuning": tuning,
            "dataset": found.name,
            "lr": lr,
            # Placeholders: checksums replace `init` and `weights` below, once the files are read.
            "init": None,
            "weights": RANDOM_WEIGHTS if modelled else NO_MODEL,
            **replaced_settings(trains=tuning != NO_TUNING, has_model=modelled),
        },
        fingerprint=found.fingerprint,
        options=changed_options(method, tuning, options),
    )
    if not modelled:
        target = torch.device("cpu")
    # Building on the meta device checks the options before the weights are read, which takes long.
    shape = {
        "method": method,
        "tuning": tuning,
        "backbone": config.backbone,
        "channels": resolved.channels or 0,
        "options": config.options,
    }
    if modelled:
        build_shapes(**shape)
    initial: Initial | None = None
    if asked["init"] is not None:
        start = None if weights in (None, "none") else Path(weights)
        initial = load_initial(local_path(asked["init"]), start, **shape)
        config = replace(config, init=initial.sha256)
    state: Mapping[str, Tensor] | None = None
    if not random:
        state, checksum = _weights(config.backbone, weights)
        config = replace(config, weights=checksum)
    return Job(
        config=config,
        dataset=found,
        modality=resolved,
        weights=state,
        initial=initial,
        device=target,
        runs=runs,
        workers=_workers(workers, target),
        checkpoint_every=checkpoint_every,
        path=path,
        trust=trust,
        track=track,
        distributed=distributed,
    )


def _weights(backbone: str, weights: str | None) -> tuple[Mapping[str, Tensor], str]:
    loaded = load_weights(backbone, resolve_weights(backbone, weights or None))
    return loaded.state, loaded.sha256


def _default_lr(tuning: str, random: bool) -> float:
    return FULL_LR if tuning == "full" and not random else DEFAULT_LR


def find_device(name: str) -> torch.device:
    """Returns a device by name: "auto" (CUDA if available), "cpu", "cuda" or "cuda:N".

    Raises:
        InputError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r}: use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise InputError(f"device {name!r}: {there} CUDA devices are there; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r}: use auto, cpu, cuda or cuda:N")
    return device


def _workers(asked: int | None, device: torch.device) -> int:
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else min(_WORKERS_ON_GPU, os.cpu_count() or 1)
