"""Training from random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aims.methods.base import METHODS, Method, renew_patch_embedding
from aims.models.segmenter import Segmenter


@METHODS.register("scratch")
@dataclass(frozen=True, kw_only=True)
class Scratch(Method):
    """SAM's architecture with random weights and a patch embedding for C channels: the lower baseline."""

    loads_weights: ClassVar[bool] = False

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Replaces the patch embedding."""
        renew_patch_embedding(model, channels)

    def tuning_objection(self, tuning: str) -> str | None:
        """Refuses all but full tuning, as frozen layers would keep their random weights."""
        return None if tuning == "full" else "its weights are random, and would stay random where frozen"
