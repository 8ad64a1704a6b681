"""Where a pretraining stands, on disk: everything that the next step needs, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from aims.core.errors import AimsError
from aims.core.files import write_text
from aims.engine._pretrain_step import LOSS_NAMES
from aims.engine.checkpoint import save_tensors

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


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


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    average: Average,
    optimizer: torch.optim.Optimizer,
    sums: Tensor,
    progress: Progress,
) -> None:
    """Writes everything that the next step needs, and metrics.jsonl beside it."""
    tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.named_parameters()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.tensors.items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    tensors["sums"] = sums
    save_tensors(folder / CHECKPOINT, tensors, {"progress": json.dumps(asdict(progress))})
    write_metrics(folder, progress)


def write_metrics(folder: Path, progress: Progress) -> None:
    """Writes metrics.jsonl."""
    write_text(folder / METRICS, "".join(f"{json.dumps(line)}\n" for line in progress.lines))


def load_checkpoint(
    folder: Path, model: nn.Module, average: Average, optimizer: torch.optim.Optimizer, sums: Tensor
) -> Progress:
    """Puts everything back where `save_checkpoint` left it.

    Raises:
        AimsError: the file is damaged, or of another model.
    """
    path = folder / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            progress = Progress(**json.loads((file.metadata() or {})["progress"]))
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            sums.copy_(tensors.pop("sums"))
            for name, tensor in tensors.items():
                _put_back(name, tensor, parameters, average, optimizer)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise AimsError(
            f"{path}: not a checkpoint of this model ({error}); delete it to start afresh"
        ) from None
    return progress


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
        # AdamW keeps its step counts on the CPU, its moments beside the parameter.
        optimizer.state[owner][key] = tensor.clone() if key == "step" else tensor.to(owner.device).clone()


def mean_losses(sums: Tensor) -> dict[str, float]:
    """The means of the losses since the last log line; `sums` ends with the number of steps."""
    values = sums.tolist()
    return {name: value / max(values[-1], 1) for name, value in zip(LOSS_NAMES, values, strict=False)}
