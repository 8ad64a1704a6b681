"""The base class of tunings, their registry, and the search for the layers that a tuning changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from torch import nn

from aims.core.errors import InputError
from aims.core.registry import Registry
from aims.models.extension import is_attention, is_fused_attention, is_split_attention
from aims.models.segmenter import Segmenter

__all__ = [
    "TUNINGS",
    "Tuning",
    "find_layers",
    "is_attention",
    "is_fused_attention",
    "is_split_attention",
]


class Tuning(ABC):
    """Base of all tunings. Subclasses are frozen, keyword-only dataclasses; their fields are the options."""

    @abstractmethod
    def apply(self, model: Segmenter) -> None:
        """Inserts layers into a model or declares parts of it trainable; torch's generator draws new weights.

        The prompt encoder must not be changed: it is frozen under every tuning.

        Raises:
            InputError: an option makes no sense, or the backbone has no layers of the kind that is changed.
        """


TUNINGS = Registry[type[Tuning]]("tuning")


def find_layers(
    model: Segmenter, wanted: Callable[[nn.Module], bool], what: str
) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Finds layers of the image encoder and the mask decoder that a tuning changes.

    Args:
        model: a plain model, or one adapted by a method.
        wanted: predicate that selects the layers.
        what: their name in the error message, e.g. "attention".

    Yields:
        The parent module of a layer, the layer's name in it, and the layer.

    Raises:
        InputError: the image encoder has none.
    """
    for part in (model.image_encoder, model.mask_decoder):
        found = [
            (holder, name, child)
            for holder in part.modules()
            for name, child in holder.named_children()
            if wanted(child)
        ]
        if not found and part is model.image_encoder:
            raise InputError(
                f"the image encoder of this backbone has no {what} that this tuning could change"
            )
        yield from found
