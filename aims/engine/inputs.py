"""From stored images to model inputs: modality, scaling, and statistics of the training part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from aims.core.errors import InputError
from aims.core.normalisation import IMAGENET, Constants
from aims.core.records import Preprocessing
from aims.core.schema import Array, StreamSpec
from aims.core.vocabulary import (
    CLICK_GRID,
    Modality,
    Protocol,
)
from aims.data.instances import nearest_indices, stretch_nearest
from aims.data.read import Dataset
from aims.data.refs import ImageRef
from aims.sensors.scaling import published_constants, scale

log = logging.getLogger(__name__)


def stack(
    arrays: Mapping[str, Array], streams: Sequence[str], specs: Mapping[str, StreamSpec], protocol: Protocol
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Scales streams and stacks them along the channels.

    Args:
        arrays: (height, width, channels) arrays as stored, by stream.
        streams: names of the streams in stacking order.
        specs: descriptions of the streams by name.
        protocol: rules of scaling.

    Returns:
        Values and their validity (False where nothing was measured), both (height, width, channels).
    """
    parts = [scale(arrays[name], name, specs[name], protocol) for name in streams]
    return np.concatenate([part for part, _ in parts], 2), np.concatenate([valid for _, valid in parts], 2)


class Channels(NamedTuple):
    """The stacked channels of an image at its own size, before normalisation.

    Attributes:
        values: scaled values; meaningless where `valid` is False.
        valid: False where nothing was measured.
    """

    values: Float[Tensor, "height width channels"]
    valid: Bool[Tensor, "height width channels"]

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, Array],
        streams: Sequence[str],
        specs: Mapping[str, StreamSpec],
        protocol: Protocol,
    ) -> Channels:
        """Scales and stacks streams; arguments are those of `stack`."""
        return cls(*map(torch.from_numpy, stack(arrays, streams, specs, protocol)))

    def pinned(self) -> Channels:
        """Returns a copy in page-locked memory."""
        return Channels(*(tensor.pin_memory() for tensor in self))


def to_input(
    channels: Channels, preprocessing: Preprocessing, size: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "channels size size"]:
    """Normalises stacked channels and resizes them to the model's square input, on a device.

    Resizing is bilinear without antialiasing and does not keep the aspect ratio, as in the paper. Pixels
    without a measurement become 0, the mean of the normalised data.
    """
    values, valid = (tensor.to(device, non_blocking=True) for tensor in channels)
    mean, std, order = _constants(preprocessing, torch.device(device))
    normal = torch.where(valid, (values.double() - mean) / std, 0.0).float()
    channels_first = normal.index_select(2, order).permute(2, 0, 1)[None].contiguous()
    return F.interpolate(channels_first, (size, size), mode="bilinear", align_corners=False)[0]


@lru_cache(maxsize=8)
def _constants(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Returns mean and standard deviation in float64, and the channel order, cached on the device."""
    # A new copy for each image would make the GPU wait. Tensors created under inference mode cannot be used
    # in training, which shares this cache.
    with torch.inference_mode(False):
        mean, std = (
            torch.tensor(values, dtype=torch.float64, device=device)
            for values in (preprocessing.mean, preprocessing.std)
        )
        return mean, std, torch.tensor(preprocessing.channel_order, device=device)


def click_grid(instances: NDArray[Any]) -> NDArray[Any]:
    """Resizes an instance map, or the mask of one instance, to 1024 x 1024 by nearest neighbour."""
    return stretch_nearest(instances, (CLICK_GRID, CLICK_GRID))


def usable_instances(
    instances: NDArray[np.uint16], protocol: Protocol, dataset: str, *, training: bool
) -> NDArray[np.int64]:
    """Returns the ids of the instances that are large enough to train on or to score under a protocol."""
    smallest = protocol.smallest_area(dataset, training=training)
    # The area on the 1024 x 1024 grid without building it: a pixel counts as often as the grid repeats it.
    down, across = (
        np.bincount(nearest_indices(side, CLICK_GRID), minlength=side) for side in instances.shape
    )
    area = np.bincount(instances.ravel(), weights=np.outer(down, across).ravel())
    # 0 is not an instance.
    area[0] = 0
    recorded = np.bincount(instances.ravel())
    return np.flatnonzero((area >= smallest) & (recorded >= protocol.min_recorded))


def reduce_grid(grid: NDArray[Any], side: int, protocol: Protocol) -> NDArray[Any]:
    """Reduces a map from 1024 x 1024 to side x side by the protocol's rule of nearest neighbour."""
    return stretch_nearest(grid, (side, side), protocol.reduction)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The result of `survey`.

    Attributes:
        preprocessing: mean, standard deviation and order of the channels.
        usable: images with at least one instance of sufficient size.
    """

    preprocessing: Preprocessing
    usable: tuple[ImageRef, ...]


def survey(
    dataset: Dataset,
    modality: Modality,
    refs: Sequence[ImageRef],
    protocol: Protocol,
    *,
    shuffle_seed: int | None,
    rgb: Constants = IMAGENET,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Survey:
    """Reads the training part once for its channel statistics and its usable images.

    Args:
        dataset: the dataset.
        modality: modality whose streams are stacked.
        refs: images of the training part.
        protocol: rules of scaling and size.
        shuffle_seed: seed of the channel order where RGB is stacked with a sensor; None keeps RGB in front.
        rgb: what the backbone expects of RGB pictures, where the protocol does not take published constants.
        on_progress: called with the number of images read since the last call.

    Raises:
        InputError: no image has an instance of sufficient size, or a channel holds no measurement at all.
    """
    channels = modality.channels or 0
    count, total, squares = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    usable = []
    for ref in refs:
        image = dataset.read(ref, modality.streams)
        if len(usable_instances(image.instances, protocol, dataset.name, training=True)):
            usable.append(ref)
        values, valid = stack(image.streams, modality.streams, dataset.streams, protocol)
        # The variance is a difference of large sums, for which float32 is not exact enough.
        values = values.astype(np.float64)
        count += valid.sum((0, 1))
        total += np.where(valid, values, 0).sum((0, 1))
        squares += np.where(valid, values * values, 0).sum((0, 1))
        on_progress(1)
    if not usable:
        rule = protocol.size_rule(dataset.name, training=True)
        raise InputError(f"{dataset.name}: no training image has an instance of {rule} or more")
    if not count.all():
        raise InputError(
            f"{dataset.name}: a channel of {modality.name} has no measurement in training images"
        )
    mean = total / count
    # Rounding can make the variance of a constant channel slightly negative.
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    if (std == 0).any():
        log.warning("%s: a channel of %s is constant over the training part", dataset.name, modality.name)
    # A constant channel becomes 0 everywhere instead of NaN.
    measured = (mean, np.where(std > 0, std, 1))
    return Survey(
        preprocessing=_preprocessing(dataset, modality, protocol, shuffle_seed, measured, rgb),
        usable=tuple(usable),
    )


def _preprocessing(
    dataset: Dataset,
    modality: Modality,
    protocol: Protocol,
    shuffle_seed: int | None,
    measured: tuple[NDArray[np.float64], NDArray[np.float64]],
    rgb: Constants,
) -> Preprocessing:
    mean, std = (list(values.tolist()) for values in measured)
    sources = []
    for stream in modality.streams:
        source, constants = "training part", None
        if protocol.constants == "published":
            source, constants = "published", published_constants(dataset.name, stream)
        elif stream == "rgb":
            source, constants = "ImageNet" if rgb == IMAGENET else "backbone", rgb
        if constants is not None:
            place = slice(*_channels_of(stream, dataset, modality))
            mean[place], std[place] = constants.mean, constants.std
        sources.append(source if constants is not None else "training part")
    order = np.arange(len(mean))
    if modality.mixes_rgb and shuffle_seed is not None:
        order = np.random.default_rng(shuffle_seed).permutation(order)
    return Preprocessing(
        streams=modality.streams,
        mean=tuple(mean),
        std=tuple(std),
        source=_name_sources(modality.streams, sources),
        channel_order=tuple(order.tolist()),
    )


def _name_sources(streams: Sequence[str], sources: Sequence[str]) -> str:
    """Names the source of most constants, followed by every stream with another source."""
    usual = "published" if "published" in sources else "training part"
    others = (f"{name}: {source}" for name, source in zip(streams, sources, strict=True) if source != usual)
    return "; ".join((usual, *others))


def _channels_of(stream: str, dataset: Dataset, modality: Modality) -> tuple[int, int]:
    """Returns the range [first, end) of a stream among the stacked channels."""
    before = modality.streams[: modality.streams.index(stream)]
    first = sum(dataset.streams[name].channels for name in before)
    return first, first + dataset.streams[stream].channels
