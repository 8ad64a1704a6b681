"""segment-anything's prompt encoder for points, boxes and masks, without synchronizing with a GPU.

The original selects the points of each label with boolean masks, which synchronize with a GPU six times per
call. Here `torch.where` gives every point the embedding of its label. The results are bit-identical.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.segment_anything import sam_modeling

_NOT_A_POINT = -1


def is_stock_prompt_encoder(encoder: nn.Module) -> bool:
    """Whether a prompt encoder is segment-anything's."""
    return type(encoder) is sam_modeling().PromptEncoder


def embed_prompts(
    encoder: Any,
    point_coords: Float[Tensor, "prompts points 2"],
    point_labels: Int[Tensor, "prompts points"],
    boxes: Float[Tensor, "prompts 4"] | None,
    masks: Float[Tensor, "prompts 1 4*height 4*width"] | None = None,
) -> tuple[Float[Tensor, "prompts tokens dim"], Float[Tensor, "dense dim height width"]]:
    """Computes `encoder(points=(point_coords, point_labels), boxes=boxes, masks=masks)`.

    Args:
        encoder: a stock prompt encoder.
        point_coords: (x, y) in pixels of the model input.
        point_labels: 1 for object, 0 for background, -1 for padding.
        boxes: (left, top, right, bottom), or None.
        masks: mask logits, or None.

    Returns:
        The tokens of each prompt, and the dense embedding that is added to the image: one for all prompts
        without masks, else one for each.
    """
    if boxes is None:
        # Without a box, segment-anything appends a padding point.
        point_coords = F.pad(point_coords, (0, 0, 0, 1), value=-0.5)
        point_labels = F.pad(point_labels, (0, 1), value=_NOT_A_POINT)
    tokens = embed_points(encoder, point_coords, point_labels)
    if boxes is not None:
        tokens = torch.cat([tokens, encoder._embed_boxes(boxes)], dim=1)
    if masks is not None:
        return tokens, encoder._embed_masks(masks)
    dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    return tokens, dense.expand(-1, -1, *encoder.image_embedding_size)


def embed_points(
    encoder: Any, point_coords: Float[Tensor, "prompts points 2"], point_labels: Tensor
) -> Float[Tensor, "prompts points dim"]:
    """Computes the tokens of points, without a padding point.

    Args:
        encoder: a stock prompt encoder.
        point_coords: (x, y) in pixels of the model input.
        point_labels: (prompts, points): 1 for object, 0 for background, -1 for padding; 2 and 3 for the first
            and the second corner of a box, as in segment-anything's ONNX model.
    """
    # Coordinates count from pixel centres; the encoder's from the corner of the first pixel.
    tokens: Tensor = encoder.pe_layer.forward_with_coords(point_coords + 0.5, encoder.input_image_size)
    labels = point_labels[..., None]
    for label, embedding in enumerate(encoder.point_embeddings):
        tokens = torch.where(labels == label, tokens + embedding.weight, tokens)
    return torch.where(labels == _NOT_A_POINT, encoder.not_a_point_embed.weight, tokens)
