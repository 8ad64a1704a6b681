"""Checkpoints: safetensors with what was trained and, while a run is unfinished, what going on needs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from aims.core.errors import AimsError
from aims.core.files import atomic_write
from aims.engine.samples import Batch
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters, load_trainable_state, trainable_state


@dataclass(kw_only=True)
class TrainingState:
    """Where a run stands, beside its tensors.

    Attributes:
        epoch: the epoch that is being trained, from 0.
        step: steps of it that are done.
        loss: sum of the losses of these steps.
        seconds: time spent training and evaluating.
        metrics: the finished epochs' lines of metrics.jsonl.
        best: the line with the highest score so far; None before the first evaluation.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    metrics: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes safetensors that are whole or absent.

    Raises:
        OSError: the system refuses, e.g. since the disk is full.
    """
    with atomic_write(path) as beside:
        try:
            save_file({name: t.detach().contiguous() for name, t in tensors.items()}, beside, dict(metadata))
        except SafetensorError as error:
            # The library puts what the system says into its text alone.
            if code := re.search(r"os error (\d+)", str(error)):
                raise OSError(int(code[1]), os.strerror(int(code[1]))) from None
            raise


def save_weights(path: Path, model: Segmenter, metadata: Mapping[str, str]) -> None:
    """Writes what was trained alone: parameters, and buffers such as running statistics."""
    save_tensors(path, trainable_state(model), metadata)


def load_weights(path: Path, model: Segmenter) -> None:
    """Reads what was trained into a model that was built the same way."""
    tensors, _ = _load(path)
    load_trainable_state(model, tensors, source=str(path))


def save_resume(path: Path, model: Segmenter, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
    """Writes everything that the next step needs: parameters, Adam's moments, and where the run stands."""
    tensors = {f"model.{name}": tensor for name, tensor in trainable_state(model).items()}
    for name, parameter in declared_parameters(model).items():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    save_tensors(path, tensors, {"state": json.dumps(asdict(state))})


def load_resume(path: Path, model: Segmenter, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Puts a run back where `save_resume` left it.

    Raises:
        AimsError: the file is damaged or of another model.
    """
    tensors, metadata = _load(path)
    parameters = declared_parameters(model)
    load_trainable_state(
        model,
        {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")},
        source=str(path),
    )
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, key, parameter = name.split(".", 2)
            owner = parameters[parameter]
            # Adam keeps its step counts on the CPU unless it is fused, its moments beside the parameter.
            on_cpu = key == "step" and not optimizer.defaults.get("fused")
            optimizer.state[owner][key] = tensor.clone() if on_cpu else tensor.to(owner.device).clone()
    try:
        return TrainingState(**json.loads(metadata["state"]))
    except (KeyError, ValueError, TypeError) as error:
        raise AimsError(f"{path}: not a checkpoint of a run ({error!r}); delete it to start afresh") from None


def save_batch(path: Path, batch: Batch, metadata: Mapping[str, str]) -> None:
    """Writes a training batch: per image its values and where they are valid, then clicks and masks."""
    tensors = {"point_coords": batch.point_coords, "masks": batch.masks}
    for k, channels in enumerate(batch.images):
        tensors |= {f"values.{k}": channels.values, f"valid.{k}": channels.valid}
    save_tensors(path, tensors, {"image_ids": json.dumps(batch.image_ids), **metadata})


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise AimsError(f"{path}: not readable ({error}); delete it to start afresh") from None
