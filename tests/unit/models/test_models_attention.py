"""Attention with extra keys and values, against segment-anything's own and against naive loops."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch
import toys  # noqa: F401
from torch import Tensor, nn

from aims.methods import BACKBONES
from aims.models.attention import FusedAttention, SplitAttention
from aims.models.segmenter import Segmenter
from aims.models.tuning.prompt import Prefix, PrefixTuning, Prompt, PromptTuning

# Float32: sums of some hundred products of about 1, in another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# Windows of 3 on a grid of 8: the last ones are padded.
PADDED = dataclasses.replace(BACKBONES["sam-toy"], window=3)  # type: ignore[type-var]
SPLIT = [
    "layers.0.self_attn",
    "layers.0.cross_attn_token_to_image",
    "layers.1.cross_attn_image_to_token",
    "final_attn_token_to_image",
]


def random_model() -> Segmenter:
    """Random everything: relative positions and norms would be zeros and ones."""
    torch.manual_seed(0)
    model: Segmenter = PADDED.build()
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def extended(tuning: PromptTuning | PrefixTuning) -> tuple[Segmenter, Segmenter]:
    """A plain model and its like with extra tokens, spread so that they matter."""
    plain = random_model()
    model = copy.deepcopy(plain)
    tuning.apply(model)
    for module in model.modules():
        if isinstance(module, Prompt | Prefix):
            for parameter in module.parameters():
                nn.init.normal_(parameter)
    return plain, model.eval()


def naive_softmax(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | float, heads: int) -> Tensor:
    """(tokens, dim), (keys, dim), (keys, dim) -> (tokens, dim), one head after the other."""
    width = queries.shape[-1] // heads
    parts = []
    for head in range(heads):
        columns = slice(head * width, (head + 1) * width)
        logits = queries[:, columns] @ keys[:, columns].T / math.sqrt(width)
        logits += bias[head] if isinstance(bias, Tensor) else bias
        parts.append(torch.softmax(logits, dim=1) @ values[:, columns])
    return torch.cat(parts, dim=1)


def naive_bias(queries: Tensor, attention: Any, side: int, keys: int) -> Tensor:
    """Relative positions by their definition: q . (row difference) + q . (column difference)."""
    heads = attention.num_heads
    bias = torch.zeros(heads, side * side, keys)
    split = queries.reshape(side * side, heads, -1)
    for query in range(side * side):
        for key in range(side * side):
            down, right = query // side - key // side, query % side - key % side
            position = attention.rel_pos_h[down + side - 1] + attention.rel_pos_w[right + side - 1]
            bias[:, query, key] = split[query] @ position
    return bias


def naive_fused(plain: Any, layer: Any, tokens: Tensor) -> Tensor:
    """One window of (side, side, dim), with the extra tokens of `layer`."""
    side = tokens.shape[0]
    queries, keys, values = plain.qkv(tokens.flatten(0, 1)).chunk(3, dim=1)
    if isinstance(layer.extra, Prompt):
        _, extra_keys, extra_values = plain.qkv(layer.extra.tokens).chunk(3, dim=1)
    else:
        extra_keys, extra_values = layer.extra.keys, layer.extra.values
    keys, values = torch.cat([keys, extra_keys]), torch.cat([values, extra_values])
    bias = naive_bias(queries, plain, side, len(keys))
    mixed: Tensor = plain.proj(naive_softmax(queries, keys, values, bias, plain.num_heads))
    return mixed.reshape(tokens.shape)


@torch.no_grad()
@pytest.mark.parametrize("tuning", [PromptTuning(tokens=5), PrefixTuning(tokens=3)])
@pytest.mark.parametrize("block", [0, 1], ids=["windows", "global"])
def test_encoder_blocks_equal_naive_loops(tuning: PromptTuning | PrefixTuning, block: int) -> None:
    plain_model, model = extended(tuning)
    plain: Any = plain_model.image_encoder.blocks[block]
    layer: Any = model.image_encoder.blocks[block]
    assert isinstance(layer.attn, FusedAttention)
    tokens = torch.randn(2, 8, 8, 24)
    window = plain.window_size or 8
    padded = torch.zeros(2, 9, 9, 24) if window == 3 else torch.zeros(2, 8, 8, 24)
    padded[:, :8, :8] = plain.norm1(tokens)
    mixed = torch.zeros_like(padded)
    for image in range(2):
        for top in range(0, len(padded[0]), window):
            for left in range(0, len(padded[0]), window):
                at = (image, slice(top, top + window), slice(left, left + window))
                mixed[at] = naive_fused(plain.attn, layer.attn, padded[at])
    stream = tokens + mixed[:, :8, :8]
    torch.testing.assert_close(layer(tokens), stream + plain.mlp(plain.norm2(stream)), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("tuning", [PromptTuning(tokens=5), PrefixTuning(tokens=3)])
@pytest.mark.parametrize("name", SPLIT)
def test_decoder_attentions_equal_naive_loops(tuning: PromptTuning | PrefixTuning, name: str) -> None:
    plain_model, model = extended(tuning)
    plain: Any = plain_model.mask_decoder.transformer.get_submodule(name)
    layer: Any = model.mask_decoder.transformer.get_submodule(name)
    assert isinstance(layer, SplitAttention)
    q, k, v = torch.randn(2, 4, 16), torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    extra = layer.extra
    extra_k, extra_v = (
        (extra.tokens, extra.tokens) if isinstance(extra, Prompt) else (extra.keys, extra.values)
    )
    expected = [
        naive_softmax(
            plain.q_proj(q[entry]),
            plain.k_proj(torch.cat([k[entry], extra_k])),
            plain.v_proj(torch.cat([v[entry], extra_v])),
            0.0,
            plain.num_heads,
        )
        for entry in range(2)
    ]
    torch.testing.assert_close(layer(q=q, k=k, v=v), plain.out_proj(torch.stack(expected)), **CLOSE)


@pytest.mark.parametrize("kind", [Prompt, Prefix])
@pytest.mark.parametrize("block", [0, 1], ids=["windows", "global"])
def test_without_extra_tokens_it_is_stock_encoder_attention(
    kind: type[Prompt] | type[Prefix], block: int
) -> None:
    stock: Any = random_model().image_encoder.blocks[block].get_submodule("attn")
    layer = FusedAttention(
        qkv=stock.qkv,
        proj=stock.proj,
        num_heads=stock.num_heads,
        scale=stock.scale,
        rel_pos=(stock.rel_pos_h, stock.rel_pos_w),
        extra=kind(count=0, dim=24),
    )
    side = 3 if block == 0 else 8
    tokens = torch.randn(4, side, side, 24)
    # Up to rounding: products may be summed in another order on another processor.
    torch.testing.assert_close(layer(tokens), stock(tokens), rtol=1e-5, atol=1e-6)
    # And where the table is interpolated to a grid of another size.
    tokens = torch.randn(2, 5, 5, 24)
    torch.testing.assert_close(layer(tokens), stock(tokens), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Prompt, Prefix])
@pytest.mark.parametrize("name", SPLIT)
def test_without_extra_tokens_it_is_stock_decoder_attention(
    kind: type[Prompt] | type[Prefix], name: str
) -> None:
    stock: Any = random_model().mask_decoder.transformer.get_submodule(name)
    layer = SplitAttention(
        **dict(stock.named_children()), num_heads=stock.num_heads, extra=kind(count=0, dim=16)
    )
    q, k, v = torch.randn(2, 4, 16), torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    torch.testing.assert_close(layer(q=q, k=k, v=v), stock(q=q, k=k, v=v), **CLOSE)


def test_prompts_have_dropout_while_training_alone() -> None:
    torch.manual_seed(0)
    prompt = Prompt(count=200, dim=300)
    nn.init.ones_(prompt.tokens)
    for_keys, for_values = prompt.inputs(2)
    assert for_keys is for_values
    assert for_keys.shape == (2, 200, 300)
    # Inverted dropout: what stays is scaled by 1 / 0.9. 120,000 draws, standard deviation 0.0009.
    torch.testing.assert_close(for_keys.unique(), torch.tensor([0.0, 1 / 0.9]))
    assert (for_keys == 0).float().mean().item() == pytest.approx(0.1, abs=0.005)
    assert not torch.equal(for_keys[0], for_keys[1])
    prompt.eval()
    assert torch.equal(prompt.inputs(2)[0], torch.ones(1, 200, 300))


def test_prefixes_have_no_dropout() -> None:
    prefix = Prefix(count=3, dim=4).train()
    for_keys, for_values = prefix.inputs(2)
    assert torch.equal(for_keys[0], prefix.keys)
    assert torch.equal(for_values[0], prefix.values)


@pytest.mark.parametrize(("dim", "bound"), [(24, (6 / 72) ** 0.5), (768, (6 / 816) ** 0.5)])
def test_tokens_start_uniform(dim: int, bound: float) -> None:
    torch.manual_seed(0)
    for extra in (Prompt(count=400, dim=dim), Prefix(count=400, dim=dim)):
        for parameter in extra.parameters():
            assert 0.99 * bound < parameter.abs().max() <= bound
            # Of a uniform distribution; at least 9,600 draws.
            assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


@pytest.mark.parametrize("tuning", [PromptTuning(tokens=5), PrefixTuning(tokens=3)])
def test_under_autocast_extra_tokens_have_gradients(tuning: PromptTuning | PrefixTuning) -> None:
    _, model = extended(tuning)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        masks, _ = model.decode(
            model.embed(torch.randn(1, 3, 64, 64)), torch.full((1, 1, 2), 20.0), torch.ones(1, 1).long()
        )
    masks.float().square().sum().backward()
    for name, parameter in model.named_parameters():
        if ".extra." in name:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
