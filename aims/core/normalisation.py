"""The constants by which images are normalised."""

from __future__ import annotations

from typing import NamedTuple


class Constants(NamedTuple):
    """Mean and standard deviation of each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


#: Those of ImageNet for RGB scaled to 0..1; SAM was trained on images normalised by them.
IMAGENET = Constants(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
