"""Where a pretraining stands, on disk: everything that the next step needs, in files under 16 MB."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from aims.core.errors import AimsError, InputError
from aims.core.files import read_json, write_json, write_text
from aims.engine.checkpoint import save_tensors
from aims.pretrain.step import LOSS_NAMES

#: Names the files that hold each tensor, as large models on Hugging Face have it, with the progress.
INDEX = "checkpoint.safetensors.index.json"
METRICS = "metrics.jsonl"

# Earlier versions wrote one file.
_ONE_FILE = "checkpoint.safetensors"
# What fits where files of 16 MB at most are kept or sent.
_PART_BYTES = 15_000_000


@dataclass(kw_only=True)
class Progress:
    """What is not a tensor of the model.

    Attributes:
        step: steps done.
        seconds: time spent on them and on scoring.
        scored: images after which scores were last taken.
        lines: the lines of metrics.jsonl.
        floors: by held-out set, what discs score on it.
    """

    step: int = 0
    seconds: float = 0.0
    scored: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    floors: dict[str, dict[str, float]] = field(default_factory=dict)


class Average:
    """A moving average of a model's parameters; what is scored and shipped.

    The decay grows with the steps, (1 + n) / (10 + n), up to `decay`, so that the random start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Moves a little towards the model; `step` counts from 1."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), list(model.parameters()), share)

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's state dict with the averages in place of its parameters."""
        return {**model.state_dict(), **self.tensors}


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a state to go on from."""
    return (folder / INDEX).is_file() or (folder / _ONE_FILE).is_file()


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    average: Average,
    optimizer: torch.optim.Optimizer,
    sums: Tensor,
    progress: Progress,
) -> None:
    """Writes everything that the next step needs, and metrics.jsonl beside it.

    The tensors go into files of their own step, none above `_PART_BYTES`; then the index is replaced, and the
    files that it no longer names are deleted. A stop at any moment leaves one whole state.
    """
    tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.named_parameters()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.tensors.items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    parts = _parts(tensors)
    files = [f"checkpoint-{progress.step:09}-{k:02}.safetensors" for k in range(1, len(parts) + 1)]
    for file, part in zip(files, parts, strict=True):
        save_tensors(folder / file, part, {})
    index = {
        # In the index, as they change between two saves of the same step.
        "metadata": {"progress": asdict(progress), "sums": sums.tolist()},
        "weight_map": {name: file for file, part in zip(files, parts, strict=True) for name in part},
    }
    write_json(folder / INDEX, index)
    # With what a kill left half written.
    for pattern in ("checkpoint-*.safetensors", ".checkpoint-*.tmp", _ONE_FILE):
        for path in folder.glob(pattern):
            if path.name not in files:
                path.unlink(missing_ok=True)
    write_metrics(folder, progress)


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


def write_metrics(folder: Path, progress: Progress) -> None:
    """Writes metrics.jsonl."""
    write_text(folder / METRICS, "".join(f"{json.dumps(line)}\n" for line in progress.lines))


def load_checkpoint(
    folder: Path, model: nn.Module, average: Average, optimizer: torch.optim.Optimizer, sums: Tensor
) -> Progress:
    """Puts everything back where `save_checkpoint` left it; reads the one file of earlier versions too.

    Raises:
        AimsError: a file is damaged, missing, or of another model.
    """
    path = folder / (INDEX if (folder / INDEX).is_file() else _ONE_FILE)
    try:
        tensors, metadata = _read(path)
        progress = Progress(**metadata["progress"])
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            sums.copy_(torch.tensor(metadata["sums"]))
            for name, tensor in tensors.items():
                _put_back(name, tensor, parameters, average, optimizer)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError, InputError) as error:
        raise AimsError(
            f"{path}: not a checkpoint of this model ({error}); delete it to start afresh"
        ) from None
    return progress


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint, and its progress and sums."""
    if path.name == INDEX:
        index = read_json(path)
        tensors: dict[str, Tensor] = {}
        for file in sorted(set(index["weight_map"].values())):
            tensors |= load_file(path.with_name(Path(file).name))
        missing = index["weight_map"].keys() - tensors.keys()
        if missing:
            raise ValueError(f"{min(missing)} is missing")
        return tensors, index["metadata"]
    with safe_open(path, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
        progress = json.loads((opened.metadata() or {})["progress"])
    return tensors, {"progress": progress, "sums": tensors.pop("sums").tolist()}


def _put_back(
    name: str,
    tensor: Tensor,
    parameters: Mapping[str, nn.Parameter],
    average: Average,
    optimizer: torch.optim.Optimizer,
) -> None:
    part, _, rest = name.partition(".")
    if part == "model":
        parameters[rest].copy_(tensor)
    elif part == "average":
        average.tensors[rest].copy_(tensor)
    else:
        key, _, parameter = rest.partition(".")
        owner = parameters[parameter]
        # AdamW keeps its step counts on the CPU unless it is fused, its moments beside the parameter.
        beside = key != "step" or optimizer.defaults["fused"]
        optimizer.state[owner][key] = tensor.to(owner.device, copy=True) if beside else tensor.clone()


def mean_losses(sums: Tensor) -> dict[str, float]:
    """The means of the losses since the last log line; `sums` ends with the number of steps."""
    values = sums.tolist()
    return {name: value / max(values[-1], 1) for name, value in zip(LOSS_NAMES, values, strict=False)}
