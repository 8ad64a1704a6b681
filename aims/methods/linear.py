"""Pretrained SAM behind one 1 x 1 convolution."""

from __future__ import annotations

from dataclasses import dataclass

from aims.methods.base import METHODS, Method
from aims.models.alignment import ConvAlignment
from aims.models.segmenter import Segmenter


@METHODS.register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Method):
    """A 1 x 1 convolution C -> 3 before pretrained SAM, whose patch embedding learns under every tuning.

    Source: section 4.3 and Figure 4 of the SimCMF paper.
    """

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the convolution as alignment and declares the patch embedding trainable."""
        model.alignment = ConvAlignment(channels=channels, kernel=1, width=3, depth=1)
        model.learn_stem()


@METHODS.register("linear-frozen")
@dataclass(frozen=True, kw_only=True)
class LinearFrozen(Method):
    """A 1 x 1 convolution C -> 3 before pretrained SAM, whose patch embedding stays frozen.

    Source: section 4.3 and Figure 4 of the SimCMF paper.
    """

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the convolution as alignment."""
        model.alignment = ConvAlignment(channels=channels, kernel=1, width=3, depth=1)

    def tuning_objection(self, tuning: str) -> str | None:
        """Refuses tunings that train the patch embedding, which is frozen by definition of the method."""
        if tuning in ("full", "linear-probe"):
            return "it would train the patch embedding, and that is method 'linear'"
        return None
