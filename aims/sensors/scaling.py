"""Scales streams as each protocol prescribes (protocol.md), before they are normalised.

`strict` has one rule for all streams: the valid range of the manifest is mapped to 0..1; mean and standard
deviation are measured on the training part, except for RGB, where the pretrained weights expect ImageNet's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aims.core.normalisation import Constants
from aims.core.schema import Array, StreamSpec
from aims.core.vocabulary import Protocol

#: Streams that the `paper` protocol scales image by image, each by its own minimum and maximum, to 8 bits.
MIN_MAX = frozenset({"depth", "thermal"})
#: Stream -> the stream that the `paper` protocol reads instead if both are derived: the published numbers
#: used arctan, which folds 0 and 90 degrees onto each other.
FOLDED = {"aolp": "aolp_folded"}


def paper_rule(stream: str) -> Literal["min-max", "type"]:
    """Returns the scaling rule of the `paper` protocol for a stream.

    "min-max" scales each image by its own minimum and maximum to 8 bits, then to 0..1. "type" divides
    integers by the maximum of their dtype and leaves floats unchanged.
    """
    return "min-max" if stream in MIN_MAX else "type"


def published_constants(dataset: str, stream: str) -> Constants | None:
    """Returns the published mean and standard deviation of a stream; None if there are none."""
    return _published().get((dataset, stream))


@cache
def _published() -> dict[tuple[str, str], Constants]:
    text = files("aims.sensors").joinpath("published_constants.toml").read_text("utf-8")
    return {
        (dataset, stream): Constants(mean=tuple(values["mean"]), std=tuple(values["std"]))
        for dataset, streams in tomllib.loads(text).items()
        for stream, values in streams.items()
    }


def stream_to_read(stream: str, derived: Mapping[str, StreamSpec], protocol: Protocol) -> str:
    """Returns the stream that a protocol reads for a stream of a modality.

    It is another one only if both are derived: a stored AoLP is never replaced.
    """
    other = FOLDED.get(stream, stream)
    return other if protocol.folds_angles and {stream, other} <= derived.keys() else stream


def scale(
    array: Array, stream: str, spec: StreamSpec, protocol: Protocol
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Scales one stream as the protocol prescribes, before mean and standard deviation are applied.

    `paper` uses `paper_rule`. `strict` maps the valid range of the manifest to 0..1; without one it divides
    integers by the maximum of their dtype and leaves floats unchanged.

    Args:
        array: (height, width, channels) as stored.
        stream: name of the stream.
        spec: the manifest's description of the stream.
        protocol: the protocol; "paper" treats only NaN and infinities as invalid, not the missing value.

    Returns:
        The scaled array, and a bool array of the same shape that is True where a value was measured.
    """
    # float32 holds integers up to 2^24.
    wide = array.dtype.itemsize > (2 if array.dtype.kind in "iu" else 4)
    values: NDArray[np.floating[Any]] = array.astype(np.float64 if wide else np.float32)
    valid = spec.measured(array) if protocol.masks_missing else np.isfinite(values)
    values = np.where(valid, values, 0)
    if protocol.scaling == "published" and stream in MIN_MAX:
        low, high = (values[valid].min(), values[valid].max()) if valid.any() else (0, 0)
        span = high - low if high > low else 1
        return np.floor((values - low) / span * 255).clip(0, 255) / 255, valid
    if protocol.scaling == "valid-range" and spec.valid_range is not None:
        low, high = spec.valid_range
        return ((values - low) / (high - low)).clip(0, 1), valid
    if array.dtype.kind in "iu":
        return values / np.iinfo(array.dtype).max, valid
    return values, valid
