"""Pretrained SAM as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.core.vocabulary import Modality
from aims.methods.base import METHODS, Method
from aims.models.alignment import FirstThreeChannels
from aims.models.segmenter import Segmenter


@METHODS.register("zero-shot")
@dataclass(frozen=True, kw_only=True)
class ZeroShot(Method):
    """Pretrained SAM as it is, on the RGB channels or on one channel repeated; nothing is trained.

    Source: section 4.2 and Table 2 of the SimCMF paper, which gives SAM the RGB channels alone. For a
    polarization camera those are its colour intensity, which comes first; three channels of another kind
    (HHA) are shown as if they were a picture. The paper's qualitative figures show SAM on the RGB picture
    beside the sensor instead: that is this method with the modality `rgb`.
    """

    knows_rgb: ClassVar[bool] = True
    own_tuning: ClassVar[str | None] = NO_TUNING

    def adapt(self, model: Segmenter, channels: int) -> None:
        """Sets the selection of channels as alignment.

        Raises:
            InputError: there are two channels, which give no RGB image.
        """
        if channels == 2:
            raise InputError("method 'zero-shot' takes images of one channel or of three and more, not of 2")
        model.alignment = FirstThreeChannels()

    def tuning_objection(self, tuning: str) -> str | None:
        """Refuses every tuning, as nothing is trained."""
        return None if tuning == NO_TUNING else "it trains nothing; leave the tuning out"

    def modality_objection(self, modality: Modality) -> str | None:
        """Refuses modalities without RGB or intensity first, unless they have one channel or three."""
        if modality.channels in (1, 3) or modality.streams[0] in ("rgb", "intensity"):
            return None
        return "none of its channels make an RGB picture"
