"""A model as two modules that torch can trace: raw recordings to embeddings, and prompts to masks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from aims.engine.export.description import describe_input
from aims.engine.export.formats import Origin
from aims.models.merging import fold_layers
from aims.models.prompting import embed_points, is_stock_prompt_encoder
from aims.models.segmenter import Segmenter

#: Inputs of the decoder in their order, with the names of segment-anything's own ONNX model, and the outputs.
DECODER_INPUTS = ("image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input")
ENCODER_OUTPUTS, DECODER_OUTPUTS = ("image_embeddings",), ("mask_logits", "iou_predictions")


class RawEncoder(nn.Module):
    """Raw recordings to image embeddings: scaling, normalisation, resizing, alignment, image encoder.

    Args:
        model: the run's model.
        given: how a recording becomes an input, "input" of model.json.
        half: whether alignment and encoder compute in float16.
    """

    mean: Tensor
    std: Tensor
    order: Tensor

    def __init__(self, model: Segmenter, given: Mapping[str, Any], *, half: bool) -> None:
        super().__init__()
        self.model = model
        self.streams: list[dict[str, Any]] = given["streams"]
        self.size: int = given["size"]
        self.dtype = torch.float16 if half else torch.float32
        self.register_buffer("mean", torch.tensor(given["mean"]))
        self.register_buffer("std", torch.tensor(given["std"]))
        self.register_buffer("order", torch.tensor(given["channel_order"]))

    def forward(self, *recording: Tensor) -> Tensor:
        """Encodes one recording.

        Args:
            recording: in the order of `encoder_inputs`: (height, width, channels) float32 for each stream,
                then the scalars.

        Returns:
            (1, dim, rows, columns) float32.
        """
        scales = iter(recording[len(self.streams) :])
        values, valid = [], []
        for array, stream in zip(recording, self.streams, strict=False):
            full_scale = next(scales) if stream["scaling"] == "type" else None
            scaled, measured = _scale(array, stream, full_scale)
            values.append(scaled)
            valid.append(measured)
        normal = (torch.cat(values, 2) - self.mean) / self.std
        normal = torch.where(torch.cat(valid, 2), normal, 0.0).index_select(2, self.order)
        images = F.interpolate(
            normal.permute(2, 0, 1)[None], (self.size, self.size), mode="bilinear", align_corners=False
        )
        features = self.model.embed(images.to(self.dtype))
        assert isinstance(features, Tensor)
        return features.float()


def encoder_inputs(given: Mapping[str, Any]) -> list[str]:
    """Names the inputs of `RawEncoder`: streams, then full scales of those that are scaled by their type."""
    streams = given["streams"]
    return [stream["name"] for stream in streams] + [
        f"{stream['name']}_full_scale" for stream in streams if stream["scaling"] == "type"
    ]


def _scale(array: Tensor, stream: Mapping[str, Any], full_scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """Computes `aims.sensors.scaling.scale` in torch, by the rule's name in model.json."""
    valid = array.isfinite()
    if stream["missing"] is not None:
        valid = valid & (array != stream["missing"])
    values = torch.where(valid, array, 0.0)
    if stream["scaling"] == "min-max":
        # Without any measurement both are 0, and so is the result.
        low = torch.where(valid, values, math.inf).amin()
        high = torch.where(valid, values, -math.inf).amax()
        low, high = (torch.where(bound.isfinite(), bound, 0.0) for bound in (low, high))
        span = torch.where(high > low, high - low, 1.0)
        return ((values - low) / span * 255).floor().clamp(0, 255) / 255, valid
    if stream["scaling"] == "valid-range":
        low, high = stream["valid_range"]
        return ((values - low) / (high - low)).clamp(0, 1), valid
    assert full_scale is not None
    return values / full_scale, valid


class PromptDecoder(nn.Module):
    """Prompts on one image to a mask each, with the inputs of segment-anything's own ONNX model.

    Args:
        model: the run's model, with segment-anything's prompt encoder.
        half: whether the decoder computes in float16; prompts are encoded in float32.
    """

    def __init__(self, model: Segmenter, *, half: bool) -> None:
        super().__init__()
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.dtype = torch.float16 if half else torch.float32

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decodes any number of prompts.

        Args:
            image_embeddings: (1, dim, rows, columns).
            point_coords: (prompts, points, 2), (x, y) in pixels of the model input.
            point_labels: (prompts, points) float32: 1 object, 0 background, 2 and 3 first and second corner
                of a box, -1 padding, of which a prompt without a box has one or more.
            mask_input: (prompts, 1, 4 rows, 4 columns) mask logits.
            has_mask_input: (1,): 1 to use `mask_input`, 0 to ignore it.

        Returns:
            Mask logits (prompts, 1, height, width), and the predicted IoU of each, (prompts, 1).
        """
        encoder = self.prompt_encoder
        sparse = embed_points(encoder, point_coords, point_labels)
        without = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = has_mask_input * encoder.mask_downscaling(mask_input) + (1 - has_mask_input) * without
        mask_logits, iou_predictions = self.mask_decoder(
            image_embeddings=image_embeddings.to(self.dtype),
            image_pe=encoder.get_dense_pe().to(self.dtype),
            sparse_prompt_embeddings=sparse.to(self.dtype),
            dense_prompt_embeddings=dense.to(self.dtype),
            multimask_output=False,
        )
        return mask_logits.float(), iou_predictions.float()


def graph_objection(origin: Origin, shapes: Segmenter) -> str | None:
    """Returns why a model cannot be traced from raw recordings to masks; None if it can."""
    if not is_stock_prompt_encoder(shapes.prompt_encoder):
        return f"its prompt encoder, {type(shapes.prompt_encoder).__name__}, is not segment-anything's"
    streams = describe_input(origin)["streams"]
    unknown = [stream["name"] for stream in streams if stream["scaling"] is None or "unit" not in stream]
    if unknown:
        return f"its record does not say how {', '.join(unknown)} was scaled (`aims run ... --fresh` will)"
    return None


@torch.no_grad()
def trace(origin: Origin, model: Segmenter) -> tuple[ExportedProgram, ExportedProgram]:
    """Traces encoder and decoder; the size of recordings and the number of prompts and points stay free.

    The model's layers are folded, its path becomes "stock", and with `origin.half` it becomes float16.
    """
    given = describe_input(origin)
    fold_layers(model)
    model.path = "stock"
    if origin.half:
        for part in (model.alignment, model.image_encoder, model.mask_decoder):
            part.half()
    arrays = [torch.zeros(48, 64, stream["channels"]) for stream in given["streams"]]
    scalars = [torch.tensor(1.0)] * (len(encoder_inputs(given)) - len(arrays))
    sizes: Sequence[Any] = [{0: Dim.DYNAMIC, 1: Dim.DYNAMIC}] * len(arrays) + [{}] * len(scalars)
    encoder = torch.export.export(
        RawEncoder(model, given, half=origin.half).eval(), (*arrays, *scalars), dynamic_shapes=(tuple(sizes),)
    )
    side, prompts = mask_input_side(model), 3
    examples = (
        torch.zeros(1, model.prompt_encoder.embed_dim, *model.prompt_encoder.image_embedding_size),
        torch.zeros(prompts, 2, 2),
        torch.zeros(prompts, 2),
        torch.zeros(prompts, 1, side, side),
        torch.zeros(1),
    )
    points = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    decoder = torch.export.export(
        PromptDecoder(model, half=origin.half).eval(),
        examples,
        dynamic_shapes=({}, points, points, {0: Dim.DYNAMIC}, {}),
    )
    return encoder, decoder


def mask_input_side(model: Segmenter) -> int:
    """Returns the side of the mask logits that the prompt encoder takes, in pixels."""
    return model.mask_prompt_size[0]
