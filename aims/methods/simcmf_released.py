"""SimCMF as its authors' program has it: a gate, and a second patch embedding."""

from __future__ import annotations

from dataclasses import dataclass

from aims.methods.base import METHODS, Method
from aims.models.alignment_gated import ExtendedPatchEmbed, GatedAlignment
from aims.models.segmenter import Segmenter


@METHODS.register("simcmf-released")
@dataclass(frozen=True, kw_only=True)
class SimCMFReleased(Method):
    """A gate splits each channel between pretrained SAM and learning copies of its patch embedding.

    Source: the authors' released program, whose module of SimCMF's name (`simmat`) is not the one that the
    paper describes; `simcmf` is the paper's. SAM's own patch embedding stays frozen unless the tuning trains
    it. The copies are counted with the encoder's parameters.
    """

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the gate as alignment and extends the patch embedding by the copies.

        Raises:
            InputError: the backbone has no patch embedding of one convolution.
        """
        model.alignment = GatedAlignment(channels=channels)
        encoder = model.image_encoder
        holder, name = encoder.patch_embedding(), encoder.stem_name.rpartition(".")[2]
        extended = ExtendedPatchEmbed(encoder.stem, channels=channels, name=name)
        encoder.set_submodule(holder, extended)
