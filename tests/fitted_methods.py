"""Methods whose first weights follow from made-up pictures."""

from __future__ import annotations

import torch

from aims.methods import BACKBONES, METHODS, build_model


def pictures(channels: int, count: int = 3) -> list[torch.Tensor]:
    """Correlated channels of different means and variances."""
    generator = torch.Generator().manual_seed(channels)
    mixing = torch.randn(channels, channels, generator=generator)
    offsets = torch.randn(channels, 1, 1, generator=generator)
    return [
        torch.einsum("ij,jhw->ihw", mixing, torch.rand(channels, 64, 64, generator=generator)) + offsets
        for _ in range(count)
    ]


def fitted(method: str, images: list[torch.Tensor], weights=None, **options: object):
    model = build_model(
        method=method,
        tuning="lora",
        backbone="sam-toy",
        channels=len(images[0]),
        weights=weights,
        seed=0,
        options=options,
    )
    METHODS[method](**options).fit(model, iter(images), BACKBONES["sam-toy"].rgb)
    return model.eval()


def map_linearly(weight: torch.Tensor, bias: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """A linear map of the channels, in the precision of the batch."""
    return torch.einsum("ij,bjhw->bihw", weight.to(batch), batch) + bias.to(batch)[:, None, None]
