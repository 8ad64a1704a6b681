"""Attention that never holds all logits, against segment-anything's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aims.models import attention as attention_module
from aims.models import long_attention
from aims.models.attention import RelativePositions, attend, use_path
from aims.models.long_attention import attend_fused, attend_in_parts
from aims.models.segment_anything import sam_modeling

Attend = Callable[..., Tensor]

# Width of a head, heads and window of SAM's backbones (of the heads a few), and of an oblong global block.
SHAPES = {
    "ViT-B and -L window": (64, 3, (14, 14)),
    "ViT-H window": (80, 2, (14, 14)),
    "oblong": (32, 2, (12, 20)),
}


def tensors(width: int, heads: int, grid: tuple[int, int], extra: int = 0) -> list[Tensor]:
    """Queries, keys, values and the relative positions of rows and columns, in float64."""
    torch.manual_seed(0)
    tokens = grid[0] * grid[1]
    shapes = [(2, heads, tokens, width), *[(2, heads, tokens + extra, width)] * 2]
    shapes += [(2 * side - 1, width) for side in grid]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def results(how: Attend | None, given: list[Tensor], grid: tuple[int, int]) -> list[Tensor]:
    """The attended values, and the gradients of everything that goes in."""
    queries, keys, values, rows, columns = given
    scale = queries.shape[-1] ** -0.5
    bias = RelativePositions(rows, columns, grid)
    if how is None:
        attended = attend(queries, keys, values, scale=scale, bias=bias, path="stock")
    else:
        attended = how(queries, keys, values, *bias.of(queries), scale=scale)
    weights = torch.randn(attended.shape, generator=torch.Generator().manual_seed(1))
    return [attended, *torch.autograd.grad((attended * weights).sum(), given)]


def in_parts(*given: Tensor, scale: float) -> Tensor:
    return attend_in_parts(*(each.flatten(0, 1) for each in given), scale=scale).unflatten(0, (2, -1))


@pytest.mark.parametrize("extra", [0, 7])
@pytest.mark.parametrize("how", ["codes", "bias", "parts"])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_values_and_gradients(shape: str, how: str, extra: int, monkeypatch: pytest.MonkeyPatch) -> None:
    width, heads, grid = SHAPES[shape]
    tokens = grid[0] * grid[1]
    # Parts of 50 queries, the last one shorter.
    monkeypatch.setattr(long_attention, "_AT_ONCE", 50 * heads * (tokens + extra))
    monkeypatch.setattr(long_attention, "_WINDOW", 0 if how == "codes" else tokens)
    given = tensors(width, heads, grid, extra)
    chosen = in_parts if how == "parts" else attend_fused
    for found, expected in zip(results(chosen, given, grid), results(None, given, grid), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("how", [attend_fused, in_parts])
def test_float32_keeps_to_1e_5(how: Attend) -> None:
    width, heads, grid = SHAPES["ViT-B and -L window"]
    exact = [each.detach() / 3 for each in tensors(width, heads, grid)]
    given = [each.float().requires_grad_() for each in exact]
    found, expected = (
        results(how, given, grid),
        results(None, [each.requires_grad_() for each in exact], grid),
    )
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-5 * other.abs().max().clamp_min(1)


def test_bfloat16_rounds_as_much_as_the_stock_path() -> None:
    width, heads, grid = SHAPES["oblong"]
    given = tensors(width, heads, grid)
    exact = results(None, given, grid)
    low = [each.detach().bfloat16().requires_grad_() for each in given]

    def errors(found: list[Tensor]) -> list[float]:
        return [
            float((one - other).detach().abs().mean() / other.detach().abs().mean())
            for one, other in zip(found, exact, strict=True)
        ]

    theirs = errors(results(None, low, grid))
    for how in (in_parts, attend_fused):
        for ours, stock in zip(errors(results(how, low, grid)), theirs, strict=True):
            assert ours < 1.4 * stock


@pytest.fixture
def layer() -> nn.Module:
    """One of segment-anything's attentions, with relative positions that matter."""
    torch.manual_seed(0)
    made: nn.Module = sam_modeling().image_encoder.Attention(48, 3, use_rel_pos=True, input_size=(6, 6))
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def test_a_layer_changes_its_path_and_keeps_all_else(
    layer: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock_class, names = type(layer), list(layer.state_dict())
    tokens = torch.randn(2, 6, 6, 48)
    expected = layer(tokens)
    called = []

    def watched(*args: Any, **kwargs: Any) -> Tensor:
        called.append(True)
        return attend_in_parts(*args, **kwargs)

    monkeypatch.setattr(attention_module, "attend_in_parts", watched)
    use_path(layer, "fast")
    torch.testing.assert_close(layer(tokens), expected, rtol=1e-5, atol=1e-5)
    assert not called
    monkeypatch.setattr(attention_module, "_LONG", 1)
    torch.testing.assert_close(layer(tokens), expected, rtol=1e-5, atol=1e-5)
    assert called
    assert isinstance(layer, stock_class)
    use_path(layer, "stock")
    assert type(layer) is stock_class
    assert torch.equal(layer(tokens), expected)
    assert list(layer.state_dict()) == names


def test_no_more_than_a_part_of_the_logits_is_kept_for_the_backward_pass() -> None:
    grid = (32, 32)
    given = [each.detach().float().requires_grad_() for each in tensors(8, 2, grid)]
    bias = RelativePositions(given[3], given[4], grid)
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        in_parts(*given[:3], *bias.of(given[0]), scale=1.0)
    assert max(kept) <= 4 * 1024 * 32
