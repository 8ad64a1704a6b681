"""How each stream is scaled under both protocols before it is normalised: one table, from protocol.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array, StreamSpec
from aims.core.vocabulary import Protocol


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Published mean and standard deviation of each channel, on data scaled as the paper did."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What the `paper` protocol does to one stream.

    `strict` has one rule for all: the valid range of the manifest becomes 0..1, and mean and deviation are
    measured on the training part; those of RGB pictures are ImageNet's, which the pretrained weights expect.

    Attributes:
        rule: "min-max": each image by its own minimum and maximum to 8 bits, then to 0..1. "type": whole
            numbers by their type's maximum to 0..1; floats stay as they are.
        stream: the stream that takes its place where the dataset derives both; None for itself.
        constants: mean and deviation by dataset; sets that are not listed are measured.
    """

    rule: Literal["min-max", "type"] = "type"
    stream: str | None = None
    constants: Mapping[str, Constants] = field(default_factory=dict)


#: ImageNet's, on pictures scaled to 0..1: SAM was trained on pictures normalised by them.
IMAGENET = Constants(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

#: The rules of the `paper` protocol; a stream that is not listed has the default one and no constants.
SCALING: Mapping[str, Scaling] = MappingProxyType(
    {
        "depth": Scaling(
            rule="min-max",
            # The mean over ImageNet's three channels (protocol.md).
            constants={"nyuv2": Constants(mean=(sum(IMAGENET.mean) / 3,), std=(sum(IMAGENET.std) / 3,))},
        ),
        "thermal": Scaling(
            rule="min-max",
            constants={"thermal-glass": Constants(mean=(0.35632825,), std=(0.21658015,))},
        ),
        "hha": Scaling(constants={"nyuv2": IMAGENET}),
        "nir": Scaling(constants={"ivrg-nir": Constants(mean=(0.5038126,), std=(0.20589863,))}),
        "rgb": Scaling(
            constants={
                "nyuv2": IMAGENET,
                "ivrg-nir": Constants(
                    mean=(0.43030727, 0.43242943, 0.41996416), std=(0.25075516, 0.24733004, 0.26631436)
                ),
                "thermal-glass": Constants(
                    mean=(0.37960503, 0.39143142, 0.3845801), std=(0.22783901, 0.2329615, 0.2352449)
                ),
            }
        ),
        "intensity": Scaling(
            constants={
                "rgbp-glass": Constants(
                    mean=(0.20545432, 0.21862635, 0.15604725), std=(0.19210099, 0.20711783, 0.18405455)
                ),
                "zju-rgbp": Constants(
                    mean=(141.1251, 141.37535, 138.99559), std=(139.9553, 140.5757, 141.13524)
                ),
            }
        ),
        "aolp": Scaling(
            # The published numbers used arctan, which folds 0 and 90 degrees onto each other.
            stream="aolp_folded",
            constants={
                "rgbp-glass": Constants(
                    mean=(0.47199312, 0.4637443, 0.48603472), std=(0.28202084, 0.28334478, 0.25937688)
                )
            },
        ),
        "aolp_folded": Scaling(
            constants={
                "zju-rgbp": Constants(
                    mean=(-0.01452719, -0.014152956, -0.016532706), std=(0.38503787, 0.38248295, 0.3834839)
                )
            }
        ),
        "dolp": Scaling(
            constants={
                "rgbp-glass": Constants(
                    mean=(0.102636375, 0.10431647, 0.11925355), std=(0.11682395, 0.118849464, 0.12313089)
                ),
                "zju-rgbp": Constants(
                    mean=(0.15173349, 0.1489902, 0.17018148), std=(0.13344945, 0.13081141, 0.14260896)
                ),
            }
        ),
    }
)


def scaling(stream: str) -> Scaling:
    """The `paper` protocol's rule for a stream."""
    return SCALING.get(stream, Scaling())


def published_constants(dataset: str, stream: str) -> Constants | None:
    """The published mean and deviation of a stream, where there are any."""
    return scaling(stream).constants.get(dataset)


def stream_to_read(stream: str, derived: Mapping[str, StreamSpec], protocol: Protocol) -> str:
    """The stream that a protocol reads for a stream of a modality.

    Only where both are derived from the same pictures: a stored AoLP is what it is.
    """
    other = scaling(stream).stream
    folded = protocol.folds_angles and stream in derived and other in derived
    return other if folded and other is not None else stream


def scale(
    array: Array, stream: str, spec: StreamSpec, protocol: Protocol
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Scales one stream as the protocol says, before mean and standard deviation.

    `paper`: by the rule of `SCALING`. `strict`: by the stream's valid range to 0..1, where the manifest
    states one; else whole numbers by their type's maximum and floats as they are.

    Args:
        array: (height, width, channels) as stored.
        stream: name of the stream.
        spec: the manifest's words on it.
        protocol: "paper" keeps missing values as they come, only NaN and infinities are left out.

    Returns:
        The scaled array, and where it holds a measurement.
    """
    wide = array.dtype.itemsize > 4 or array.dtype == np.int32
    values: NDArray[np.floating[Any]] = array.astype(np.float64 if wide else np.float32)
    valid = np.isfinite(values)
    if protocol.masks_missing and spec.missing is not None:
        valid &= array != spec.missing
    values = np.where(valid, values, 0)
    if protocol.scaling == "published" and scaling(stream).rule == "min-max":
        low, high = (values[valid].min(), values[valid].max()) if valid.any() else (0, 0)
        span = high - low if high > low else 1
        return np.floor((values - low) / span * 255).clip(0, 255) / 255, valid
    if protocol.scaling == "valid-range" and spec.valid_range is not None:
        low, high = spec.valid_range
        return ((values - low) / (high - low)).clip(0, 1), valid
    if array.dtype.kind in "iu":
        return values / np.iinfo(array.dtype).max, valid
    return values, valid
