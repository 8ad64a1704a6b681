"""Declaration of trainable parameters: layers declare theirs, all others are frozen.

The protocol is torchtune's adapter protocol: a method `trainable_params` of a layer returns the names of its
trainable parameters. No parameter is selected by a substring of its name. Buffers that training changes, such
as running statistics, are declared likewise; they belong to a checkpoint, but not to an optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.models.segmenter import Segmenter

T = TypeVar("T", bound=Tensor)


class Trainable(Protocol):
    """A layer that declares trainable parameters."""

    def trainable_params(self) -> list[str]:
        """Names of the trainable parameters, relative to the layer."""
        ...


class FullyTrainable(nn.Module):
    """Base of layers whose parameters are all trainable."""

    def trainable_params(self) -> list[str]:
        """Names of all parameters."""
        return [name for name, _ in self.named_parameters()]


class Tracking(Protocol):
    """A layer that declares buffers which training changes."""

    def trained_buffers(self) -> list[str]:
        """Names of these buffers, relative to the layer."""
        ...


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """Numbers of parameters of a model, and of the trainable ones in each of its parts.

    Attributes:
        total: all parameters of the model, frozen ones included.
        alignment: trainable parameters before the image encoder.
        encoder: trainable parameters of the image encoder, its patch embedding included.
        decoder: trainable parameters of the mask decoder.
    """

    total: int
    alignment: int
    encoder: int
    decoder: int

    @property
    def trainable(self) -> int:
        """Number of all trainable parameters; the prompt encoder has none."""
        return self.alignment + self.encoder + self.decoder

    def as_json(self) -> dict[str, Any]:
        """Returns the dictionary that run.json and `aims info --json` contain."""
        return {
            "total": self.total,
            "trainable": {
                "alignment": self.alignment,
                "encoder": self.encoder,
                "decoder": self.decoder,
                "total": self.trainable,
            },
        }


# Not `isinstance` with a runtime protocol: it takes forty times as long, and a model has hundreds of layers.
def _is_trainable(module: nn.Module) -> TypeGuard[Trainable]:
    return hasattr(type(module), "trainable_params")


def _is_tracking(module: nn.Module) -> TypeGuard[Tracking]:
    return hasattr(type(module), "trained_buffers")


def declared_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Collects the parameters that layers declare as trainable, in the model's own order.

    Raises:
        ValueError: a layer declares a parameter that it does not have.
    """
    declared = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if _is_trainable(module)
        for name in module.trainable_params()
    }
    return _pick(dict(model.named_parameters()), declared, "trainable")


def declared_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Collects the buffers that layers declare as changed by training, in the model's own order.

    Raises:
        ValueError: a layer declares a buffer that it does not have.
    """
    declared = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if _is_tracking(module)
        for name in module.trained_buffers()
    }
    return _pick(dict(model.named_buffers()), declared, "a trained buffer")


def freeze_undeclared(model: nn.Module) -> None:
    """Makes exactly the declared parameters require a gradient."""
    declared = declared_parameters(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in declared)


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """Returns the declared parameters and buffers by name, detached.

    They share the model's memory; clone them to keep the values during training.
    """
    return {name: tensor.detach() for name, tensor in _declared(model).items()}


@torch.no_grad()
def load_trainable_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copies a state from `trainable_state` into a model with the same declarations.

    Args:
        model: a model from `build_model`.
        state: tensors by name.
        source: origin of the state, for the error message.

    Raises:
        InputError: names or shapes differ from what the model declares, or a tensor does not hold finite
            numbers of its kind; nothing is copied then.
    """
    declared = _declared(model)
    require_match({name: tensor.shape for name, tensor in declared.items()}, state, source=source)
    require_finite(declared, state, source=source)
    for name, tensor in declared.items():
        tensor.copy_(state[name])


def require_match(shapes: Mapping[str, torch.Size], state: Mapping[str, Tensor], *, source: str) -> None:
    """Checks that a state has exactly the expected names and shapes.

    Raises:
        InputError: tensors are missing, unexpected or of another shape; the message names the first few.
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


def require_finite(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], *, source: str) -> None:
    """Checks that a state holds finite numbers of the kind that a model computes with; none is cast to it.

    Args:
        expected: tensors of the model by name, perhaps without data; of these only the dtype counts.
        state: dense tensors by name, all of them expected.
        source: origin of the state, for the error message.

    Raises:
        InputError: a tensor holds integers where floating-point numbers are expected, or the reverse, or
            numbers that are not finite in the model's dtype.
    """
    for name, tensor in state.items():
        dtype = expected[name].dtype
        if tensor.is_complex() or tensor.is_floating_point() != dtype.is_floating_point:
            raise InputError(f"{source}: {name} holds {_dtype(tensor.dtype)}, the model {_dtype(dtype)}")
        numbers = tensor.to(dtype)
        # Their sum is finite if all are; it needs no memory beside them.
        if numbers.is_floating_point() and not torch.isfinite(numbers.sum(dtype=torch.float64)):
            lost = numbers.numel() - int(torch.isfinite(numbers).sum())
            raise InputError(f"{source}: {lost:,} of {numbers.numel():,} numbers of {name} are not finite")


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def count_parameters(model: Segmenter) -> ParameterCounts:
    """Counts parameters; the trainable ones are those that require a gradient (`freeze_undeclared`)."""

    def learning(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)

    return ParameterCounts(
        total=sum(parameter.numel() for parameter in model.parameters()),
        alignment=learning(model.alignment),
        encoder=learning(model.image_encoder),
        decoder=learning(model.mask_decoder),
    )


def _declared(model: nn.Module) -> dict[str, Tensor]:
    return {**declared_parameters(model), **declared_buffers(model)}


def _pick(tensors: Mapping[str, T], declared: set[str], kind: str) -> dict[str, T]:
    if not declared <= tensors.keys():
        raise ValueError(f"declared as {kind} but not there: {sorted(declared - tensors.keys())}")
    return {name: tensor for name, tensor in tensors.items() if name in declared}


def _first(names: Sequence[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
