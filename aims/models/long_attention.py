"""Attention with SAM's decomposed relative positions that never holds all logits.

The logit of query q and the key in row i and column j is scale * q . k + rows[q, i] + columns[q, j].
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

# Maximum number of logits held at once on a CPU, and of queries per head: small enough for its caches, large
# enough for efficient matrix products.
_AT_ONCE, _QUERIES = 1 << 21, 128
# Maximum number of tokens for which a GPU holds the bias of all pairs.
_WINDOW = 512


def attend_fused(
    queries: Float[Tensor, "batch heads tokens head_dim"],
    keys: Float[Tensor, "batch heads keys head_dim"],
    values: Float[Tensor, "batch heads keys head_dim"],
    rows: Float[Tensor, "batch heads tokens height"],
    columns: Float[Tensor, "batch heads tokens width"],
    *,
    scale: float,
) -> Float[Tensor, "batch heads tokens head_dim"]:
    """Computes attention with torch's fused kernels.

    Up to `_WINDOW` tokens the bias of all pairs is an argument of the kernel. Beyond, it is part of the
    product of queries and keys: queries are extended by their bias for every row and every column, keys by
    one-hot codes of their row and column; the codes of extra keys are zeros.

    Args:
        queries: one query per token, in row-major order.
        keys: keys of the tokens, then any number of extra ones.
        values: in the order of the keys.
        rows: bias of each query for the logits of every row of keys.
        columns: bias of each query for the logits of every column of keys.
        scale: factor of the queries.
    """
    height, width = rows.shape[-1], columns.shape[-1]
    extra = keys.shape[-2] - height * width
    rows, columns = rows.to(queries.dtype), columns.to(queries.dtype)
    if queries.shape[-2] <= _WINDOW:
        bias = F.pad((rows[..., None] + columns[..., None, :]).flatten(-2), (0, extra))
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)
    codes = F.pad(_codes(height, width, keys.dtype, keys.device), (0, 0, 0, extra))
    # Joined with the heads inside the tokens, as projections return them, so that no kernel turns them.
    long_queries = _joined(queries * scale, rows, columns)
    long_keys = _joined(keys, codes.expand(*keys.shape[:2], -1, -1))
    # The fastest kernel of most GPUs requires values as wide as the keys.
    long_values = F.pad(values, (0, height + width))
    attended = F.scaled_dot_product_attention(long_queries, long_keys, long_values, scale=1.0)
    return attended[..., : values.shape[-1]]


def _joined(*parts: Float[Tensor, "batch heads tokens part"]) -> Float[Tensor, "batch heads tokens whole"]:
    return torch.cat([part.transpose(1, 2) for part in parts], dim=-1).transpose(1, 2)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _codes(
    height: int, width: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "tokens height+width"]:
    """Returns one-hot codes of the row and of the column of each token."""
    rows = torch.eye(height, dtype=dtype, device=device).repeat_interleave(width, dim=0)
    columns = torch.eye(width, dtype=dtype, device=device).repeat(height, 1)
    return torch.cat([rows, columns], dim=1)


def attend_in_parts(
    queries: Float[Tensor, "heads tokens head_dim"],
    keys: Float[Tensor, "heads keys head_dim"],
    values: Float[Tensor, "heads keys head_dim"],
    rows: Float[Tensor, "heads tokens height"],
    columns: Float[Tensor, "heads tokens width"],
    *,
    scale: float,
) -> Float[Tensor, "heads tokens head_dim"]:
    """Computes attention in chunks of queries, on CPUs; the backward pass recomputes the logits.

    Arguments are those of `attend_fused`, with the heads of the whole batch in the first dimension.
    """
    attended: Tensor = _InParts.apply(queries, keys, values, rows, columns, scale)  # type: ignore[no-untyped-call]
    return attended


class _InParts(torch.autograd.Function):
    """Softmax attention in chunks, with an explicit backward pass."""

    @staticmethod
    def forward(ctx: Any, *factors: Any) -> Tensor:
        *tensors, scale = factors
        # Contiguous, as products are slow with the interleaved heads that projections return.
        queries, keys, values, rows, columns = (tensor.contiguous() for tensor in tensors)
        with torch.autocast(queries.device.type, enabled=False):
            attended = torch.empty_like(queries)
            for part in _parts(queries, keys):
                weights = _attention_weights(queries[part], keys[part[0]], rows[part], columns[part], scale)
                attended[part] = weights @ values[part[0]]
        ctx.save_for_backward(queries, keys, values, rows, columns, attended)
        ctx.scale = scale
        return attended

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, rows, columns, attended = ctx.saved_tensors
        grad = grad.contiguous()
        height, width = rows.shape[-1], columns.shape[-1]
        of_queries, of_rows, of_columns = map(torch.empty_like, (queries, rows, columns))
        # Sums over all queries are accumulated in at least float32, also for half precision.
        of_keys, of_values = (torch.zeros_like(each, dtype=_summed(each)) for each in (keys, values))
        with torch.autocast(queries.device.type, enabled=False):
            for part in _parts(queries, keys):
                heads = part[0]
                weights = _attention_weights(queries[part], keys[heads], rows[part], columns[part], ctx.scale)
                received = grad[part]
                of_values[heads] += weights.transpose(1, 2) @ received
                of_logits = received @ values[heads].transpose(1, 2)
                of_logits -= (received * attended[part]).sum(-1, keepdim=True, dtype=_summed(received))
                of_logits *= weights
                of_queries[part] = (of_logits @ keys[heads]).mul_(ctx.scale)
                of_keys[heads] += (of_logits.transpose(1, 2) @ queries[part]).mul_(ctx.scale)
                own = of_logits[..., : height * width].unflatten(-1, (height, width))
                of_rows[part], of_columns[part] = own.sum(-1), own.sum(-2)
        return of_queries, of_keys.to(keys.dtype), of_values.to(values.dtype), of_rows, of_columns, None


def _parts(queries: Tensor, keys: Tensor) -> list[tuple[slice, slice]]:
    """Splits the work into chunks of heads and of their queries."""
    heads, tokens, _ = queries.shape
    step = min(_QUERIES, tokens)
    together = max(1, _AT_ONCE // (step * keys.shape[1]))
    return [
        (slice(head, head + together), slice(token, token + step))
        for head in range(0, heads, together)
        for token in range(0, tokens, step)
    ]


def _attention_weights(
    queries: Tensor, keys: Tensor, rows: Tensor, columns: Tensor, scale: float
) -> Float[Tensor, "heads part keys"]:
    """Computes the attention weights of the queries of a chunk."""
    logits = (rows[..., None] + columns[..., None, :]).flatten(2).to(queries.dtype)
    extra = keys.shape[1] - logits.shape[-1]
    logits = F.pad(logits, (0, extra)) if extra else logits
    logits.baddbmm_(queries, keys.transpose(1, 2), alpha=scale)
    return logits.softmax(dim=-1, dtype=_summed(logits)).to(queries.dtype)


def _summed(values: Tensor) -> torch.dtype:
    """Returns the dtype in which sums are accumulated: at least float32."""
    return torch.promote_types(values.dtype, torch.float32)
