"""Packing many small tensors into one, so that a single copy moves them from a worker to a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

_Content = TypeVar("_Content")

# Offsets are multiples of this many bytes, as `Tensor.view` to a wider dtype requires.
_ALIGNMENT = 16


@dataclass(frozen=True)
class _Place:
    """Offset, size in bytes, dtype and shape of a tensor in the buffer."""

    first: int
    bytes: int
    dtype: torch.dtype
    shape: torch.Size


@dataclass(frozen=True)
class Packed(Generic[_Content]):
    """Nested dataclasses, tuples and lists whose tensors are in one buffer.

    Attributes:
        buffer: uint8 tensor with the bytes of all tensors.
        content: the packed object, with a `_Place` instead of each tensor.
    """

    buffer: Tensor
    content: Any

    @classmethod
    def of(cls, content: _Content) -> Packed[_Content]:
        """Packs an object whose tensors are on the CPU."""
        pieces: list[Tensor] = []
        size = 0

        def place(tensor: Tensor) -> _Place:
            nonlocal size
            found = _Place(size, tensor.nbytes, tensor.dtype, tensor.shape)
            pieces.append(tensor.contiguous().flatten().view(torch.uint8))
            pieces.append(torch.zeros(-tensor.nbytes % _ALIGNMENT, dtype=torch.uint8))
            size += tensor.nbytes + len(pieces[-1])
            return found

        skeleton = _mapped(content, Tensor, place)
        return cls(torch.cat(pieces), skeleton)

    def pin_memory(self) -> Packed[_Content]:
        """Returns a copy in page-locked memory; called by PyTorch's `DataLoader`."""
        return Packed(self.buffer.pin_memory(), self.content)

    def unpack(self, device: torch.device) -> _Content:
        """Returns the packed object on a device; its tensors are views of one copied buffer."""
        buffer = self.buffer.to(device, non_blocking=True)

        def found(place: _Place) -> Tensor:
            return buffer[place.first : place.first + place.bytes].view(place.dtype).view(place.shape)

        return cast("_Content", _mapped(self.content, _Place, found))


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Applies `change` to every value of type `kind` in nested dataclasses, tuples and lists."""
    if isinstance(value, kind):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _mapped(getattr(value, field.name), kind, change) for field in fields(value)}
        return replace(value, **parts)
    if type(value) in (tuple, list):
        return type(value)(_mapped(part, kind, change) for part in value)
    return value
