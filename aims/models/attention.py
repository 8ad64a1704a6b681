"""Attention as in segment-anything, with learned keys and values beside the image's, on two paths.

The stock path holds all logits of a layer at once: 4096 x 4096 per head in SAM's global blocks at 1024 x 1024
pixels, several times with gradients. The fast path gives the same results up to rounding and never holds all
logits (`aims.models.long_attention`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from aims.models.long_attention import attend_fused, attend_in_parts
from aims.models.segment_anything import sam_modeling

#: How a model is computed: "fast", or "stock" for segment-anything's own modules.
AttentionPath = Literal["fast", "stock"]

# Tokens from which on attention is computed in parts on a CPU; shorter sequences gain nothing.
_LONG = 1024

Projection = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


class ExtraTokens(nn.Module, ABC):
    """Extra tokens that an attention appends to its keys and values, (1 or batch, extra, dim) each."""

    @abstractmethod
    def inputs(self, batch: int) -> tuple[Tensor, Tensor]:
        """Returns the tokens to append to the inputs of the key projection and of the value projection."""

    @abstractmethod
    def keys_and_values(self, batch: int, project: Projection) -> tuple[Tensor, Tensor]:
        """Returns the extra keys and values; `project` is the layer's own fused projection."""


class FusedAttention(nn.Module):
    """Self-attention of an image encoder, with extra keys and values in every window.

    Without extra tokens it computes segment-anything's `image_encoder.Attention`, up to rounding. The layers
    are reused and keep their names.

    Args:
        qkv: dim -> 3 * dim: queries, keys, values.
        proj: dim -> dim, after the attention.
        num_heads: number of heads; divides dim.
        scale: factor of the queries.
        rel_pos: relative positions of rows, (2 * height - 1, dim / heads), and of columns,
            (2 * width - 1, dim / heads); None if the attention has none.
        extra: tokens to append, or None. They have no position: no bias is added to their logits.
    """

    def __init__(
        self,
        *,
        qkv: nn.Linear,
        proj: nn.Linear,
        num_heads: int,
        scale: float,
        rel_pos: tuple[nn.Parameter, nn.Parameter] | None,
        extra: ExtraTokens | None,
    ) -> None:
        super().__init__()
        self.qkv = qkv
        self.proj = proj
        self.num_heads = num_heads
        self.scale = scale
        self.rel_pos_h: nn.Parameter | None
        self.rel_pos_w: nn.Parameter | None
        self.rel_pos_h, self.rel_pos_w = rel_pos or (None, None)
        self.extra = extra
        self.path: AttentionPath = "fast"

    def forward(self, tokens: Float[Tensor, "batch *grid dim"]) -> Float[Tensor, "batch *grid dim"]:
        """Attends within each entry of the batch; an entry is a window or a whole image."""
        batch, *grid, _ = tokens.shape
        queries, keys, values = self._project(tokens.flatten(1, -2))
        if self.extra is not None:
            extra_keys, extra_values = self.extra.keys_and_values(batch, self._project)
            keys, values = append_tokens(keys, extra_keys), append_tokens(values, extra_values)
        queries, keys, values = (split_heads(each, self.num_heads) for each in (queries, keys, values))
        # Absent, not None, in segment-anything's own attention.
        rows, columns = getattr(self, "rel_pos_h", None), getattr(self, "rel_pos_w", None)
        bias = (
            None if rows is None or columns is None else RelativePositions(rows, columns, (grid[0], grid[1]))
        )
        attended = attend(queries, keys, values, scale=self.scale, bias=bias, path=self.path)
        projected: Tensor = self.proj(merge_heads(attended).reshape(batch, *grid, -1))
        return projected

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, values = self.qkv(tokens).chunk(3, dim=-1)
        return queries, keys, values


class SplitAttention(nn.Module):
    """Attention of a mask decoder, with extra tokens before its key and value projections.

    Without them it is segment-anything's `transformer.Attention`, but scales queries rather than logits. The
    layers are reused and keep their names.

    Args:
        q_proj: dim -> inner dim.
        k_proj: dim -> inner dim.
        v_proj: dim -> inner dim.
        out_proj: inner dim -> dim; its name in the module is `OUT`.
        num_heads: number of heads; divides the inner dim.
        extra: tokens to append.
    """

    OUT: ClassVar[str] = "out_proj"

    def __init__(
        self,
        *,
        q_proj: nn.Linear,
        k_proj: nn.Linear,
        v_proj: nn.Linear,
        out_proj: nn.Linear,
        num_heads: int,
        extra: ExtraTokens,
    ) -> None:
        super().__init__()
        self.q_proj = q_proj
        self.k_proj = k_proj
        self.v_proj = v_proj
        self.add_module(self.OUT, out_proj)
        self.num_heads = num_heads
        self.extra = extra

    def forward(
        self,
        q: Float[Tensor, "batch queries dim"],
        k: Float[Tensor, "batch keys dim"],
        v: Float[Tensor, "batch keys dim"],
    ) -> Float[Tensor, "batch queries dim"]:
        """Attends; the names of the arguments are those by which segment-anything's blocks call it."""
        extra_k, extra_v = self.extra.inputs(k.shape[0])
        queries = split_heads(self.q_proj(q), self.num_heads)
        keys = split_heads(self.k_proj(append_tokens(k, extra_k)), self.num_heads)
        values = split_heads(self.v_proj(append_tokens(v, extra_v)), self.num_heads)
        attended = attend(queries, keys, values, scale=queries.shape[-1] ** -0.5)
        projected: Tensor = self.get_submodule(self.OUT)(merge_heads(attended))
        return projected


@dataclass(frozen=True)
class RelativePositions:
    """SAM's decomposed relative positions of one attention, for the logits of an image's own keys.

    Attributes:
        rows: (2 * height - 1, head dim); interpolated where the grid has another height.
        columns: (2 * width - 1, head dim).
        grid: height and width of the tokens.
    """

    rows: Tensor
    columns: Tensor
    grid: tuple[int, int]

    def add_to(
        self, logits: Float[Tensor, "heads tokens tokens"], queries: Float[Tensor, "heads tokens head_dim"]
    ) -> Float[Tensor, "heads tokens tokens"]:
        """Adds the bias to logits, with segment-anything's own function."""
        add = sam_modeling().image_encoder.add_decomposed_rel_pos
        biased: Tensor = add(logits, queries, self.rows, self.columns, self.grid, self.grid)
        return biased

    def of(
        self, queries: Float[Tensor, "*heads tokens head_dim"]
    ) -> tuple[Float[Tensor, "*heads tokens height"], Float[Tensor, "*heads tokens width"]]:
        """Returns the bias that each query has for every row of keys, and for every column."""
        height, width = self.grid
        rows, columns = _between(height, self.rows), _between(width, self.columns)
        placed = queries.reshape(*queries.shape[:-2], height, width, queries.shape[-1])
        of_rows = torch.einsum("...hwc,hkc->...hwk", placed, rows)
        of_columns = torch.einsum("...hwc,wkc->...hwk", placed, columns)
        return of_rows.flatten(-3, -2), of_columns.flatten(-3, -2)


def _between(size: int, table: Float[Tensor, "places head_dim"]) -> Float[Tensor, "size size head_dim"]:
    """Returns the relative positions of all pairs of rows (or columns), like SAM's `get_rel_pos`.

    That function makes its indices on the CPU, so that a GPU would wait for copies in every layer.
    """
    if len(table) != 2 * size - 1:
        interpolated: Tensor = sam_modeling().image_encoder.get_rel_pos(size, size, table)
        return interpolated
    return table[_distances(size, table.device)]


# Made outside inference mode, as a training may need what an evaluation has made.
@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _distances(size: int, device: torch.device) -> Int[Tensor, "size size"]:
    """Returns the index in a table of relative positions of each pair of rows (or columns)."""
    places = torch.arange(size, device=device)
    return places[:, None] - places + (size - 1)


def attend(
    queries: Float[Tensor, "batch heads tokens head_dim"],
    keys: Float[Tensor, "batch heads keys head_dim"],
    values: Float[Tensor, "batch heads keys head_dim"],
    *,
    scale: float,
    bias: RelativePositions | None = None,
    path: AttentionPath = "stock",
) -> Float[Tensor, "batch heads tokens head_dim"]:
    """Computes softmax attention.

    Args:
        queries: one query per token.
        keys: keys of the tokens, then any number of extra ones.
        values: in the order of the keys.
        scale: factor of the queries in the logits; the bias takes them unscaled, as in SAM.
        bias: added to the logits of the tokens' keys, not to those of the extra ones.
        path: "stock" holds all logits at once; "fast" uses memory-efficient attention, with a bias on a CPU
            for long sequences only.
    """
    if path == "fast" and bias is not None and queries.device.type == "cuda":
        return attend_fused(queries, keys, values, *bias.of(queries), scale=scale)
    if path == "fast" and bias is None:
        return F.scaled_dot_product_attention(queries, keys, values, scale=scale)
    batch = queries.shape[0]
    queries, keys, values = (each.flatten(0, 1) for each in (queries, keys, values))
    if path == "fast" and bias is not None and queries.shape[1] >= _LONG:
        attended = attend_in_parts(queries, keys, values, *bias.of(queries), scale=scale)
    else:
        logits = (queries * scale) @ keys.transpose(-2, -1)
        if bias is not None:
            own = queries.shape[-2]
            logits = torch.cat([bias.add_to(logits[..., :own], queries), logits[..., own:]], dim=-1)
        attended = logits.softmax(dim=-1) @ values
    return attended.view(batch, -1, *attended.shape[1:])


def append_tokens(
    tokens: Float[Tensor, "batch tokens dim"], extra: Float[Tensor, "views extra dim"]
) -> Float[Tensor, "batch more dim"]:
    """Appends extra tokens, one set for each entry of the batch or one for all, cast to the tokens' dtype."""
    return torch.cat([tokens, extra.to(tokens.dtype).expand(tokens.shape[0], -1, -1)], dim=1)


def split_heads(
    tokens: Float[Tensor, "batch tokens dim"], num_heads: int
) -> Float[Tensor, "batch heads tokens head_dim"]:
    """Divides the channels of tokens among heads."""
    batch, count, dim = tokens.shape
    return tokens.view(batch, count, num_heads, dim // num_heads).transpose(1, 2)


def merge_heads(
    tokens: Float[Tensor, "batch heads tokens head_dim"],
) -> Float[Tensor, "batch tokens dim"]:
    """Puts the channels of the heads beside each other, the inverse of `split_heads`."""
    return tokens.transpose(1, 2).flatten(2)


# The subclass is defined at import, so that models that hold it can be pickled. Any, as mypy does not know
# the classes of a module that is loaded at run time.
_StockAttention: Any = sam_modeling().image_encoder.Attention


class FastAttention(_StockAttention):  # type: ignore[misc]
    """segment-anything's attention of the image encoder, computed like `FusedAttention`."""

    path: AttentionPath
    extra = None
    _project = FusedAttention._project

    def forward(self, x: Float[Tensor, "batch height width dim"]) -> Float[Tensor, "batch height width dim"]:
        """Attends within each entry of the batch; the argument's name is segment-anything's."""
        result: Tensor = FusedAttention.forward(self, x)
        return result


def use_path(encoder: nn.Module, path: AttentionPath) -> None:
    """Selects the path of all attentions of an image encoder; names and weights of the layers are kept.

    The class of segment-anything's attentions is switched between theirs and `FastAttention`, so that the
    stock path runs their code.
    """
    for module in encoder.modules():
        if isinstance(module, FusedAttention):
            module.path = path
        elif isinstance(module, _StockAttention):
            # Any, as mypy forbids assigning to `__class__` of a module.
            changing: Any = module
            changing.__class__ = _StockAttention if path == "stock" else FastAttention
            changing.path = path
