"""What an export is compared with: a run's model on random recordings, clicks, boxes and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from aims.core.schema import Array, StreamSpec
from aims.core.vocabulary import find_protocol
from aims.engine.export.formats import Origin
from aims.engine.export.graph import DECODER_INPUTS, encoder_inputs, mask_input_side
from aims.engine.inputs import Channels, to_input
from aims.engine.restore import preprocessing_of
from aims.models.features import Features, maps_of
from aims.models.merging import largest_difference
from aims.models.segmenter import Segmenter
from aims.sensors.scaling import scale

_SIZE = (53, 71)


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """Several prompts of one kind, as `Segmenter.decode` takes them."""

    point_coords: Tensor
    point_labels: Tensor
    boxes: Tensor | None = None
    masks: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A model's outputs: features of one recording, and logits and predicted IoU by prompts."""

    features: Features
    mask_logits: list[Tensor]
    iou_predictions: list[Tensor]

    def differences(self, other: Answers) -> dict[str, float]:
        """Returns the largest differences from the outputs of an export, by output."""
        pairs = {
            "image_embeddings": list(zip(maps_of(self.features), maps_of(other.features), strict=True)),
            "mask_logits": list(zip(self.mask_logits, other.mask_logits, strict=True)),
            "iou_predictions": list(zip(self.iou_predictions, other.iou_predictions, strict=True)),
        }
        return {name: max(largest_difference(*pair) for pair in each) for name, each in pairs.items()}


def random_prompts(model: Segmenter) -> list[Prompts]:
    """Makes one click, several clicks, boxes, a click within a box, and a click with a mask."""
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    size, side = model.image_size, mask_input_side(model)
    corners = torch.cat([some(2, 2) * size / 2, (1 + some(2, 2)) * size / 2], dim=1)
    clicks = torch.tensor([[1, 0, 1], [1, 1, -1], [0, 1, 0]])
    one = torch.ones(2, 1, dtype=torch.int64)
    return [
        Prompts(point_coords=some(1, 1, 2) * size, point_labels=one[:1]),
        Prompts(point_coords=some(3, 3, 2) * size, point_labels=clicks),
        Prompts(point_coords=some(2, 0, 2), point_labels=one[:, :0], boxes=corners),
        Prompts(point_coords=some(2, 1, 2) * size, point_labels=one, boxes=corners),
        Prompts(point_coords=some(2, 1, 2) * size, point_labels=one, masks=20 * some(2, 1, side, side) - 10),
    ]


def decoder_tensors(embeddings: Tensor, prompts: Prompts, side: int) -> dict[str, Tensor]:
    """Returns embeddings and prompts as `PromptDecoder` takes them, by the names of its inputs."""
    coords, labels = prompts.point_coords, prompts.point_labels.float()
    count = len(coords)
    if prompts.boxes is None:
        coords = torch.cat([coords, torch.zeros(count, 1, 2)], dim=1)
        labels = torch.cat([labels, torch.full((count, 1), -1.0)], dim=1)
    else:
        coords = torch.cat([coords, prompts.boxes.reshape(count, 2, 2)], dim=1)
        labels = torch.cat([labels, torch.tensor([[2.0, 3.0]]).expand(count, -1)], dim=1)
    masks = torch.zeros(count, 1, side, side) if prompts.masks is None else prompts.masks
    values = (embeddings, coords, labels, masks, torch.tensor([float(prompts.masks is not None)]))
    return dict(zip(DECODER_INPUTS, values, strict=True))


def random_recording(given: Mapping[str, Any]) -> dict[str, Array]:
    """Makes an array as it is stored for each stream, with missing values and values out of range.

    Args:
        given: how a recording becomes an input, "input" of model.json.
    """
    rng = np.random.default_rng(0)
    return {stream["name"]: _random_array(rng, stream) for stream in given["streams"]}


def _random_array(rng: np.random.Generator, stream: Mapping[str, Any]) -> Array:
    shape = (*_SIZE, stream["channels"])
    if stream["scaling"] == "type":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    low, high = stream["valid_range"] or (0.0, 1.0)
    array = rng.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), shape).astype(np.float32)
    array[10:20, 30:50] = np.nan
    if stream["missing"] is not None:
        array[20:30, :25] = stream["missing"]
    return array


def encoder_tensors(given: Mapping[str, Any], recording: Mapping[str, Array]) -> dict[str, Tensor]:
    """Returns a recording as `RawEncoder` takes it, by the names of its inputs."""
    full_scale = torch.tensor(255.0)
    arrays = {name: torch.from_numpy(array).float() for name, array in recording.items()}
    return {name: arrays.get(name, full_scale) for name in encoder_inputs(given)}


def model_input(origin: Origin, recording: Mapping[str, Array], size: int) -> Tensor:
    """Turns a recording into an input as training did, (1, channels, size, size)."""
    facts = origin.record.content.dataset
    streams = (facts.streams or {}) if facts else {}
    protocol = find_protocol(origin.record.config.protocol)
    scaled = [
        scale(array, name, StreamSpec(**msgspec.structs.asdict(streams[name])), protocol)
        for name, array in recording.items()
    ]
    values, valid = (np.concatenate(parts, 2) for parts in zip(*scaled, strict=True))
    channels = Channels(torch.from_numpy(values), torch.from_numpy(valid))
    return to_input(channels, preprocessing_of(origin.record), size)[None]


def answers(model: Segmenter, images: Tensor, prompts: list[Prompts]) -> Answers:
    """Computes a model's outputs with its layers not folded; no parameter requires a gradient afterwards."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    # Gradients are enabled, as LoRA layers fold without them, which would compare folded with folded weights.
    with torch.enable_grad():
        features = model.embed(images)
        decoded = [
            model.decode(features, each.point_coords, each.point_labels, each.boxes, each.masks)
            for each in prompts
        ]
    return collect(features, decoded)


def collect(features: Features, decoded: Sequence[tuple[Tensor, ...]]) -> Answers:
    """Builds answers from features and the outputs for each of the prompts."""
    logits, iou = zip(*decoded, strict=True)
    return Answers(features=features, mask_logits=[*logits], iou_predictions=[*iou])
