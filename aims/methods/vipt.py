"""ViPT: pretrained SAM, frozen, prompted by a sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aims.core.vocabulary import Modality
from aims.methods.base import METHODS, Method
from aims.models.rgbx.common import rgb_objection
from aims.models.rgbx.vipt import ViPTEncoder
from aims.models.segmenter import Segmenter


@METHODS.register("vipt")
@dataclass(frozen=True, kw_only=True)
class ViPT(Method):
    """RGB through frozen SAM, with a modality-complementary prompter of X before every block.

    Zhu et al., "Visual Prompt Multi-Modal Tracking" (CVPR 2023), put into SAM (`aims.models.rgbx.vipt`). It
    is a prompt tuning of its own (the SimCMF paper's Table 6): prompters and the patch embedding of X learn,
    SAM stays frozen, its mask decoder included. On SAM ViT-B:

    - 12 prompters of 2 (768 x 8 + 8) + 8 x 768 + 768 + 1 + 2 x 768 = 20,753 parameters: 249,036
    - patch embedding of X, for 1 or 3 channels: 256 x 768 x 3 + 768 = 590,592
    - with SAM's 93,735,472: 94,575,100; the paper prints 94.5 M, cut off rather than rounded.
    """

    knows_rgb: ClassVar[bool] = True
    own_tuning: ClassVar[str | None] = "prompt"

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Replaces the image encoder by a `ViPTEncoder`."""
        model.image_encoder = ViPTEncoder(model.image_encoder, channels=channels)
        model.learn("image_encoder.x_patch_embed")

    def modality_objection(self, modality: Modality) -> str | None:
        """Refuses modalities other than RGB with a sensor."""
        return rgb_objection(modality)
