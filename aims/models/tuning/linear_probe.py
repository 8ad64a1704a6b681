"""The linear probe."""

from __future__ import annotations

from dataclasses import dataclass

from aims.models.segmenter import Segmenter
from aims.models.tuning.base import TUNINGS, Tuning


@TUNINGS.register("linear-probe")
@dataclass(frozen=True, kw_only=True)
class LinearProbeTuning(Tuning):
    """Patch embedding and position embedding learn, the blocks and the mask decoder stay as they are.

    The name is that of the SimCMF program. Elsewhere a linear probe trains the last layer; this one trains
    the first.
    """

    def apply(self, model: Segmenter) -> None:
        """Declares both trainable; a backbone may have no position embedding."""
        model.learn_stem()
        for name in model.image_encoder.position_names:
            model.learn(f"image_encoder.{name}")
