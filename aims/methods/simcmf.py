"""SimCMF: a simple cross-modal alignment module before pretrained SAM."""

from __future__ import annotations

from dataclasses import dataclass

from aims.core.errors import InputError, require_at_least_one
from aims.methods.base import METHODS, Method
from aims.models.alignment import ConvAlignment
from aims.models.segmenter import Segmenter


@METHODS.register("simcmf")
@dataclass(frozen=True, kw_only=True)
class SimCMF(Method):
    """The paper's module of convolutions C -> 64 -> 3 before pretrained SAM.

    Source: section 3.1 and Figures 2 and 6 of the SimCMF paper; `simcmf-released` is the module of the
    authors' program. The patch embedding stays frozen unless the tuning trains it.

    Attributes:
        kernel: side of all convolutions but the last, which is 1 x 1 (Figure 6, k).
        width: channels between them (Figure 6, d).
        depth: number of convolutions (Figure 6, n); at 1 only the 1 x 1 convolution C -> 3 is left.
    """

    kernel: int = 3
    width: int = 64
    depth: int = 2

    def __post_init__(self) -> None:
        require_at_least_one(kernel=self.kernel, width=self.width, depth=self.depth)
        if self.kernel % 2 == 0:
            raise InputError(f"--kernel must be odd, so that images keep their size, not {self.kernel}")

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the alignment module."""
        model.alignment = ConvAlignment(
            channels=channels, kernel=self.kernel, width=self.width, depth=self.depth
        )
