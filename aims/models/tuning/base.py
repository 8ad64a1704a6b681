"""What a tuning is, and how it finds the layers that it changes in a backbone of any kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from torch import nn

from aims.core.errors import InputError
from aims.core.registry import Registry
from aims.models.segmenter import Segmenter


class Tuning(ABC):
    """Base of all tunings. Subclasses are frozen, keyword-only dataclasses; their fields are the options."""

    @abstractmethod
    def apply(self, model: Segmenter) -> None:
        """Puts layers into a model or declares parts of it; new weights come from torch's generator.

        Neither may touch the prompt encoder: it is frozen under every tuning.

        Raises:
            InputError: an option makes no sense, or the backbone has no layers of the kind that is changed.
        """


TUNINGS = Registry[type[Tuning]]("tuning")


def has_linear(module: nn.Module, *names: str) -> bool:
    """Whether a module holds linear layers of these names."""
    children = dict(module.named_children())
    return all(isinstance(children.get(name), nn.Linear) for name in names)


def is_fused_attention(module: nn.Module) -> bool:
    """An attention with one projection `qkv` (rows: queries, keys, values), as in image encoders."""
    return has_linear(module, "qkv")


def is_split_attention(module: nn.Module) -> bool:
    """An attention with `q_proj`, `k_proj`, `v_proj`, as in mask decoders."""
    return has_linear(module, "q_proj", "k_proj", "v_proj")


def is_attention(module: nn.Module) -> bool:
    """An attention of either form."""
    return is_fused_attention(module) or is_split_attention(module)


def find_layers(
    model: Segmenter, wanted: Callable[[nn.Module], bool], what: str
) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Finds layers of the image encoder and the mask decoder that a tuning changes.

    Args:
        model: a plain model, or what a method made of it.
        wanted: tells the layers.
        what: their name in the message, e.g. "attention".

    Yields:
        The module that holds the layer, the name under which it does, and the layer.

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
