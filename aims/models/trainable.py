"""Which parameters learn: layers declare theirs, everything else is frozen.

The protocol is torchtune's adapter protocol: a layer with a method `trainable_params` names those of its own
parameters that learn. No parameter is ever picked by a part of its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.models.segmenter import Segmenter


@runtime_checkable
class Trainable(Protocol):
    """A layer that declares parameters."""

    def trainable_params(self) -> list[str]:
        """Names of the parameters that learn, relative to the layer."""
        ...


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """Numbers of parameters of a model, and of those that learn in each of its parts."""

    total: int
    trainable: int
    trainable_alignment: int
    trainable_encoder: int
    trainable_decoder: int


def declared_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Collects what the layers of a model declare, in the model's own order.

    Raises:
        ValueError: a layer declares a parameter that it does not have.
    """
    declared = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, Trainable)
        for name in module.trainable_params()
    }
    found = {name: parameter for name, parameter in model.named_parameters() if name in declared}
    if len(found) < len(declared):
        raise ValueError(f"declared as trainable but not there: {sorted(declared - set(found))}")
    return found


def freeze_undeclared(model: nn.Module) -> None:
    """Makes exactly the declared parameters require a gradient."""
    declared = declared_parameters(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in declared)


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """The declared parameters by name, detached. They share the model's memory: clone to keep a moment."""
    return {name: parameter.detach() for name, parameter in declared_parameters(model).items()}


@torch.no_grad()
def load_trainable_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copies a state of `trainable_state` into a model that declares the same parameters.

    Args:
        model: what `build_model` made.
        state: tensors by name.
        source: where the state came from, for the message.

    Raises:
        InputError: names or shapes differ from what the model declares; nothing is copied then.
    """
    declared = declared_parameters(model)
    require_match({name: parameter.shape for name, parameter in declared.items()}, state, source=source)
    for name, parameter in declared.items():
        parameter.copy_(state[name])


def require_match(shapes: Mapping[str, torch.Size], state: Mapping[str, Tensor], *, source: str) -> None:
    """Checks that a state has exactly the expected names and shapes.

    Raises:
        InputError: it names the first few that are missing, unexpected or mis-shaped, and how many.
    """
    wrong = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(shape)}"
        for name, shape in shapes.items()
        if name in state and state[name].shape != shape
    ]
    findings = [
        f"{len(names)} {kind} ({_first(names)})"
        for kind, names in (
            ("missing", [name for name in shapes if name not in state]),
            ("unexpected", [name for name in state if name not in shapes]),
            ("mis-shaped", wrong),
        )
        if names
    ]
    if findings:
        raise InputError(f"{source}: tensors do not fit the model: {'; '.join(findings)}")


def count_parameters(model: Segmenter) -> ParameterCounts:
    """Counts parameters after `freeze_undeclared`; the patch embedding belongs to the encoder."""

    def learning(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)

    return ParameterCounts(
        total=sum(parameter.numel() for parameter in model.parameters()),
        trainable=learning(model),
        trainable_alignment=learning(model.alignment),
        trainable_encoder=learning(model.image_encoder),
        trainable_decoder=learning(model.mask_decoder),
    )


def _first(names: Sequence[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
