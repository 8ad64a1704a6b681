"""Pretrained SAM behind a new patch embedding."""

from __future__ import annotations

from dataclasses import dataclass

from aims.methods.base import METHODS, Method, renew_patch_embedding
from aims.models.segmenter import Segmenter


@METHODS.register("random-embed")
@dataclass(frozen=True, kw_only=True)
class RandomEmbed(Method):
    """Pretrained weights, but a new patch embedding for C channels, which learns under every tuning."""

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Replaces the patch embedding."""
        renew_patch_embedding(model, channels)
