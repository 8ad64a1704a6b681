"""Attentions and blocks of transformers' SAMs with learned tokens and adapters; called as the originals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam.modeling_sam import SamTwoWayAttentionBlock
from transformers.models.sam2.modeling_sam2 import (
    Sam2Attention,
    Sam2MultiScaleAttention,
    Sam2TwoWayAttentionBlock,
)
from transformers.models.sam3.modeling_sam3 import Sam3ViTRoPEAttention, apply_rotary_pos_emb_2d
from transformers.models.sam3_tracker.modeling_sam3_tracker import (
    Sam3TrackerAttention,
    Sam3TrackerTwoWayAttentionBlock,
)
from transformers.models.sam_hq.modeling_sam_hq import SamHQTwoWayAttentionBlock

from aims.core.errors import InputError
from aims.models.attention import FusedAttention, SplitAttention, attend
from aims.models.extension import MakeTokens, extend_attention


class VisionAttention(FusedAttention):
    """`SamVisionAttention` with extra tokens."""

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:  # type: ignore[override]
        """Attends within each window; transformers' second output, the weights, is left out."""
        return super().forward(hidden_states), None


class PooledAttention(FusedAttention):
    """`Sam2MultiScaleAttention` with extra tokens: at the end of a stage, queries are pooled."""

    query_stride: tuple[int, int] | None = None

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:  # type: ignore[override]
        """Attends within each window, from fewer queries where they are pooled."""
        assert self.extra is not None
        batch, height, width, _dim = hidden_states.shape
        queries, keys, values = self._project(hidden_states.flatten(1, 2))
        extra = self.extra.keys_and_values(batch, self._project)
        keys, values = (
            torch.cat([own, more.to(own.dtype).expand(batch, -1, -1)], dim=1)
            for own, more in zip((keys, values), extra, strict=True)
        )
        if self.query_stride is not None:
            placed = queries.view(batch, height, width, -1).permute(0, 3, 1, 2)
            pooled = F.max_pool2d(placed, self.query_stride, self.query_stride)
            height, width = pooled.shape[2:]
            queries = pooled.flatten(2).transpose(1, 2)
        heads = [
            each.reshape(batch, each.shape[1], self.num_heads, -1).transpose(1, 2)
            for each in (queries, keys, values)
        ]
        attended = attend(*heads, scale=self.scale).transpose(1, 2)
        result: Tensor = self.proj(attended.reshape(batch, height, width, -1))
        return result


class RotaryAttention(SplitAttention):
    """`Sam3ViTRoPEAttention` with extra tokens, which have no position: their keys are not turned."""

    OUT = "o_proj"

    def forward(  # type: ignore[override]
        self, hidden_states: Tensor, position_embeddings: tuple[Tensor, Tensor], **_: Any
    ) -> tuple[Tensor, None]:
        """Attends within each window; transformers' second output, the weights, is left out."""
        batch = len(hidden_states)

        def heads(tokens: Tensor) -> Tensor:
            return tokens.reshape(
                len(tokens), -1, self.num_heads, tokens.shape[-1] // self.num_heads
            ).transpose(1, 2)

        queries, keys, values = (
            heads(layer(hidden_states)) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        queries, keys = apply_rotary_pos_emb_2d(queries, keys, *position_embeddings)
        extra_k, extra_v = self.extra.inputs(batch)
        more = heads(self.k_proj(extra_k)), heads(self.v_proj(extra_v))
        keys, values = (
            torch.cat([own, each.to(own.dtype).expand(batch, -1, -1, -1)], dim=2)
            for own, each in zip((keys, values), more, strict=True)
        )
        attended = attend(queries, keys, values, scale=queries.shape[-1] ** -0.5).transpose(1, 2)
        return self.get_submodule(self.OUT)(attended.reshape(hidden_states.shape)), None


class DecoderAttention(SplitAttention):
    """`SamAttention` with extra tokens: (images, prompts, tokens, dim) each."""

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, **_: Any
    ) -> tuple[Tensor, None]:
        """Attends; transformers' second output, the weights, is left out."""
        attended = super().forward(*(each.flatten(0, 1) for each in (query, key, value)))
        return attended.view(*query.shape[:2], *attended.shape[1:]), None


class DecoderAttention2(DecoderAttention):
    """`Sam2Attention` with extra tokens."""

    OUT = "o_proj"


_SPLIT: dict[type[nn.Module], type[SplitAttention]] = {
    Sam2Attention: DecoderAttention2,
    Sam3TrackerAttention: DecoderAttention2,
    Sam3ViTRoPEAttention: RotaryAttention,
}


def extend(attention: nn.Module, make: MakeTokens) -> nn.Module:
    """Returns an attention of transformers' SAMs with extra tokens (`Segmenter.extend_attention`)."""
    extended = extend_attention(
        attention,
        make,
        fused=PooledAttention if isinstance(attention, Sam2MultiScaleAttention) else VisionAttention,
        split=_SPLIT.get(type(attention), DecoderAttention),
    )
    if isinstance(extended, PooledAttention):
        # Any, as transformers' attributes have no types.
        original: Any = attention
        extended.query_stride = original.query_stride
    return extended


class _Adapted:
    """A two-way block of transformers' SAMs with an `adapter` beside its MLP, in place of its `forward`."""

    def forward(
        self: Any,
        queries: Tensor,
        keys: Tensor,
        query_point_embedding: Tensor,
        key_point_embedding: Tensor,
        attention_similarity: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Computes the block; names and order of the arguments are transformers'."""
        placed = keys + key_point_embedding
        if self.skip_first_layer_pe:
            queries, _weights = self.self_attn(query=queries, key=queries, value=queries)
        else:
            own = queries + query_point_embedding
            queries = queries + self.self_attn(query=own, key=own, value=queries)[0]
        queries = self.layer_norm1(queries)
        queries = (
            queries
            + self.cross_attn_token_to_image(
                query=queries + query_point_embedding,
                key=placed,
                value=keys,
                attention_similarity=attention_similarity,
            )[0]
        )
        normed = self.layer_norm2(queries)
        queries = self.layer_norm3(normed + (self.mlp(normed) + self.adapter(queries)))
        update, _weights = self.cross_attn_image_to_token(
            query=placed, key=queries + query_point_embedding, value=queries
        )
        return queries, self.layer_norm4(keys + update), update


class AdaptedSamBlock(_Adapted, SamTwoWayAttentionBlock):  # type: ignore[misc]
    """SAM's two-way block with an adapter."""


class AdaptedSamHQBlock(_Adapted, SamHQTwoWayAttentionBlock):  # type: ignore[misc]
    """SAM-HQ's two-way block with an adapter."""


class AdaptedSam3Block(_Adapted, Sam3TrackerTwoWayAttentionBlock):  # type: ignore[misc]
    """SAM 3's two-way block with an adapter."""


class AdaptedSam2Block(_Adapted, Sam2TwoWayAttentionBlock):  # type: ignore[misc]
    """SAM 2's two-way block with an adapter."""


_ADAPTED: dict[type[nn.Module], type[nn.Module]] = {
    SamTwoWayAttentionBlock: AdaptedSamBlock,
    SamHQTwoWayAttentionBlock: AdaptedSamHQBlock,
    Sam2TwoWayAttentionBlock: AdaptedSam2Block,
    Sam3TrackerTwoWayAttentionBlock: AdaptedSam3Block,
}


def adapt_block(block: nn.Module, adapter: nn.Module) -> None:
    """Puts an adapter into a two-way block, whose class changes and whose parts keep their names.

    Raises:
        InputError: the block is none of transformers' SAMs.
    """
    if type(block) not in _ADAPTED:
        raise InputError(f"an adapter cannot be put into {type(block).__name__}: choose another tuning")
    # Any, as mypy forbids assigning to `__class__` of a module.
    changing: Any = block
    changing.adapter = adapter
    changing.__class__ = _ADAPTED[type(block)]
