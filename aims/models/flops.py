"""Floating-point operations of a model, counted by torch without computing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from aims.models.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Operations for one image with one click; a multiplication with its addition counts as two.

    Attributes:
        forward: alignment, image encoder and mask decoder.
        alignment: the layers before the image encoder alone.
    """

    forward: int
    alignment: int


def count_flops(model: Segmenter) -> Flops:
    """Counts matrix products and convolutions with torch's counter, on the meta device.

    The prompt encoder is left out: its indexing depends on values, which the meta device does not have. Its
    share is negligible.
    """
    model_state = {name: torch.empty_like(t, device="meta") for name, t in model.state_dict().items()}

    def on_meta(part: str, *args: Tensor, **kwargs: Any) -> Any:
        prefix = f"{part}."
        state = {k.removeprefix(prefix): v for k, v in model_state.items() if k.startswith(prefix)}
        return torch.func.functional_call(model.get_submodule(part), state, args, kwargs)

    images = torch.empty(1, model.in_channels, model.image_size, model.image_size, device="meta")
    training, path = model.training, model.path
    model.eval()
    # The stock path's operations are counted, to be comparable with published numbers.
    model.path = "stock"
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            aligned = on_meta("alignment", images)
            alignment = counter.get_total_flops()
            embeddings = on_meta("image_encoder", aligned)[:1]
            on_meta(
                "mask_decoder",
                image_embeddings=embeddings,
                image_pe=torch.empty_like(embeddings),
                # A click and the padding point that SAM adds where there is no box.
                sparse_prompt_embeddings=torch.empty(1, 2, embeddings.shape[1], device="meta"),
                dense_prompt_embeddings=torch.empty_like(embeddings),
                multimask_output=False,
            )
    finally:
        model.train(training)
        model.path = path
    return Flops(forward=int(counter.get_total_flops()), alignment=int(alignment))
