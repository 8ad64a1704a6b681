"""From the words of the command line to a job: names resolved, defaults filled in, weights checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from aims.core.config import NO_MODEL, NO_TUNING, RANDOM_WEIGHTS, RunConfig
from aims.core.errors import InputError
from aims.core.vocabulary import DEFAULT_PROTOCOL, PAPER, PAPER_1, find_protocol
from aims.data.read import find_datasets
from aims.engine.distributed import LaunchedGroup, find_process_group
from aims.engine.initial import Initial, load_initial
from aims.engine.inputs import choose_dataset
from aims.engine.job import Job
from aims.engine.losses import LOSSES
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

#: Learning rate of full tuning with pretrained weights, and of everything else: the paper's peaks on
#: polarization for full tuning and for LoRA (Figure 5a). It printed none for the others or random weights.
FULL_LR, DEFAULT_LR = 1e-5, 3e-4
_WORKERS_ON_GPU = 8


def plan(
    *,
    method: str,
    modality: str,
    tuning: str | None = None,
    dataset: str | None = None,
    data: Path = Path("data/aims"),
    backbone: str = "sam-vit-b",
    weights: str | None = None,
    epochs: int = 50,
    lr: float | None = None,
    batch_size: int = 4,
    seed: int = 0,
    protocol: str = DEFAULT_PROTOCOL,
    precision: str = "float32",
    loss: str = "dice-ce",
    device: str = "auto",
    workers: int | None = None,
    limit: int | None = None,
    clicks: int = 1,
    train_images: int | None = None,
    score_every: int = 5,
    init: str | None = None,
    checkpoint_every: int | None = None,
    path: AttentionPath = "fast",
    runs: Path = Path("runs"),
    options: Mapping[str, object] = MappingProxyType({}),
) -> Job:
    """Resolves everything that a run needs before any slow work starts.

    Args:
        method: name in the registry of methods.
        modality: a listed modality or a stream of the dataset.
        tuning: name in the registry of tunings, or "none" for a method that trains nothing; None for the
            method's default.
        dataset: name of the dataset; None if the modality decides.
        data: a converted folder, or a folder of several.
        backbone: name in the registry of backbones. Where there is no model it is not used, nor are
            precision, loss and device.
        weights: a checkpoint file, "none" for random weights, None for the cache folder. Ignored by methods
            that start from random weights unless a file is named, which is refused.
        epochs: passes over the training part.
        lr: peak learning rate; None for the default of tuning and weights.
        batch_size: images in a step.
        seed: of everything that is drawn.
        protocol: name in `PROTOCOLS`.
        precision: "float32" or "bf16".
        loss: name in the registry of losses.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: reading processes; None for none on a CPU and eight beside a GPU.
        limit: only the first so many images of each split.
        clicks: instances of each image in a training step.
        train_images: so many images of the training part, drawn by the seed; None for all.
        score_every: epochs after which a model is scored, beside the last.
        init: folder of a finished run from whose trained weights this one starts; None for none.
        checkpoint_every: steps after which a training is saved, beside the end of every epoch.
        path: "fast", or "stock": segment-anything's modules as they are, float32, one prompt at a time.
        runs: folder of runs.
        options: of the method and the tuning by name; words are read as numbers.

    Raises:
        InputError: a name, a file or a number cannot be used; nothing has been written then.
    """
    # Looked up for their errors: a mistyped name must be told before gigabytes are read.
    chosen = METHODS[method]
    if has_model(method):
        BACKBONES[backbone], LOSSES[loss]
    if tuning is not None:
        require_pair(method, tuning)
    if protocol == PAPER_1.name:
        raise InputError(
            f"protocol {protocol!r} is what {PAPER.name!r} was in earlier versions, and is only read; "
            f"take --protocol {PAPER.name}"
        )
    if path == "stock" and precision != "float32":
        raise InputError(f"--attention stock computes in float32, not in {precision}; leave --precision out")
    target = find_device(device)
    distributed = find_process_group(target)
    if isinstance(distributed, LaunchedGroup) and device in ("auto", "cuda"):
        target = distributed.device
    found, resolved = choose_dataset(find_datasets(data), modality, find_protocol(protocol), dataset)
    if weights not in (None, "none") and not chosen.loads_weights:
        starts = "starts from random weights" if has_model(method) else "has no model"
        raise InputError(f"method {method!r} {starts}; leave --weights out")
    random = weights == "none" or not chosen.loads_weights
    tuning = tuning or default_tuning(method, pretrained=not random)
    require_pair(method, tuning)
    require_modality(method, resolved)
    changed = changed_options(method, tuning, options)
    if tuning == NO_TUNING:
        # Nothing is trained: the same run whatever was asked.
        epochs, lr, batch_size, clicks, train_images, score_every = 0, 0.0, 1, 1, None, 5
    if not has_model(method):
        backbone, loss, precision = NO_MODEL, NO_MODEL, "float32"
        target = torch.device("cpu")

    initial: Initial | None = None

    def config(checksum: str) -> RunConfig:
        return RunConfig(
            method=method,
            tuning=tuning,
            modality=modality,
            dataset=found.name,
            fingerprint=found.fingerprint,
            backbone=backbone,
            weights=checksum,
            epochs=epochs,
            lr=_default_lr(tuning, random) if lr is None else lr,
            batch_size=batch_size,
            seed=seed,
            protocol=protocol,
            precision=precision,
            loss=loss,
            limit=limit,
            clicks=clicks,
            train_images=train_images,
            score_every=score_every,
            init=None if initial is None else initial.sha256,
            options=changed,
        )

    state: Mapping[str, Tensor] | None = None
    checksum = RANDOM_WEIGHTS if has_model(method) else NO_MODEL
    # Its checks, and those of the layers, come before the weights are read, which takes long.
    config(checksum)
    if has_model(method):
        build_shapes(
            method=method,
            tuning=tuning,
            backbone=backbone,
            channels=resolved.channels or 0,
            options=changed,
        )
    if init is not None:
        initial = load_initial(
            Path(init),
            None if weights in (None, "none") else Path(weights),
            method=method,
            tuning=tuning,
            backbone=backbone,
            channels=resolved.channels or 0,
            options=changed,
        )
    if not random:
        state, checksum = _weights(backbone, weights)
    return Job(
        config=config(checksum),
        dataset=found,
        modality=resolved,
        weights=state,
        initial=initial,
        device=target,
        runs=runs,
        workers=_workers(workers, target),
        checkpoint_every=checkpoint_every,
        path=path,
        distributed=distributed,
    )


def _weights(backbone: str, weights: str | None) -> tuple[Mapping[str, Tensor], str]:
    loaded = load_weights(backbone, resolve_weights(backbone, Path(weights) if weights else None))
    return loaded.state, loaded.sha256


def _default_lr(tuning: str, random: bool) -> float:
    return FULL_LR if tuning == "full" and not random else DEFAULT_LR


def find_device(name: str) -> torch.device:
    """The device of a name: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

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
