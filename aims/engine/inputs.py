"""From a stored image to the numbers a model sees: modality, scaling, statistics of the training part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from aims.core.errors import InputError, unknown_name
from aims.core.records import Preprocessing
from aims.core.vocabulary import (
    CLICK_GRID,
    MODALITIES,
    Modality,
    Protocol,
)
from aims.data.instances import nearest_indices, stretch_nearest
from aims.data.read import Dataset, Image, ImageRef
from aims.sensors.scaling import IMAGENET, published_constants, scale, stream_to_read

log = logging.getLogger(__name__)


def choose_dataset(
    datasets: Sequence[Dataset], modality: str, protocol: Protocol, name: str | None = None
) -> tuple[Dataset, Modality]:
    """Finds the dataset that carries a modality.

    Args:
        datasets: the datasets at hand.
        modality: a listed modality, a stream of a dataset, stored or derived ("rgb" is its picture), or
            "rgb-" and a stream: the picture with the stream stacked behind it.
        protocol: may read another stream in place of a listed one (the paper's folded angle).
        name: the dataset to use; None if the modality decides.

    Returns:
        The dataset, and the modality with the streams to read and their channels.

    Raises:
        InputError: unknown names, no dataset that has the streams, or several that have them.
    """
    if name is not None:
        if name not in {dataset.name for dataset in datasets}:
            raise unknown_name("dataset", name, {dataset.name for dataset in datasets})
        datasets = [dataset for dataset in datasets if dataset.name == name]
    listed = MODALITIES.get(modality) or _own_modality(modality, datasets)
    candidates = [dataset for dataset in datasets if set(listed.streams) <= set(dataset.streams)]
    if not candidates:
        if modality not in MODALITIES:
            raise unknown_name(
                "modality", modality, set(MODALITIES).union(*(dataset.streams for dataset in datasets))
            )
        held = "; ".join(f"{d.name} has {', '.join(sorted(d.streams))}" for d in datasets)
        raise InputError(f"no dataset has the streams of {modality} ({', '.join(listed.streams)}): {held}")
    preferred = [d for known in listed.datasets for d in candidates if d.name == known]
    if not preferred and len(candidates) > 1:
        names = ", ".join(dataset.name for dataset in candidates)
        raise InputError(f"several datasets carry {modality}: {names}; choose one with --dataset")
    dataset = (preferred or candidates)[0]
    channels = sum(dataset.streams[stream].channels for stream in listed.streams)
    if listed.channels not in (None, channels):
        raise InputError(
            f"{dataset.name}: {modality} has {listed.channels} channels, but the streams hold {channels}; "
            "give the stream a name of its own"
        )
    streams = tuple(stream_to_read(stream, dataset.derived, protocol) for stream in listed.streams)
    return dataset, replace(listed, streams=streams, channels=channels)


def _own_modality(name: str, datasets: Sequence[Dataset]) -> Modality:
    """A modality that is not listed: a stream, or RGB with a stream."""
    streams = {stream for dataset in datasets for stream in dataset.streams}
    sensor = name.removeprefix("rgb-")
    stacked = name not in streams and sensor != name and sensor in streams
    return Modality(name=name, streams=("rgb", sensor) if stacked else (name,))


def stack(
    image: Image, dataset: Dataset, modality: Modality, protocol: Protocol
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Scales the streams of a modality and stacks them: (height, width, channels) and its validity."""
    parts = [scale(image.streams[name], name, dataset.streams[name], protocol) for name in modality.streams]
    return np.concatenate([part for part, _ in parts], 2), np.concatenate([valid for _, valid in parts], 2)


class Channels(NamedTuple):
    """The stacked channels of an image at its own size, not normalised: what readers hand to the device.

    Attributes:
        values: scaled, where valid.
        valid: False where nothing was measured.
    """

    values: Float[Tensor, "height width channels"]
    valid: Bool[Tensor, "height width channels"]

    @classmethod
    def of(cls, image: Image, dataset: Dataset, modality: Modality, protocol: Protocol) -> Channels:
        """Scales and stacks the streams of a modality."""
        return cls(*map(torch.from_numpy, stack(image, dataset, modality, protocol)))

    def pinned(self) -> Channels:
        """The same in page-locked memory."""
        return Channels(*(tensor.pin_memory() for tensor in self))


def to_input(
    channels: Channels, preprocessing: Preprocessing, size: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "channels size size"]:
    """Normalises stacked channels and stretches them to the model's square input, on a device.

    Bilinear without antialiasing, aspect not kept (protocol.md). Pixels without a measurement become 0, the
    mean of the normalised data.
    """
    values, valid = (tensor.to(device, non_blocking=True) for tensor in channels)
    mean, std, order = _constants(preprocessing, torch.device(device))
    normal = torch.where(valid, (values.double() - mean) / std, 0.0).float()
    channels_first = normal.index_select(2, order).permute(2, 0, 1)[None].contiguous()
    return F.interpolate(channels_first, (size, size), mode="bilinear", align_corners=False)[0]


@lru_cache(maxsize=8)
def _constants(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Means, deviations (in float64, as the statistics are) and channel order: copied to a device once."""
    # Kept ones must be of use to a training, too, when an evaluation was the first to ask.
    with torch.inference_mode(False):
        mean, std = (
            torch.tensor(values, dtype=torch.float64, device=device)
            for values in (preprocessing.mean, preprocessing.std)
        )
        return mean, std, torch.tensor(preprocessing.channel_order, device=device)


def click_grid(instances: NDArray[Any]) -> NDArray[Any]:
    """An instance map, or the mask of one instance, on the protocols' 1024 x 1024 grid."""
    return stretch_nearest(instances, (CLICK_GRID, CLICK_GRID))


def usable_instances(
    instances: NDArray[np.uint16], protocol: Protocol, dataset: str, *, training: bool
) -> NDArray[np.int64]:
    """Ids of an instance map that a protocol trains on, or scores, by both of its rules of size."""
    smallest = protocol.smallest_area(dataset, training=training)
    # Counted on the map itself, by how often the grid repeats each of its pixels.
    down, across = (
        np.bincount(nearest_indices(side, CLICK_GRID), minlength=side) for side in instances.shape
    )
    area = np.bincount(instances.ravel(), weights=np.outer(down, across).ravel())
    area[0] = 0
    recorded = np.bincount(instances.ravel())
    return np.flatnonzero((area >= smallest) & (recorded >= protocol.min_recorded))


def reduce_grid(grid: NDArray[Any], side: int, protocol: Protocol) -> NDArray[Any]:
    """A map on the 1024 x 1024 grid on a smaller square grid, by the protocol's rule."""
    return stretch_nearest(grid, (side, side), protocol.reduction)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one pass over the training part finds.

    Attributes:
        preprocessing: scaling constants.
        usable: the images with an instance of sufficient size.
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
    on_progress: Callable[[int], None] = lambda images: None,
) -> Survey:
    """Reads the training part once: channel statistics, and which images can be trained on.

    Args:
        dataset: the dataset.
        modality: what is stacked.
        refs: images of the training part.
        protocol: scaling and sizes.
        shuffle_seed: of the channel order where RGB is stacked with a sensor; None keeps RGB in front.
        on_progress: called with the number of further images that are read.

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
        values, valid = stack(image, dataset, modality, protocol)
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
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    if (std == 0).any():
        log.warning("%s: a channel of %s is constant over the training part", dataset.name, modality.name)
    measured = (mean, np.where(std > 0, std, 1))
    return Survey(
        preprocessing=_preprocessing(dataset, modality, protocol, shuffle_seed, measured),
        usable=tuple(usable),
    )


def _preprocessing(
    dataset: Dataset,
    modality: Modality,
    protocol: Protocol,
    shuffle_seed: int | None,
    measured: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Preprocessing:
    mean, std = (list(values.tolist()) for values in measured)
    sources = []
    for stream in modality.streams:
        source, constants = "training part", None
        if protocol.constants == "published":
            source, constants = "published", published_constants(dataset.name, stream)
        elif stream == "rgb":
            source, constants = "ImageNet", IMAGENET
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
    """Names the source of the constants, and each stream with another source."""
    usual = "published" if "published" in sources else "training part"
    others = (f"{name}: {source}" for name, source in zip(streams, sources, strict=True) if source != usual)
    return "; ".join((usual, *others))


def _channels_of(stream: str, dataset: Dataset, modality: Modality) -> tuple[int, int]:
    """First and one past the last of the stacked channels that are a stream's."""
    before = modality.streams[: modality.streams.index(stream)]
    first = sum(dataset.streams[name].channels for name in before)
    return first, first + dataset.streams[stream].channels
