"""Pretrained SAM behind one 1 x 1 convolution."""

from __future__ import annotations

from dataclasses import dataclass

from aims.methods.base import METHODS, Method
from aims.models.alignment import ConvAlignment
from aims.models.segmenter import Segmenter


@METHODS.register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Method):
    """A 1 x 1 convolution C -> 3 before pretrained SAM, whose patch embedding learns under every tuning."""

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Puts the convolution in front and declares the patch embedding."""
        model.alignment = ConvAlignment(channels=channels, kernel=1, width=3, depth=1)
        model.learn("image_encoder.patch_embed")
