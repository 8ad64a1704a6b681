"""SimCMF: a simple cross-modal alignment module before pretrained SAM."""

from __future__ import annotations

from dataclasses import dataclass

from aims.methods.base import METHODS, Method
from aims.models.alignment import ConvAlignment
from aims.models.segmenter import Segmenter


@METHODS.register("simcmf")
@dataclass(frozen=True, kw_only=True)
class SimCMF(Method):
    """The paper's alignment module C -> 3; the pretrained patch embedding stays frozen unless tuning is full.

    Attributes:
        kernel: side of the convolutions (Figure 6, k).
        width: channels between them (Figure 6, d).
        depth: number of convolutions (Figure 6, n).
    """

    kernel: int = 3
    width: int = 64
    depth: int = 2

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Puts the alignment module in front."""
        model.alignment = ConvAlignment(
            channels=channels, kernel=self.kernel, width=self.width, depth=self.depth
        )
