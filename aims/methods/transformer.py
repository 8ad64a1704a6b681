"""Pretrained SAM behind transformer blocks."""

from __future__ import annotations

from dataclasses import dataclass

from aims.core.errors import InputError, require_at_least_one
from aims.methods.base import METHODS, Method
from aims.models.alignment import TransformerAlignment
from aims.models.segmenter import Segmenter


@METHODS.register("transformer")
@dataclass(frozen=True, kw_only=True)
class Transformer(Method):
    """Patches of the image go through transformer blocks and back to three channels before pretrained SAM.

    Source: section 4.3 of the SimCMF paper, and the released program (`aims.models.alignment` says where ours
    departs). Neither tells the configuration that was measured: patch size as in SAM, width and depth as in
    `simcmf` are our choice. The patch embedding of SAM stays frozen unless the tuning trains it.

    Attributes:
        patch_size: side of a patch in pixels; divides the model input.
        width: channels of the tokens; a multiple of 8, the number of attention heads.
        depth: number of transformer blocks.
    """

    patch_size: int = 16
    width: int = 64
    depth: int = 2

    def __post_init__(self) -> None:
        require_at_least_one(patch_size=self.patch_size, width=self.width, depth=self.depth)
        if self.width % TransformerAlignment.HEADS != 0:
            raise InputError(
                f"--width must be a multiple of {TransformerAlignment.HEADS}, the number of attention heads, "
                f"not {self.width}"
            )

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the transformer as alignment.

        Raises:
            InputError: the patches do not tile the model input.
        """
        if model.image_size % self.patch_size != 0:
            raise InputError(
                f"--patch-size must divide the side of the model input, {model.image_size} pixels, and "
                f"{self.patch_size} does not"
            )
        model.alignment = TransformerAlignment(
            channels=channels, patch_size=self.patch_size, width=self.width, depth=self.depth
        )
