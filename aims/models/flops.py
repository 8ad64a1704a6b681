"""Floating-point operations of a model, counted by torch without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aims.models.features import Features, like, maps_of
from aims.models.segmenter import PromptEmbeddings, Segmenter


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Operations for one image with one click; a multiplication with its addition counts as two.

    Attributes:
        forward: alignment, image encoder and mask decoder.
        alignment: the layers before the image encoder alone.
    """

    forward: int
    alignment: int


class _Call(nn.Module):
    """A call of a model's method or part, as a module of its own."""

    def __init__(self, model: Segmenter, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *args: object) -> Any:
        return self.call(*args)


def count_flops(model: Segmenter) -> Flops:
    """Counts matrix products and convolutions with torch's counter, on the meta device.

    The prompt encoder is left out: its indexing depends on values, which the meta device does not have. Its
    share is negligible.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    state = {f"model.{name}": torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}

    def on_meta(call: Callable[..., Any], *args: object) -> Any:
        return torch.func.functional_call(_Call(model, call), state, args)

    images = torch.empty(1, model.in_channels, model.image_size, model.image_size, device="meta")
    training, path = model.training, model.path
    model.eval()
    # The stock path's operations are counted, to be comparable with published numbers.
    model.path = "stock"
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            aligned = on_meta(model.alignment.forward, images)
            alignment = counter.get_total_flops()
            encoded: Features = on_meta(model.encode, aligned)
            features = like(encoded, [each[:1] for each in maps_of(encoded)])
            image = maps_of(features)[-1]
            prompts = PromptEmbeddings(
                # A click and the padding point that SAM adds where there is no box.
                sparse=torch.empty(1, 2, image.shape[1], device="meta"),
                dense=torch.empty_like(image),
                image_pe=torch.empty_like(image),
            )
            on_meta(model.predict, features, prompts)
    finally:
        model.train(training)
        model.path = path
    return Flops(forward=int(counter.get_total_flops()), alignment=int(alignment))
