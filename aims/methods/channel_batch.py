"""Pretrained SAM on every channel by itself."""

from __future__ import annotations

from dataclasses import dataclass

from aims.methods.base import METHODS, Method
from aims.models.alignment import ChannelViews
from aims.models.segmenter import Segmenter


@METHODS.register("channel-batch")
@dataclass(frozen=True, kw_only=True)
class ChannelBatch(Method):
    """Every channel is encoded as a grey picture of its own, and the embeddings are averaged.

    Source: section 4.3 of the SimCMF paper, on the strategy of MedicalSAM (Wu et al., "Medical SAM Adapter",
    2023). Only the channels in the batch dimension are adopted, with any tuning; MedicalSAM's own adapters
    (across depth, across space, beside the MLPs) are left out, so that methods differ in one respect. The
    paper does not say how the embeddings are combined; here they are averaged. The encoder runs C times per
    image: at nine channels about nine times the operations of `simcmf`. The patch embedding stays frozen
    unless the tuning trains it.
    """

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Puts the channels into the batch dimension; `Segmenter.embed` averages."""
        model.alignment = ChannelViews()
