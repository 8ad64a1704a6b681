"""How pretrained models expect the colours of photographs."""

from __future__ import annotations

from typing import NamedTuple


class RGBConstants(NamedTuple):
    """Mean and standard deviation of R, G and B, 0..1, by which pictures are normalised."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


#: Those of ImageNet's photographs; SAM was trained on images normalised by them.
IMAGENET = RGBConstants(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
