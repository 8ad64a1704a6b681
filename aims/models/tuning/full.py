"""Full fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

from aims.models.segmenter import Segmenter
from aims.models.tuning.base import TUNINGS, Tuning


@TUNINGS.register("full")
@dataclass(frozen=True, kw_only=True)
class FullTuning(Tuning):
    """Image encoder and mask decoder learn as a whole."""

    def apply(self, model: Segmenter) -> None:
        """Declares image encoder and mask decoder trainable."""
        model.learn("image_encoder")
        model.learn("mask_decoder")
