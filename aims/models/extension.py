"""Attentions with learned tokens beside their own keys and values, around the layers of a backbone's."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from aims.core.errors import InputError
from aims.models.attention import ExtraTokens, FusedAttention, SplitAttention

#: Makes the extra tokens of one layer from the width of its inputs and that of its keys and values.
MakeTokens = Callable[[int, int], ExtraTokens]


def has_linear(module: nn.Module, *names: str) -> bool:
    """Whether a module has linear layers of these names as children."""
    children = dict(module.named_children())
    return all(isinstance(children.get(name), nn.Linear) for name in names)


def is_fused_attention(module: nn.Module) -> bool:
    """Whether a module is an attention with one projection `qkv` (queries, keys, values), as in encoders."""
    return has_linear(module, "qkv")


def is_split_attention(module: nn.Module) -> bool:
    """Whether a module is an attention with `q_proj`, `k_proj` and `v_proj`, as in mask decoders."""
    return has_linear(module, "q_proj", "k_proj", "v_proj")


def is_attention(module: nn.Module) -> bool:
    """Whether a module is an attention of either form."""
    return is_fused_attention(module) or is_split_attention(module)


def attention_heads(module: nn.Module) -> int | None:
    """Returns the number of heads of an attention; None if it has neither of the customary names."""
    found = (getattr(module, name, None) for name in ("num_heads", "num_attention_heads"))
    return next((heads for heads in found if isinstance(heads, int)), None)


def extend_attention(
    attention: nn.Module,
    make: MakeTokens,
    *,
    fused: type[FusedAttention] = FusedAttention,
    split: type[SplitAttention] = SplitAttention,
) -> nn.Module:
    """Returns an attention with extra tokens in place of one of either form, found by customary names.

    Args:
        attention: the attention, whose layers are reused and keep their names.
        make: makes the tokens.
        fused: class of the new attention if it has one projection `qkv`; it is called as the old one was.
        split: class of the new attention if it has several.

    Raises:
        InputError: it has other parameters, which would be lost, e.g. a norm of its queries.
    """
    if is_fused_attention(attention):
        return _extend_fused(attention, make, fused)
    return _extend_split(attention, make, split)


def _extend_fused(attention: nn.Module, make: MakeTokens, kind: type[FusedAttention]) -> FusedAttention:
    linears, num_heads = _take_over(attention, ("qkv", "proj"), parameters=("rel_pos_h", "rel_pos_w"))
    qkv = linears["qkv"]
    dim = qkv.out_features // 3
    own = dict(attention.named_parameters(recurse=False))
    scale = getattr(attention, "scale", None)
    return kind(
        **linears,
        num_heads=num_heads,
        scale=scale if isinstance(scale, float) else (dim // num_heads) ** -0.5,
        rel_pos=(own["rel_pos_h"], own["rel_pos_w"]) if own else None,
        extra=make(qkv.in_features, dim),
    )


def _extend_split(attention: nn.Module, make: MakeTokens, kind: type[SplitAttention]) -> SplitAttention:
    linears, num_heads = _take_over(attention, ("q_proj", "k_proj", "v_proj", kind.OUT))
    # Tokens are appended before the key and value projections, whose inputs have the same width.
    width = linears["k_proj"].in_features
    return kind(
        q_proj=linears["q_proj"],
        k_proj=linears["k_proj"],
        v_proj=linears["v_proj"],
        out_proj=linears[kind.OUT],
        num_heads=num_heads,
        extra=make(width, width),
    )


def _take_over(
    attention: nn.Module, names: tuple[str, ...], *, parameters: tuple[str, ...] = ()
) -> tuple[dict[str, nn.Linear], int]:
    """Returns the linear layers by name and the number of heads of an attention that is to be replaced."""
    num_heads = attention_heads(attention)
    unknown = {name.split(".")[0] for name, _ in attention.named_parameters()} - {*names, *parameters}
    if unknown or not has_linear(attention, *names) or num_heads is None:
        found = f"; it also has {', '.join(sorted(unknown))}" if unknown else ""
        raise InputError(
            f"prompt and prefix tuning know attention with {', '.join(names)} and num_heads, "
            f"not this backbone's {type(attention).__name__}{found}: choose another tuning"
        )
    layers = {name: attention.get_submodule(name) for name in names}
    return {name: layer for name, layer in layers.items() if isinstance(layer, nn.Linear)}, num_heads
