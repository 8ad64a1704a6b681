"""segment-anything's mask decoder, computed for many prompts on several images at once.

The same layers with the same weights give the same masks up to rounding (parity tests), at a lower cost:

- a prompt has a handful of tokens, an image thousands: in the cross-attentions, the projections of the
  image are folded into those of the tokens (q (W x) = (q W) x), so that the image is multiplied with a few
  vectors and never projected;
- tensors that all prompts of an image share are multiplied with those of all prompts in one product;
- only those of the decoder's four masks that are asked for are computed;
- the upscaling's transposed convolutions do not overlap, so they are matrix products per token; pixels are
  rearranged last, when one channel is left.

Layers that a tuning has replaced are called unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.segment_anything import PRIVATE_NAME, sam_modeling

#: Image tokens per chunk of prompts on a CPU, so that they stay in its cache: 8 MB at 256 channels.
CACHED_PIXELS = 1 << 13


def is_stock_decoder(decoder: nn.Module) -> bool:
    """Whether a decoder is segment-anything's, even if a tuning has replaced layers in it."""
    return isinstance(decoder, sam_modeling().MaskDecoder)


def decode_masks(
    decoder: Any,
    *,
    image_embeddings: Float[Tensor, "images dim height width"],
    image_pe: Float[Tensor, "1 dim height width"],
    sparse: Float[Tensor, "prompts points dim"],
    dense: Float[Tensor, "dense dim height width"],
    multimask: bool = False,
) -> tuple[Float[Tensor, "prompts masks mask_height mask_width"], Float[Tensor, "prompts masks"]]:
    """Predicts the masks of every prompt, as the decoder does with `multimask_output=multimask`.

    Args:
        decoder: a stock decoder.
        image_embeddings: embeddings of the images.
        image_pe: positional encoding of the image's tokens.
        sparse: tokens of the prompts, image by image; all images have the same number of prompts.
        dense: embedding that is added to the image: one for all prompts, or one for each.
        multimask: predict the decoder's other masks, which answer an ambiguous prompt, in place of its first.

    Returns:
        Mask logits, and the IoU predicted for each mask.
    """
    height, width = image_embeddings.shape[2:]
    if len(dense) > 1:
        image_embeddings = _per_prompt(image_embeddings, len(sparse))
    image = (image_embeddings + dense).flatten(2).transpose(1, 2)
    positions = image_pe.flatten(2).transpose(1, 2)
    step = len(sparse)
    if sparse.device.type == "cpu" and len(image) == 1 and not torch.is_grad_enabled():
        step = max(1, CACHED_PIXELS // image.shape[1])
    outputs = [
        _decode(decoder, image, positions, sparse[first : first + step], (height, width), multimask)
        for first in range(0, len(sparse), step)
    ]
    logits, iou = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return logits, iou


def _decode(
    decoder: Any,
    image: Float[Tensor, "images pixels dim"],
    positions: Float[Tensor, "1 pixels dim"],
    sparse: Float[Tensor, "prompts points dim"],
    grid: tuple[int, int],
    multimask: bool,
) -> tuple[Float[Tensor, "prompts masks mask_height mask_width"], Float[Tensor, "prompts masks"]]:
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)
    transformer = decoder.transformer
    queries = tokens
    for block in transformer.layers:
        queries, image = _two_way(block, queries, image, tokens, positions)
    placed = image + positions
    update = _attend_to_image(transformer.final_attn_token_to_image, queries + tokens, image, placed)
    queries = transformer.norm_final_attn(queries + update)
    chosen = slice(1, None) if multimask else slice(0, 1)
    hyper = [
        network(queries[:, 1 + k]) for k, network in [*enumerate(decoder.output_hypernetworks_mlps)][chosen]
    ]
    logits = _upscale(decoder.output_upscaling, image, hyper, grid)
    return logits, decoder.iou_prediction_head(queries[:, 0])[:, chosen]


def _two_way(
    block: Any,
    queries: Float[Tensor, "prompts tokens dim"],
    image: Float[Tensor, "images pixels dim"],
    tokens: Float[Tensor, "prompts tokens dim"],
    positions: Float[Tensor, "images pixels dim"],
    *,
    folded: bool = True,
) -> tuple[Float[Tensor, "prompts tokens dim"], Float[Tensor, "prompts pixels dim"]]:
    """Computes `TwoWayAttentionBlock.forward`, with an adapter beside the MLP if the block has one.

    Args:
        block: the block.
        queries: tokens of the prompts.
        image: tokens of each image, or of the image of each prompt.
        tokens: positional encoding of the queries: the tokens before the first block.
        positions: positional encoding of the image's tokens.
        folded: fold the projections of the image into those of the tokens where they are known as matrices.
    """
    if block.skip_first_layer_pe:
        queries = block.self_attn(q=queries, k=queries, v=queries)
    else:
        own = queries + tokens
        queries = queries + block.self_attn(q=own, k=own, v=queries)
    return finish_two_way(block, block.norm1(queries), image, tokens, positions, folded=folded)


def finish_two_way(
    block: Any,
    queries: Float[Tensor, "prompts tokens dim"],
    image: Float[Tensor, "images pixels dim"],
    tokens: Float[Tensor, "prompts tokens dim"],
    positions: Float[Tensor, "images pixels dim"],
    *,
    folded: bool = True,
) -> tuple[Float[Tensor, "prompts tokens dim"], Float[Tensor, "prompts pixels dim"]]:
    """Computes what follows the self-attention and its norm in a two-way block; see `_two_way`."""
    placed = image + positions
    to_image = block.cross_attn_token_to_image
    queries = queries + _attend_to_image(to_image, queries + tokens, image, placed, folded=folded)
    normed = block.norm2(queries)
    update = block.mlp(normed)
    if hasattr(block, "adapter"):
        update = update + block.adapter(queries)
    queries = block.norm3(normed + update)
    to_prompts = block.cross_attn_image_to_token
    update = _attend_to_prompts(to_prompts, placed, queries + tokens, queries, folded=folded)
    return queries, block.norm4(_per_prompt(image, queries.shape[0]) + update)


# The subclass is defined at import, so that models that hold it can be pickled. Any, as mypy does not know
# the classes of a module that is loaded at run time.
_TwoWayBlock: Any = sam_modeling().transformer.TwoWayAttentionBlock


class AdaptedBlock(_TwoWayBlock):  # type: ignore[misc]
    """segment-anything's two-way block with an `adapter` beside its MLP."""

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Computes the stock block with its adapter; the argument names are segment-anything's."""
        return _two_way(self, queries, keys, query_pe, key_pe, folded=False)


def adapt_two_way_block(block: nn.Module, adapter: nn.Module) -> None:
    """Puts an adapter into a block of the stock decoder: norm3(x + mlp(x) + adapter(q)), x = norm2(q).

    The released SimCMF program has the same form (protocol.md, item 10). The block's parts keep their names.

    Args:
        block: segment-anything's `TwoWayAttentionBlock`; its class becomes `AdaptedBlock`, on both paths.
        adapter: the adapter, whose input are the queries before `norm2`.
    """
    changing: Any = block
    changing.adapter = adapter
    changing.__class__ = AdaptedBlock


def _attend_to_image(
    attention: Any,
    queries: Float[Tensor, "prompts tokens dim"],
    image: Float[Tensor, "images pixels dim"],
    placed: Float[Tensor, "images pixels dim"],
    *,
    folded: bool = True,
) -> Float[Tensor, "prompts tokens dim"]:
    """Attends from tokens to the image: keys are its tokens with positional encoding, values without."""
    if not (folded and _is_plain(attention)):
        keys, values = (_per_prompt(tokens, queries.shape[0]) for tokens in (placed, image))
        replaced: Tensor = attention(q=queries, k=keys, v=values)
        return replaced
    q = _split_heads(attention.q_proj(queries), attention) * _scale(attention)
    # The key projection's bias is left out: it shifts all logits of a query equally, which softmax ignores.
    into_image = torch.einsum("pthc,hcd->phtd", q, _by_head(attention.k_proj, attention))
    weights = _times(into_image, placed.transpose(1, 2)).softmax(dim=-1)
    values = torch.einsum("phtd,hcd->pthc", _times(weights, image), _by_head(attention.v_proj, attention))
    result: Tensor = attention.out_proj(values.flatten(2) + attention.v_proj.bias)
    return result


def _attend_to_prompts(
    attention: Any,
    placed: Float[Tensor, "images pixels dim"],
    keys: Float[Tensor, "prompts tokens dim"],
    values: Float[Tensor, "prompts tokens dim"],
    *,
    folded: bool,
) -> Float[Tensor, "prompts pixels dim"]:
    """Attends from the image's tokens, with positional encoding, to the prompt's."""
    if not (folded and _is_plain(attention)):
        replaced: Tensor = attention(q=_per_prompt(placed, keys.shape[0]), k=keys, v=values)
        return replaced
    k, v = (_split_heads(each, attention) for each in (attention.k_proj(keys), attention.v_proj(values)))
    k = k * _scale(attention)
    into_image = torch.einsum("pthc,hcd->phtd", k, _by_head(attention.q_proj, attention))
    bias = torch.einsum("pthc,hc->pht", k, attention.q_proj.bias.view(k.shape[2:]))
    weights = (_times(into_image, placed.transpose(1, 2)) + bias[..., None]).softmax(dim=2)
    out = _by_head(attention.out_proj, attention, of_inputs=True)
    # The weights of each head sum to one, so 1 / heads of the bias per head adds up to the bias.
    projected = torch.einsum("pthc,hcd->phtd", v, out) + attention.out_proj.bias / attention.num_heads
    result: Tensor = weights.flatten(1, 2).transpose(1, 2) @ projected.flatten(1, 2)
    return result


def _is_plain(attention: nn.Module) -> bool:
    """Whether an attention is the stock one, with projections that are linear layers or fold into one."""
    # Compared by name, as torch.compile cannot trace the import of the class.
    kind = type(attention)
    if (kind.__module__, kind.__qualname__) != (f"{PRIVATE_NAME}.transformer", "Attention"):
        return False
    layers = [attention.get_submodule(name) for name in ("q_proj", "k_proj", "v_proj", "out_proj")]
    return all(type(layer) is nn.Linear or hasattr(layer, "folded_weight") for layer in layers)


def _by_head(layer: Any, attention: Any, *, of_inputs: bool = False) -> Float[Tensor, "heads head_dim dim"]:
    """Returns the matrix of a projection, its outputs or its inputs split among the heads."""
    weight: Tensor = layer.weight if type(layer) is nn.Linear else layer.folded_weight()
    weight = weight.t() if of_inputs else weight
    return weight.reshape(attention.num_heads, -1, weight.shape[1])


def _split_heads(tokens: Tensor, attention: Any) -> Float[Tensor, "batch tokens heads head_dim"]:
    return tokens.view(*tokens.shape[:-1], attention.num_heads, -1)


def _scale(attention: Any) -> float:
    return float((attention.internal_dim // attention.num_heads) ** -0.5)


def _times(
    left: Float[Tensor, "prompts heads tokens inner"], right: Float[Tensor, "images inner outer"]
) -> Float[Tensor, "prompts heads tokens outer"]:
    """Multiplies the matrix of each prompt with that of its image; `right` may also have one per prompt.

    The prompts of an image are consecutive.
    """
    return (left.reshape(len(right), -1, left.shape[-1]) @ right).view(*left.shape[:-1], right.shape[-1])


def _per_prompt(per_image: Float[Tensor, "images ..."], prompts: int) -> Float[Tensor, "prompts ..."]:
    """Repeats the tensor of each image for each of its prompts, which are consecutive."""
    if per_image.shape[0] in (1, prompts):
        return per_image.expand(prompts, *per_image.shape[1:])
    return per_image.repeat_interleave(prompts // per_image.shape[0], dim=0)


def _upscale(
    upscaling: Any,
    image: Float[Tensor, "prompts pixels dim"],
    hyper: Sequence[Float[Tensor, "prompts channels"]],
    grid: tuple[int, int],
) -> Float[Tensor, "prompts masks mask_height mask_width"]:
    """Doubles the image's tokens once per convolution and multiplies them with each prompt's vectors."""
    first, norm, activation, *later = upscaling
    (prompts, _, _), (height, width) = image.shape, grid
    fine = _spread(image, first)
    fine = activation(F.layer_norm(fine, fine.shape[-1:], norm.weight, norm.bias, norm.eps))
    for convolution, activation in zip(later[::2], later[1::2], strict=True):
        fine = activation(_spread(fine, convolution))
    times = 1 + len(later) // 2
    # Rows of all convolutions first, then their columns.
    rows, columns = range(3, 3 + 2 * times, 2), range(4, 4 + 2 * times, 2)
    masks = []
    for vectors in hyper:
        logits = torch.einsum("p...c,pc->p...", fine, vectors)
        placed = logits.view(prompts, height, width, *[2] * (2 * times)).permute(0, 1, *rows, 2, *columns)
        masks.append(placed.reshape(prompts, 1, height << times, width << times))
    return masks[0] if len(masks) == 1 else torch.cat(masks, 1)


def _spread(values: Float[Tensor, "... inputs"], convolution: Any) -> Float[Tensor, "... 4 outputs"]:
    """Applies a 2 x 2 transposed convolution of stride 2; the 4 pixels of a token are in row-major order."""
    inputs, outputs = convolution.weight.shape[:2]
    weight = convolution.weight.permute(2, 3, 1, 0).reshape(4 * outputs, inputs)
    return F.linear(values, weight, convolution.bias.repeat(4)).view(*values.shape[:-1], 4, outputs)
