"""Prompt tuning and prefix tuning: learned tokens that every attention reads beside the image's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aims.core.errors import InputError, require_at_least_one
from aims.models.attention import ExtraTokens, FusedAttention, Projection, SplitAttention
from aims.models.segmenter import Segmenter
from aims.models.tuning.base import (
    TUNINGS,
    Tuning,
    find_layers,
    has_linear,
    is_attention,
    is_fused_attention,
)

DROPOUT = 0.1

#: Makes the extra tokens of one layer from the width of its inputs and that of its keys and values.
_Make = Callable[[int, int], ExtraTokens]


@TUNINGS.register("prompt")
@dataclass(frozen=True, kw_only=True)
class PromptTuning(Tuning):
    """Learned tokens, projected to keys and values by each attention's own weights, encoder and decoder.

    Jia et al., "Visual Prompt Tuning" (ECCV 2022), deep variant. There the tokens are part of each layer's
    sequence and are queries as well; here, as in SimCMF's released program, they give keys and values only.
    The model's output changes at step 0, whatever the tokens: the softmax gives every new key some weight,
    even that of a zero token. LoRA and adapters start without any change of the output.

    Attributes:
        tokens: number per attention; 400 gives the counts of the SimCMF paper's Table 4 (4.4 M for ViT-B).
    """

    tokens: int = 400

    def __post_init__(self) -> None:
        require_at_least_one(tokens=self.tokens)

    def apply(self, model: Segmenter) -> None:
        """Replaces every attention; its own weights keep their names and stay frozen."""
        _append_to_attentions(model, lambda inputs, _: Prompt(count=self.tokens, dim=inputs))


@TUNINGS.register("prefix")
@dataclass(frozen=True, kw_only=True)
class PrefixTuning(Tuning):
    """Learned keys and learned values of each attention, encoder and decoder.

    Li and Liang, "Prefix-Tuning" (ACL 2021), without its reparametrisation by an MLP. As in SimCMF's released
    program, the encoder's tokens are the keys and values themselves, the decoder's are the inputs of key and
    value projection, and there is no dropout. The model's output changes at step 0: see `PromptTuning`.

    Attributes:
        tokens: number of keys, and of values, per attention; 200 gives as many parameters as prompt tuning.
    """

    tokens: int = 200

    def __post_init__(self) -> None:
        require_at_least_one(tokens=self.tokens)

    def apply(self, model: Segmenter) -> None:
        """Replaces every attention; its own weights keep their names and stay frozen."""
        _append_to_attentions(model, lambda _, projected: Prefix(count=self.tokens, dim=projected))


class Prompt(ExtraTokens):
    """Tokens that a layer projects to keys and values, with dropout during training.

    Every entry of a batch draws its own dropout, as in the released program; in the encoder an entry is a
    window. In evaluation the tokens are the same for all entries and are projected once.

    Args:
        count: number of tokens.
        dim: width of the inputs of the layer's projections.
    """

    def __init__(self, *, count: int, dim: int) -> None:
        super().__init__()
        self.tokens = _uniform_tokens(count, dim)
        self.dropout = nn.Dropout(DROPOUT)

    def inputs(self, batch: int) -> tuple[Tensor, Tensor]:
        """Returns the same tokens, with the same dropout, for keys and values."""
        tokens: Tensor = self.dropout(self.tokens.expand(batch if self.training else 1, -1, -1))
        return tokens, tokens

    def keys_and_values(self, batch: int, project: Projection) -> tuple[Tensor, Tensor]:
        """Projects the tokens to keys and values with the layer's projection; their queries are discarded."""
        _, keys, values = project(self.inputs(batch)[0])
        return keys, values

    def trainable_params(self) -> list[str]:
        """Names of the trainable parameters: the tokens."""
        return ["tokens"]


class Prefix(ExtraTokens):
    """Separate tokens for keys and for values.

    Args:
        count: number of keys, and of values.
        dim: width of the tensors to which they are appended.
    """

    def __init__(self, *, count: int, dim: int) -> None:
        super().__init__()
        self.keys = _uniform_tokens(count, dim)
        self.values = _uniform_tokens(count, dim)

    def inputs(self, batch: int) -> tuple[Tensor, Tensor]:
        """Returns the tokens for keys and those for values, (1, count, dim) each."""
        return self.keys[None], self.values[None]

    def keys_and_values(self, batch: int, project: Projection) -> tuple[Tensor, Tensor]:
        """Returns the tokens as keys and values, without a projection."""
        return self.inputs(batch)

    def trainable_params(self) -> list[str]:
        """Names of the trainable parameters: keys and values."""
        return ["keys", "values"]


def _uniform_tokens(count: int, dim: int) -> nn.Parameter:
    """Draws tokens as in the released program, for encoder and decoder.

    The bound is that of Visual Prompt Tuning, sqrt(6 / (3 * patch area + dim)), with the patch's side (16) in
    place of its area.
    """
    bound = math.sqrt(6 / (3 * 16 + dim))
    return nn.Parameter(nn.init.uniform_(torch.empty(count, dim), -bound, bound))


def _append_to_attentions(model: Segmenter, make: _Make) -> None:
    for holder, name, attention in find_layers(model, is_attention, "attention"):
        extended = _extend_fused if is_fused_attention(attention) else _extend_split
        setattr(holder, name, extended(attention, make))


def _extend_fused(attention: nn.Module, make: _Make) -> FusedAttention:
    linears, num_heads = _take_over(attention, ("qkv", "proj"), parameters=("rel_pos_h", "rel_pos_w"))
    qkv = linears["qkv"]
    dim = qkv.out_features // 3
    own = dict(attention.named_parameters(recurse=False))
    scale = getattr(attention, "scale", None)
    return FusedAttention(
        **linears,
        num_heads=num_heads,
        scale=scale if isinstance(scale, float) else (dim // num_heads) ** -0.5,
        rel_pos=(own["rel_pos_h"], own["rel_pos_w"]) if own else None,
        extra=make(qkv.in_features, dim),
    )


def _extend_split(attention: nn.Module, make: _Make) -> SplitAttention:
    linears, num_heads = _take_over(attention, ("q_proj", "k_proj", "v_proj", "out_proj"))
    # Tokens are appended before the key and value projections, whose inputs have the same width.
    width = linears["k_proj"].in_features
    return SplitAttention(**linears, num_heads=num_heads, extra=make(width, width))


def _take_over(
    attention: nn.Module, names: tuple[str, ...], *, parameters: tuple[str, ...] = ()
) -> tuple[dict[str, nn.Linear], int]:
    """Returns the linear layers by name and the number of heads of an attention that is to be replaced.

    Raises:
        InputError: it has other parameters, which would be lost, e.g. a norm of its queries.
    """
    num_heads = getattr(attention, "num_heads", None)
    unknown = {name.split(".")[0] for name, _ in attention.named_parameters()} - {*names, *parameters}
    if unknown or not has_linear(attention, *names) or not isinstance(num_heads, int):
        found = f"; it also has {', '.join(sorted(unknown))}" if unknown else ""
        raise InputError(
            f"prompt and prefix tuning know attention with {', '.join(names)} and num_heads, "
            f"not this backbone's {type(attention).__name__}{found}: choose another tuning"
        )
    layers = {name: attention.get_submodule(name) for name in names}
    return {name: layer for name, layer in layers.items() if isinstance(layer, nn.Linear)}, num_heads
