"""CMX: two pretrained image encoders that rectify each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aims.core.vocabulary import Modality
from aims.methods.base import METHODS, Method
from aims.models.rgbx.cmx import CMXEncoder
from aims.models.rgbx.common import rgb_objection
from aims.models.segmenter import Segmenter


@METHODS.register("cmx")
@dataclass(frozen=True, kw_only=True)
class CMX(Method):
    """RGB and a sensor through an image encoder each, rectified after every block, then fused.

    Zhang et al., "CMX" (2023), put into SAM (`aims.models.rgbx.cmx`). Rectification, fusion, mixing and the
    patch embedding of X learn under every tuning; the tuning decides on the blocks of both encoders and on
    the rest of SAM. The SimCMF paper tunes fully (Table 6). On SAM ViT-B, with d = 768:

    - SAM: 93,735,472; a second stack of blocks: 85,147,136
    - patch embedding of X, for 1 or 3 channels: 256 x 3 d + d = 590,592
    - 12 rectifications of 4d (4d + 1) + 2d (4d + 1) by channel and d (2d + 1) + 2 (d + 1) by position
      = 15,342,338: 184,108,056
    - 4 fusions of twice 2d (d + 1) + 2d d + d (2d + 1) + 2d by the cross paths and
      2d d + d (2d + 1) + (9 + 1) d + d (d + 1) + 4d by the channel embedding = 10,046,976: 40,187,904
    - the mix of 4 stages: 5; in all 403,769,165, the paper's 403.8 M.
    """

    knows_rgb: ClassVar[bool] = True
    preferred_tuning: ClassVar[str] = "full"

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Replaces the image encoder by a `CMXEncoder`."""
        model.image_encoder = CMXEncoder(model.image_encoder, channels=channels)
        model.learn("image_encoder.x_patch_embed")
        model.learn("image_encoder.mix")

    def modality_objection(self, modality: Modality) -> str | None:
        """Refuses modalities other than RGB with a sensor."""
        return rgb_objection(modality)
