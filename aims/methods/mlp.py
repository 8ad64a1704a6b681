"""Pretrained SAM behind an MLP over channels."""

from __future__ import annotations

from dataclasses import dataclass

from aims.methods.base import METHODS, Method
from aims.models.alignment import ConvAlignment
from aims.models.segmenter import Segmenter


@METHODS.register("mlp")
@dataclass(frozen=True, kw_only=True)
class MLP(Method):
    """Two 1 x 1 convolutions C -> 64 -> 3, with ReLU between them, before pretrained SAM.

    Source: section 4.3 and Figure 4 of the SimCMF paper; the module is that of `simcmf` with `--kernel 1`.
    The patch embedding stays frozen unless the tuning trains it.
    """

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the convolutions as alignment."""
        model.alignment = ConvAlignment(channels=channels, kernel=1, width=64, depth=2)
