"""Prompt tuning and prefix tuning: learned tokens that every attention reads beside the image's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aims.core.errors import require_at_least_one
from aims.models.attention import ExtraTokens, Projection
from aims.models.extension import MakeTokens
from aims.models.segmenter import Segmenter
from aims.models.tuning.base import TUNINGS, Tuning, find_layers, is_attention

DROPOUT = 0.1


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


def _append_to_attentions(model: Segmenter, make: MakeTokens) -> None:
    for holder, name, attention in find_layers(model, is_attention, "attention"):
        setattr(holder, name, model.extend_attention(attention, make))
