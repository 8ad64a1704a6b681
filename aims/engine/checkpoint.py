"""Checkpoints in safetensors: trained weights, the state to resume a run from, sharded checkpoints."""

from __future__ import annotations

import json
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
from aims.core.files import atomic_write, own_file, write_json
from aims.core.structs import convert_struct, decode_json, read_struct
from aims.engine.samples import Batch
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters, load_trainable_state, trainable_state

#: Maps each tensor to the file that holds it, in the layout of sharded models on Hugging Face.
INDEX = "checkpoint.safetensors.index.json"

T = TypeVar("T")

# Earlier versions wrote a checkpoint as a single file.
_ONE_FILE = "checkpoint.safetensors"
# Some services refuse files of more than 16 MB.
_PART_BYTES = 15_000_000


@dataclass(kw_only=True)
class TrainingState:
    """Progress of a training run; its tensors are saved beside it.

    Attributes:
        epoch: index of the current epoch, from 0.
        step: number of finished steps of the current epoch.
        loss: sum of the losses of these steps.
        seconds: wall-clock time spent on training and evaluation, across all restarts.
        metrics: the finished epochs' lines of metrics.jsonl.
        best: the line with the highest score so far; None before the first evaluation.
        micro_batch: number of images that a process computes at once; smaller than its share of a batch where
            the share did not fit into GPU memory. Batch normalisation (cmx, and mobile-sam where all of it
            is trained) computes its statistics over these images only. None where nothing is trained.
        peak_bytes: peak memory of the first process; None where it is unknown for a part of the run
            (`aims.engine.machine.PeakMemory`).
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
        """Updates the peak with that of one process, in bytes; an unknown peak (None) makes it unknown."""
        self.peak_bytes = None if peak is None or self.peak_bytes is None else max(self.peak_bytes, peak)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file atomically: after an interruption it is either complete or absent.

    Equal tensors and metadata give equal bytes.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    with atomic_write(path) as beside:
        # safetensors stores contiguous tensors only.
        save_file({name: t.detach().contiguous() for name, t in tensors.items()}, beside, dict(metadata))
        _sort_metadata(beside)


def _sort_metadata(path: Path) -> None:
    """Sorts the metadata of a safetensors file, which the library writes in an order of chance."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        if "__metadata__" in header:
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            # The header ends in spaces, up to a multiple of eight bytes.
            text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
            assert len(text) == size
            file.seek(8)
            file.write(text)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file.

    Returns:
        The tensors by name, and the metadata.

    Raises:
        OSError, SafetensorError: the file is missing or damaged.
        InputError: it is no file of its folder.
    """
    with safe_open(own_file(path), framework="pt") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, file.metadata() or {}


def save_trained(path: Path, model: Segmenter, metadata: Mapping[str, str]) -> None:
    """Writes the trained parameters, and the buffers that training updates, such as running statistics."""
    save_tensors(path, trainable_state(model), metadata)


def load_trained(path: Path, model: Segmenter) -> dict[str, str]:
    """Loads trained weights into a model of the same configuration, and returns the file's metadata.

    Raises:
        AimsError: the file is damaged or belongs to another model.
    """
    tensors, metadata = _load_or_explain(path)
    load_trainable_state(model, tensors, source=str(path))
    return metadata


def save_resume(path: Path, model: Segmenter, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
    """Writes everything that the next step needs: parameters, Adam's moments, and the training state."""
    tensors = {f"model.{name}": tensor for name, tensor in trainable_state(model).items()}
    tensors |= optimizer_tensors(optimizer, declared_parameters(model))
    # Metadata of safetensors are strings, so the state is stored as JSON.
    save_tensors(path, tensors, {"state": json.dumps(msgspec.to_builtins(state))})


def load_resume(path: Path, model: Segmenter, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Restores model, optimizer and training state from a file that `save_resume` wrote.

    Raises:
        AimsError: the file is damaged or belongs to another model.
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
    """Returns the state tensors of an optimizer under names such as `optimizer.exp_avg.<parameter>`."""
    return {
        f"optimizer.{key}.{name}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Restores the state that `optimizer_tensors` returned; tensors with other names are ignored."""
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            # The name of the parameter contains dots itself.
            _, key, parameter = name.split(".", 2)
            owner = parameters[parameter]
            # Adam keeps its step counts on the CPU unless it is fused, its moments beside the parameter.
            on_cpu = key == "step" and not optimizer.defaults.get("fused")
            optimizer.state[owner][key] = tensor.clone() if on_cpu else tensor.to(owner.device, copy=True)


def save_batch(path: Path, batch: Batch, metadata: Mapping[str, str]) -> None:
    """Writes a training batch: values and validity of every image, all prompts and all masks."""
    prompts = batch.prompts._asdict().items()
    tensors = {name: value for name, value in prompts if isinstance(value, Tensor)}
    for k, channels in enumerate(batch.images):
        tensors |= {f"values.{k}": channels.values, f"valid.{k}": channels.valid}
    save_tensors(path, tensors, {"image_ids": json.dumps(batch.image_ids), **metadata})


def has_sharded(folder: Path) -> bool:
    """Returns whether a folder holds a checkpoint that `load_sharded` can read."""
    return (folder / INDEX).is_file() or (folder / _ONE_FILE).is_file()


def save_sharded(folder: Path, step: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes a checkpoint as files of less than 16 MB, unless a single tensor is larger.

    New files are written first, under names that contain the step; then the index is replaced, and files that
    it no longer lists are deleted. An interruption at any moment leaves one complete checkpoint.

    Args:
        folder: folder that holds one such checkpoint.
        step: optimisation step, part of the file names.
        tensors: tensors by name.
        metadata: JSON object, stored in the index because it may change between two saves of the same step.
    """
    parts = _parts(tensors)
    files = [f"checkpoint-{step:09}-{k:02}.safetensors" for k in range(1, len(parts) + 1)]
    for file, part in zip(files, parts, strict=True):
        save_tensors(folder / file, part, {})
    weight_map = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    write_json(folder / INDEX, {"metadata": metadata, "weight_map": weight_map})
    # Files that a killed process left half written go too.
    for pattern in ("checkpoint-*.safetensors", ".checkpoint-*.tmp", _ONE_FILE):
        for path in folder.glob(pattern):
            if path.name not in files:
                path.unlink(missing_ok=True)


class _Index(msgspec.Struct, frozen=True):
    """Content of the file `INDEX`."""

    metadata: dict[str, Any]
    weight_map: dict[str, str]


def load_sharded(folder: Path, kind: type[T]) -> tuple[Path, dict[str, Tensor], T]:
    """Reads a checkpoint that `save_sharded` wrote, or the single file of earlier versions.

    Args:
        folder: folder that holds the checkpoint.
        kind: type to which its metadata is converted.

    Returns:
        Path of the index (or of the single file), the tensors by name, and the metadata.

    Raises:
        AimsError: a file is damaged or missing.
    """
    path = folder / (INDEX if (folder / INDEX).is_file() else _ONE_FILE)
    try:
        if path.name == _ONE_FILE:
            tensors, texts = load_tensors(path)
            progress = decode_json(texts["progress"].encode(), where="progress")
            # Earlier versions stored the sums as a tensor.
            metadata = {"progress": progress, "sums": tensors.pop("sums").tolist()}
        else:
            index, tensors = read_struct(path, _Index, what="the index of a checkpoint"), {}
            for file in sorted(set(index.weight_map.values())):
                # Reads only files beside the index, whatever folder its entries name.
                tensors |= load_tensors(path.with_name(Path(file).name))[0]
            if missing := index.weight_map.keys() - tensors.keys():
                raise ValueError(f"{min(missing)} is missing")
            metadata = index.metadata
        return path, tensors, convert_struct(metadata, kind, where="its metadata")
    except (OSError, SafetensorError, KeyError, ValueError, InputError) as error:
        raise not_this_model(path, error) from None


def not_this_model(path: Path, error: Exception) -> AimsError:
    """Returns the error for a sharded checkpoint that does not fit the model."""
    return AimsError(f"{path}: not a checkpoint of this model ({error}); delete it to start afresh")


def _parts(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    parts: list[dict[str, Tensor]] = [{}]
    room = _PART_BYTES
    for name, tensor in tensors.items():
        # A tensor larger than a part gets a part of its own.
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
