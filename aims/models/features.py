"""Features of images: what an image encoder gives and a mask decoder takes, one map or several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: (images, dim, height, width), or several maps of the same images; prompts are added to the last one. Maps
#: for the decoder alone may have another order of dimensions, but images come first.
Features = Tensor | tuple[Tensor, ...]


def maps_of(features: Features) -> tuple[Tensor, ...]:
    """Returns the maps of features, the one that prompts are added to last."""
    return (features,) if isinstance(features, Tensor) else features


def like(features: Features, maps: Sequence[Tensor]) -> Features:
    """Returns maps in the form of features: a tensor for a tensor."""
    return maps[0] if isinstance(features, Tensor) else tuple(maps)


def average_views(features: Features, images: int) -> Features:
    """Averages the maps of the views of each image, which are consecutive."""
    maps = maps_of(features)
    if len(maps[0]) == images:
        return features
    return like(features, [each.reshape(images, -1, *each.shape[1:]).mean(1) for each in maps])


def as_leaves(features: Features) -> Features:
    """Returns features with the same numbers that keep their gradients instead of passing them on."""
    return like(features, [each.detach().requires_grad_(each.requires_grad) for each in maps_of(features)])


def pass_gradients(features: Features, leaves: Features) -> None:
    """Goes backward from features with the gradients that their leaves have collected, if they have any."""
    pairs = [
        (each, leaf.grad)
        for each, leaf in zip(maps_of(features), maps_of(leaves), strict=True)
        if leaf.grad is not None
    ]
    if pairs:
        maps, gradients = zip(*pairs, strict=True)
        torch.autograd.backward(maps, gradients)
