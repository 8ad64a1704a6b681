"""LoRA in the image encoder, with its norms and the mask decoder trained as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from aims.core.errors import require_at_least_one
from aims.models.segment_anything import sam_modeling
from aims.models.segmenter import Segmenter
from aims.models.tuning import TUNINGS, Tuning
from aims.models.tuning.base import find_layers, is_attention
from aims.models.tuning.lora import update_projections


@TUNINGS.register("lora-norms-decoder")
@dataclass(frozen=True, kw_only=True)
class LoRANormsDecoderTuning(Tuning):
    """LoRA in the image encoder, whose norms learn too, and the mask decoder as a whole.

    Source: LoRA beside a decoder that learns as a whole is SAMed's (Zhang and Liu, 2023), beside norms that
    learn LongLoRA's (Chen et al., ICLR 2024); the three together are our own.

    Attributes:
        rank: as in `lora`, for the image encoder.
    """

    rank: int = 100

    def __post_init__(self) -> None:
        require_at_least_one(rank=self.rank)

    def apply(self, model: Segmenter) -> None:
        """Replaces the encoder's projections and declares its norms and the mask decoder trainable."""
        decoder = set(model.mask_decoder.modules())
        for _, _, attention in find_layers(model, is_attention, "attention"):
            if attention not in decoder:
                update_projections(attention, self.rank)
        norms = (nn.LayerNorm, sam_modeling().common.LayerNorm2d)
        for name, module in model.image_encoder.named_modules():
            if isinstance(module, norms):
                model.learn(f"image_encoder.{name}")
        model.learn("mask_decoder")
