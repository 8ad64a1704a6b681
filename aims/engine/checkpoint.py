"""Checkpoints: safetensors with what was trained and, while a run is unfinished, what the next step needs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from aims.core.curve import EpochLine
from aims.core.errors import AimsError, InputError
from aims.core.files import atomic_write, write_json
from aims.core.structs import convert_struct, decode_json, read_struct
from aims.engine.samples import Batch
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters, load_trainable_state, trainable_state

#: Names the files that hold each tensor, as large models on Hugging Face have it.
INDEX = "checkpoint.safetensors.index.json"

T = TypeVar("T")

# Earlier versions wrote one file.
_ONE_FILE = "checkpoint.safetensors"
# Some services keep or send files of 16 MB at most.
_PART_BYTES = 15_000_000


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
        micro_batch: images that a process computes at once, fewer than its share of a step where they did not
            fit into a GPU's memory. Batch normalisation (cmx) sees these alone. None where nothing is
            trained.
        peak_bytes: the most memory that the first process has held; None where that is not known of a part of
            the run (`aims.engine.machine.PeakMemory`).
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    metrics: list[EpochLine] = field(default_factory=list)
    best: EpochLine | None = None
    micro_batch: int | None = None
    peak_bytes: int | None = 0

    def hold(self, peak: int | None) -> None:
        """Takes into account what a process has held at most."""
        self.peak_bytes = None if peak is None or self.peak_bytes is None else max(self.peak_bytes, peak)


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


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a file of safetensors.

    Returns:
        Its tensors by name, and its metadata.

    Raises:
        OSError, SafetensorError: the file is missing or damaged.
    """
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def save_trained(path: Path, model: Segmenter, metadata: Mapping[str, str]) -> None:
    """Writes what was trained alone: parameters, and buffers such as running statistics."""
    save_tensors(path, trainable_state(model), metadata)


def load_trained(path: Path, model: Segmenter) -> dict[str, str]:
    """Reads what was trained into a model that was built the same way, and returns the file's metadata.

    Raises:
        AimsError: the file is damaged or of another model.
    """
    tensors, metadata = _load_or_explain(path)
    load_trainable_state(model, tensors, source=str(path))
    return metadata


def save_resume(path: Path, model: Segmenter, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
    """Writes everything that the next step needs: parameters, Adam's moments, and where the run stands."""
    tensors = {f"model.{name}": tensor for name, tensor in trainable_state(model).items()}
    tensors |= optimizer_tensors(optimizer, declared_parameters(model))
    save_tensors(path, tensors, {"state": json.dumps(msgspec.to_builtins(state))})


def load_resume(path: Path, model: Segmenter, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Puts a run back where `save_resume` left it.

    Raises:
        AimsError: the file is damaged or of another model.
    """
    tensors, metadata = _load_or_explain(path)
    trained = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    load_trainable_state(model, trained, source=str(path))
    load_optimizer(optimizer, declared_parameters(model), tensors)
    try:
        state = decode_json(metadata.get("state", "").encode(), where="its state")
        return convert_struct(state, TrainingState, where="its state")
    except InputError as error:
        raise AimsError(f"{path}: not a checkpoint of a run ({error}); delete it to start afresh") from None


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """The state of an optimizer by name: "optimizer", the entry (as `exp_avg`) and the parameter."""
    return {
        f"optimizer.{key}.{name}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Puts the state of `optimizer_tensors` back; other names are passed over."""
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, key, parameter = name.split(".", 2)
            owner = parameters[parameter]
            # Adam keeps its step counts on the CPU unless it is fused, its moments beside the parameter.
            on_cpu = key == "step" and not optimizer.defaults.get("fused")
            optimizer.state[owner][key] = tensor.clone() if on_cpu else tensor.to(owner.device, copy=True)


def save_batch(path: Path, batch: Batch, metadata: Mapping[str, str]) -> None:
    """Writes a training batch: per image its values and where they are valid, then clicks and masks."""
    tensors = {"point_coords": batch.point_coords, "masks": batch.masks}
    for k, channels in enumerate(batch.images):
        tensors |= {f"values.{k}": channels.values, f"valid.{k}": channels.valid}
    save_tensors(path, tensors, {"image_ids": json.dumps(batch.image_ids), **metadata})


def has_sharded(folder: Path) -> bool:
    """Whether `load_sharded` finds a checkpoint."""
    return (folder / INDEX).is_file() or (folder / _ONE_FILE).is_file()


def save_sharded(folder: Path, step: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes a checkpoint in files under 16 MB, unless a single tensor is larger.

    The tensors go into files of their own step; then the index is replaced, and the files that it no longer
    names are deleted. A stop at any moment leaves one whole state.

    Args:
        folder: which holds one such checkpoint.
        step: part of the names of the files.
        tensors: by name.
        metadata: JSON, kept in the index, since it may change between two saves of the same step.
    """
    parts = _parts(tensors)
    files = [f"checkpoint-{step:09}-{k:02}.safetensors" for k in range(1, len(parts) + 1)]
    for file, part in zip(files, parts, strict=True):
        save_tensors(folder / file, part, {})
    weight_map = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    write_json(folder / INDEX, {"metadata": metadata, "weight_map": weight_map})
    # With what a kill left half written.
    for pattern in ("checkpoint-*.safetensors", ".checkpoint-*.tmp", _ONE_FILE):
        for path in folder.glob(pattern):
            if path.name not in files:
                path.unlink(missing_ok=True)


class _Index(msgspec.Struct, frozen=True):
    """The content of `INDEX`."""

    metadata: dict[str, Any]
    weight_map: dict[str, str]


def load_sharded(folder: Path, kind: type[T]) -> tuple[Path, dict[str, Tensor], T]:
    """Reads what `save_sharded` wrote, or the one file of earlier versions.

    Args:
        folder: which holds the checkpoint.
        kind: class of its metadata.

    Returns:
        The file that the checkpoint is known by, its tensors, and its metadata.

    Raises:
        AimsError: a file is damaged or missing.
    """
    path = folder / (INDEX if (folder / INDEX).is_file() else _ONE_FILE)
    try:
        if path.name == _ONE_FILE:
            tensors, texts = load_tensors(path)
            progress = decode_json(texts["progress"].encode(), where="progress")
            metadata = {"progress": progress, "sums": tensors.pop("sums").tolist()}
        else:
            index, tensors = read_struct(path, _Index, what="the index of a checkpoint"), {}
            for file in sorted(set(index.weight_map.values())):
                tensors |= load_tensors(path.with_name(Path(file).name))[0]
            if missing := index.weight_map.keys() - tensors.keys():
                raise ValueError(f"{min(missing)} is missing")
            metadata = index.metadata
        return path, tensors, convert_struct(metadata, kind, where="its metadata")
    except (OSError, SafetensorError, KeyError, ValueError, InputError) as error:
        raise not_this_model(path, error) from None


def not_this_model(path: Path, error: Exception) -> AimsError:
    """The error of a sharded checkpoint that does not fit."""
    return AimsError(f"{path}: not a checkpoint of this model ({error}); delete it to start afresh")


def _parts(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    parts: list[dict[str, Tensor]] = [{}]
    room = _PART_BYTES
    for name, tensor in tensors.items():
        if tensor.nbytes > room and parts[-1]:
            parts.append({})
            room = _PART_BYTES
        parts[-1][name] = tensor
        room -= tensor.nbytes
    return parts


def _load_or_explain(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return load_tensors(path)
    except (OSError, SafetensorError) as error:
        raise AimsError(f"{path}: not readable ({error}); delete it to start afresh") from None
