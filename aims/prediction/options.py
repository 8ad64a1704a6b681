"""How all objects of a picture are found: grid, thresholds and tiles. Without torch, as help pages show them.

The defaults suit models that were trained on single clicks with AIMS: their one mask answers a click rather
than SAM's three, what they predict of its IoU is rarely near SAM's threshold, and masks rank by the product
of predicted IoU and stability, which found more instances of validation pictures than either alone.
`SAM_RULES` are the defaults of segment-anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aims.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aims.prediction.instances import Instances


@dataclass(frozen=True, kw_only=True)
class Everything:
    """The grid and the thresholds of `segment_everything`.

    Attributes:
        points_per_side: clicks along each side of the picture.
        min_iou: least IoU that the model predicts for a mask, 0..1; at 0 all count.
        min_stability: least IoU of a mask at the thresholds `stability_offset` and minus that.
        stability_offset: distance of these thresholds from 0, in logits.
        nms: largest IoU of two masks that are both kept, 0..1.
        nms_on: what overlaps: "mask" or, as in SAM, "box".
        rank: what decides between two such masks: "product" of predicted IoU and stability, or "iou".
        min_area: least size of an object, in pixels.
        max_share: largest share of the picture, or of the tile, that an object fills, 0..1. A click beside
            all objects finds the ground.
        multimask: ask for SAM's three masks of every click instead of the one that AIMS trains.
        crop_layers: times that the picture is cut further: layer k has 2^k x 2^k crops.
        crop_overlap: overlap of neighbouring crops, as a share of the shorter side of the picture in layer 1,
            half of it in layer 2, ...
        crop_points_divisor: the grid of layer k has 1 / divisor^k as many clicks a side.
    """

    points_per_side: int = 32
    min_iou: float = 0.0
    min_stability: float = 0.5
    stability_offset: float = 1.0
    nms: float = 0.5
    nms_on: Literal["mask", "box"] = "mask"
    rank: Literal["product", "iou"] = "product"
    min_area: int = 0
    max_share: float = 0.5
    multimask: bool = False
    crop_layers: int = 0
    crop_overlap: float = 512 / 1500
    crop_points_divisor: int = 1

    def __post_init__(self) -> None:
        for name in ("min_iou", "min_stability", "nms", "max_share", "crop_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} {getattr(self, name)}: give a number from 0 to 1")
        for name, least in (("points_per_side", 1), ("crop_points_divisor", 1), ("crop_layers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)}: give at least {least}")
        for name, choices in (("nms_on", ("mask", "box")), ("rank", ("product", "iou"))):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r}: use {' or '.join(choices)}")

    def ranks(self, instances: Instances) -> NDArray[np.float32]:
        """Returns the (objects,) values by which masks rank."""
        if self.rank == "iou" or instances.stability is None:
            return instances.scores
        return instances.scores * instances.stability


#: The defaults of segment-anything's `SamAutomaticMaskGenerator`.
SAM_RULES = Everything(
    min_iou=0.88, min_stability=0.95, nms=0.7, nms_on="box", rank="iou", max_share=1.0, multimask=True
)


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a picture is cut.

    Attributes:
        side: side of a tile in pixels of the picture.
        overlap: least share of a side that neighbours have in common, 0.1..0.9.
    """

    side: int
    overlap: float = 0.25

    def __post_init__(self) -> None:
        if self.side < 16:
            raise InputError(f"tiles of {self.side} pixels: give at least 16")
        if not 0.1 <= self.overlap <= 0.9:
            raise InputError(f"overlap {self.overlap}: give a number from 0.1 to 0.9")
