"""Many small tensors as one, so that they go from a worker process to a device in one copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor

_Content = TypeVar("_Content")

# Every tensor starts at a multiple of it: views as wider types need that.
_ALIGNMENT = 16


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in the buffer."""

    first: int
    bytes: int
    dtype: torch.dtype
    shape: torch.Size


@dataclass(frozen=True)
class Packed(Generic[_Content]):
    """Dataclasses, tuples and lists of tensors, with all of these in one buffer.

    Attributes:
        buffer: the bytes of the tensors.
        content: what was packed, with places in the buffer instead of tensors.
    """

    buffer: Tensor
    content: Any

    @classmethod
    def of(cls, content: _Content) -> Packed[_Content]:
        """Copies all tensors of a content, which are on the CPU, into a buffer."""
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
        """The same in page-locked memory; torch's loader asks for it by this name."""
        return Packed(self.buffer.pin_memory(), self.content)

    def unpack(self, device: torch.device) -> _Content:
        """What was packed, on a device; the tensors are views of one copy."""
        buffer = self.buffer.to(device, non_blocking=True)

        def found(place: _Place) -> Tensor:
            return buffer[place.first : place.first + place.bytes].view(place.dtype).view(place.shape)

        return cast("_Content", _mapped(self.content, _Place, found))


def _mapped(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Changes all that is of a kind in dataclasses, tuples and lists."""
    if isinstance(value, kind):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _mapped(getattr(value, field.name), kind, change) for field in fields(value)}
        return replace(value, **parts)
    if type(value) in (tuple, list):
        return type(value)(_mapped(part, kind, change) for part in value)
    return value
