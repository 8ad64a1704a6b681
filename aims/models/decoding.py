"""segment-anything's mask decoder, computed for many prompts on several images at once.

The same layers with the same weights give the same masks up to rounding (parity tests), for less:

- until the image's tokens have first read the prompt, they are the same for all prompts of an image, and
  with them their projections in the first block: computed once an image;
- of the four masks of the multi-mask decoder one is wanted: only its token is upscaled to a mask;
- the upscaling's transposed convolutions do not overlap, so they are products for every token; pixels are
  put in order last, when one channel is left.

Layers that a tuning has replaced are called as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.segment_anything import sam_modeling


def is_stock_decoder(decoder: nn.Module) -> bool:
    """Whether a decoder is segment-anything's, whatever a tuning made of its layers."""
    return isinstance(decoder, sam_modeling().MaskDecoder)


def decode_masks(
    decoder: Any,
    *,
    image_embeddings: Float[Tensor, "images dim height width"],
    image_pe: Float[Tensor, "1 dim height width"],
    sparse: Float[Tensor, "prompts points dim"],
    dense: Float[Tensor, "1 dim height width"],
) -> tuple[Float[Tensor, "prompts 1 4*height 4*width"], Float[Tensor, "prompts 1"]]:
    """What the decoder answers to equally many prompts on each image, with `multimask_output=False`.

    Args:
        decoder: a stock decoder.
        image_embeddings: of the images.
        image_pe: positions of the image's tokens.
        sparse: tokens of the prompts, image by image.
        dense: what all prompts add to the image.

    Returns:
        Mask logits, and the IoU predicted for each.
    """
    height, width = image_embeddings.shape[2:]
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)
    image = (image_embeddings + dense).flatten(2).transpose(1, 2)
    positions = image_pe.flatten(2).transpose(1, 2)
    transformer = decoder.transformer
    queries = tokens
    for block in transformer.layers:
        queries, image = _two_way(block, queries, image, tokens, positions)
    asked = _ask_image(transformer.final_attn_token_to_image, queries + tokens, image, positions)
    queries = transformer.norm_final_attn(queries + asked)
    hyper = decoder.output_hypernetworks_mlps[0](queries[:, 1])
    logits = _upscale(decoder.output_upscaling, image, hyper, (height, width))
    return logits, decoder.iou_prediction_head(queries[:, 0])[:, :1]


def _two_way(
    block: Any,
    queries: Float[Tensor, "prompts tokens dim"],
    image: Float[Tensor, "images pixels dim"],
    tokens: Float[Tensor, "prompts tokens dim"],
    positions: Float[Tensor, "1 pixels dim"],
) -> tuple[Float[Tensor, "prompts tokens dim"], Float[Tensor, "prompts pixels dim"]]:
    """`TwoWayAttentionBlock.forward`; the image's tokens may be those of an image or of a prompt."""
    if block.skip_first_layer_pe:
        queries = block.self_attn(q=queries, k=queries, v=queries)
    else:
        placed = queries + tokens
        queries = queries + block.self_attn(q=placed, k=placed, v=queries)
    queries = block.norm1(queries)
    queries = queries + _ask_image(block.cross_attn_token_to_image, queries + tokens, image, positions)
    queries = block.norm2(queries)
    queries = block.norm3(queries + block.mlp(queries))
    answer = _ask_tokens(block.cross_attn_image_to_token, image, positions, queries + tokens, queries)
    return queries, block.norm4(_each(image, len(queries)) + answer)


def _ask_image(
    attention: Any,
    queries: Float[Tensor, "prompts tokens dim"],
    image: Float[Tensor, "images pixels dim"],
    positions: Float[Tensor, "1 pixels dim"],
) -> Float[Tensor, "prompts tokens dim"]:
    """Tokens attend to the image: those of all prompts of an image at once."""
    if not _is_stock(attention):
        image = _each(image, len(queries))
        replaced: Tensor = attention(q=queries, k=image + positions, v=image)
        return replaced
    images, count = len(image), queries.shape[1]
    # One image's prompts lie one after the other, so their tokens make one sequence.
    q = _split_heads(attention.q_proj(queries).reshape(images, -1, attention.internal_dim), attention)
    k = _split_heads(attention.k_proj(image + positions), attention)
    v = _split_heads(attention.v_proj(image), attention)
    read = _attend(q, k, v).transpose(1, 2).reshape(-1, count, attention.internal_dim)
    result: Tensor = attention.out_proj(read)
    return result


def _ask_tokens(
    attention: Any,
    image: Float[Tensor, "images pixels dim"],
    positions: Float[Tensor, "1 pixels dim"],
    keys: Float[Tensor, "prompts tokens dim"],
    values: Float[Tensor, "prompts tokens dim"],
) -> Float[Tensor, "prompts pixels dim"]:
    """The image's tokens attend to the prompt's."""
    if not _is_stock(attention):
        replaced: Tensor = attention(q=_each(image + positions, len(keys)), k=keys, v=values)
        return replaced
    q = _each(_split_heads(attention.q_proj(image + positions), attention), len(keys))
    k, v = (_split_heads(each, attention) for each in (attention.k_proj(keys), attention.v_proj(values)))
    read = _attend(q, k, v).transpose(1, 2).flatten(2)
    result: Tensor = attention.out_proj(read)
    return result


def _is_stock(attention: nn.Module) -> bool:
    return type(attention) is sam_modeling().transformer.Attention


def _each(per_image: Float[Tensor, "images ..."], prompts: int) -> Float[Tensor, "prompts ..."]:
    """One of each prompt's own, from those of the images."""
    times = prompts // len(per_image)
    return per_image if times == 1 else per_image.repeat_interleave(times, dim=0)


def _split_heads(tokens: Tensor, attention: Any) -> Float[Tensor, "batch heads tokens head_dim"]:
    batch, count, width = tokens.shape
    return tokens.view(batch, count, attention.num_heads, width // attention.num_heads).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scale: float = q.shape[-1] ** -0.5
    return ((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1) @ v


def _upscale(
    upscaling: Any,
    image: Float[Tensor, "prompts pixels dim"],
    hyper: Float[Tensor, "prompts channels"],
    grid: tuple[int, int],
) -> Float[Tensor, "prompts 1 4*height 4*width"]:
    """The product of each prompt's vector with its image's tokens, upscaled four times."""
    first, norm, activation, second, last_activation = upscaling
    (prompts, _, _), (height, width) = image.shape, grid
    fine = _spread(image, first)
    fine = activation(F.layer_norm(fine, fine.shape[-1:], norm.weight, norm.bias, norm.eps))
    finest = last_activation(_spread(fine, second))
    logits = torch.einsum("pnijc,pc->pnij", finest, hyper)
    placed = logits.view(prompts, height, width, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6)
    return placed.reshape(prompts, 1, 4 * height, 4 * width)


def _spread(values: Float[Tensor, "... inputs"], convolution: Any) -> Float[Tensor, "... 4 outputs"]:
    """A transposed convolution of 2 x 2 with stride 2: what a pixel becomes, row by row."""
    inputs, outputs = convolution.weight.shape[:2]
    weight = convolution.weight.permute(2, 3, 1, 0).reshape(4 * outputs, inputs)
    return F.linear(values, weight, convolution.bias.repeat(4)).view(*values.shape[:-1], 4, outputs)
