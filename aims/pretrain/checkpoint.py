"""Checkpoints of a pretraining: everything that the next step needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from aims.core.files import write_text
from aims.core.vocabulary import STRICT
from aims.engine.checkpoint import (
    load_optimizer,
    load_sharded,
    not_this_model,
    optimizer_tensors,
    save_sharded,
)
from aims.pretrain.scores import DiscScores
from aims.pretrain.step import LOSS_NAMES

METRICS = "metrics.jsonl"
#: A line of metrics.jsonl: losses by name, or scores by held-out set and name, with "step", "images" and
#: "seconds".
Line = dict[str, int | float]


@dataclass(kw_only=True)
class Progress:
    """The state of a pretraining that is not a tensor.

    Attributes:
        step: number of finished steps.
        seconds: time spent on these steps and on scoring.
        scored: number of images seen at the last scoring.
        lines: lines of metrics.jsonl.
        floors: scores of discs by held-out set.
        protocol: protocol of all scores; a pretraining keeps that with which it began, which in files of
            earlier versions is "strict".
    """

    step: int = 0
    seconds: float = 0.0
    scored: int = 0
    lines: list[Line] = field(default_factory=list)
    floors: dict[str, DiscScores] = field(default_factory=dict)
    protocol: str = STRICT.name


@dataclass(frozen=True, kw_only=True)
class _Metadata:
    """Metadata in a checkpoint's index; `sums` are the sums of the losses since the last line."""

    progress: Progress
    sums: list[float]


class Average:
    """An exponential moving average of a model's parameters, which is scored and released.

    The decay at step n is min(decay, (1 + n) / (10 + n)), so that the random initial values are soon
    forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Updates the averages with the parameters of the model; `step` counts from 1."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        # One call for all parameters instead of a kernel for each.
        torch._foreach_lerp_(list(self.tensors.values()), list(model.parameters()), share)

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Returns the model's state dict with the averages in place of its parameters."""
        return {**model.state_dict(), **self.tensors}


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    average: Average,
    optimizers: Sequence[torch.optim.Optimizer],
    sums: Tensor,
    progress: Progress,
) -> None:
    """Writes everything that the next step needs (`save_sharded`), and metrics.jsonl."""
    parameters = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in parameters.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.tensors.items()}
    for optimizer in optimizers:
        tensors |= optimizer_tensors(optimizer, parameters)
    metadata = _Metadata(progress=progress, sums=sums.tolist())
    save_sharded(folder, progress.step, tensors, msgspec.to_builtins(metadata))
    write_metrics(folder, progress)


def write_metrics(folder: Path, progress: Progress) -> None:
    """Writes metrics.jsonl."""
    write_text(folder / METRICS, "".join(f"{json.dumps(line)}\n" for line in progress.lines))


@torch.no_grad()
def load_checkpoint(
    folder: Path,
    model: nn.Module,
    average: Average,
    optimizers: Sequence[torch.optim.Optimizer],
    sums: Tensor,
) -> Progress:
    """Restores everything that `save_checkpoint` wrote, also from the single file of earlier versions.

    Returns:
        The state of the pretraining; model, average, optimizers and `sums` are updated in place.

    Raises:
        AimsError: a file is damaged or missing, or belongs to another model.
    """
    path, tensors, metadata = load_sharded(folder, _Metadata)
    try:
        parameters = dict(model.named_parameters())
        sums.copy_(torch.tensor(metadata.sums))
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part != "optimizer":
                (parameters if part == "model" else average.tensors)[rest].copy_(tensor)
        for optimizer in optimizers:
            owned = {id(each) for group in optimizer.param_groups for each in group["params"]}
            others = {name for name, parameter in parameters.items() if id(parameter) not in owned}
            own = {name: each for name, each in tensors.items() if name.split(".", 2)[-1] not in others}
            load_optimizer(optimizer, parameters, own)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise not_this_model(path, error) from None
    return metadata.progress


def mean_losses(sums: Tensor) -> dict[str, float]:
    """Returns the mean losses since the last log line; the last element of `sums` is the number of steps."""
    values = sums.tolist()
    return {name: value / max(values[-1], 1) for name, value in zip(LOSS_NAMES, values, strict=False)}
