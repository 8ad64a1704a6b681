from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aims.models.alignment import ConvAlignment
from aims.models.trainable import declared_parameters, load_trainable_state, trainable_state
from aims.models.tuning.adapter import AdaptedMLP
from aims.models.tuning.lora import LoRALinear

small = st.integers(1, 8)
# The first call of a torch function may take long, on a busy machine any.
unhurried = settings(deadline=None)


@st.composite
def lora_layers(draw: st.DrawFn) -> tuple[nn.Linear, LoRALinear]:
    """A linear layer of parts of random widths, and a LoRA on some of the parts."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    widths = draw(st.lists(small, min_size=1, max_size=4))
    ends = torch.tensor(widths).cumsum(0).tolist()
    parts = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    chosen = draw(st.lists(st.sampled_from(parts), unique_by=lambda part: part.start, min_size=1))
    linear = nn.Linear(draw(small), sum(widths), bias=draw(st.booleans()))
    return linear, LoRALinear(linear, rank=draw(small), outputs=tuple(chosen))


@unhurried
@given(layers=lora_layers(), tokens=st.lists(st.integers(1, 4), max_size=3), gradients=st.booleans())
def test_a_lora_with_b_zero_is_the_linear_layer_bit_for_bit(
    layers: tuple[nn.Linear, LoRALinear], tokens: list[int], gradients: bool
) -> None:
    linear, lora = layers
    inputs = torch.randn(*tokens, linear.in_features)
    with torch.set_grad_enabled(gradients):
        assert torch.equal(lora(inputs), linear(inputs))


@unhurried
@given(layers=lora_layers())
def test_a_folded_lora_computes_the_same(layers: tuple[nn.Linear, LoRALinear]) -> None:
    linear, lora = layers
    for matrix in lora.lora_b:
        nn.init.normal_(matrix)
    inputs = torch.randn(3, linear.in_features)
    with torch.no_grad():
        folded = lora(inputs)
    # Float32 sums of at most 8 x 8 products of about 1, in another order.
    torch.testing.assert_close(folded, lora(inputs), rtol=1e-4, atol=1e-4)


@unhurried
@given(layers=lora_layers())
def test_a_step_moves_lora_and_leaves_the_rest(layers: tuple[nn.Linear, LoRALinear]) -> None:
    _, lora = layers
    declared = lora.trainable_params()
    before = {name: tensor.clone() for name, tensor in lora.state_dict().items()}
    parameters = dict(lora.named_parameters())
    optimizer = torch.optim.SGD([parameters[name] for name in declared], lr=1.0)
    lora(torch.rand(2, lora.in_features) + 0.1).sum().backward()
    optimizer.step()
    for name, tensor in lora.state_dict().items():
        assert name in declared or torch.equal(tensor, before[name])
    assert all(matrix.any() for matrix in lora.lora_b)


@st.composite
def adapted_mlps(draw: st.DrawFn) -> tuple[nn.Module, AdaptedMLP]:
    """What a block adds without an adapter (an MLP, perhaps behind a norm), and with one."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    inputs, hidden, outputs = (draw(small) for _ in range(3))
    mlp = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))
    norm = draw(st.sampled_from([None, nn.LayerNorm(inputs)]))
    plain = mlp if norm is None else nn.Sequential(norm, mlp)
    return plain, AdaptedMLP(mlp, norm=norm, bottleneck=draw(small))


@unhurried
@given(layers=adapted_mlps(), tokens=st.lists(st.integers(1, 4), max_size=3), gradients=st.booleans())
def test_a_fresh_adapter_adds_nothing_bit_for_bit(
    layers: tuple[nn.Module, AdaptedMLP], tokens: list[int], gradients: bool
) -> None:
    plain, adapted = layers
    inputs = torch.randn(*tokens, adapted.adapter.down.in_features)
    with torch.set_grad_enabled(gradients):
        assert torch.equal(adapted(inputs), plain(inputs))


@unhurried
@given(layers=adapted_mlps())
def test_a_step_moves_an_adapter_and_leaves_the_rest(layers: tuple[nn.Module, AdaptedMLP]) -> None:
    _, adapted = layers
    with torch.no_grad():
        # At zero, `up` would give `down` no gradient; where no unit is active there is none either.
        adapted.adapter.up.weight.uniform_(0.5, 1)
        adapted.adapter.down.bias.fill_(10)
    declared = declared_parameters(adapted)
    before = {name: tensor.clone() for name, tensor in adapted.state_dict().items()}
    adapted(torch.rand(2, adapted.adapter.down.in_features) + 0.1).sum().backward()
    torch.optim.SGD(declared.values(), lr=1.0).step()
    changed = {name for name, tensor in adapted.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == set(declared)
    assert changed == {"adapter.down.weight", "adapter.down.bias", "adapter.up.weight", "adapter.up.bias"}


@unhurried
@given(channels=small, kernel=st.sampled_from([1, 3, 5, 7]), width=small, depth=st.integers(1, 5))
def test_alignment_has_the_form_of_figure_6(channels: int, kernel: int, width: int, depth: int) -> None:
    layer = ConvAlignment(channels=channels, kernel=kernel, width=width, depth=depth)
    if depth == 1:
        expected = 3 * channels + 3
    else:
        first = kernel**2 * channels * width + width
        middle = (depth - 2) * (kernel**2 * width * width + width)
        expected = first + middle + 3 * width + 3
    assert sum(parameter.numel() for parameter in layer.parameters()) == expected
    assert layer(torch.zeros(1, channels, 5, 6)).shape == (1, 3, 5, 6)


@unhurried
@given(channels=small, width=small, depth=st.integers(1, 3), seed=st.integers(0, 1000))
def test_a_state_goes_round(channels: int, width: int, depth: int, seed: int) -> None:
    torch.manual_seed(seed)
    one, other = (ConvAlignment(channels=channels, kernel=3, width=width, depth=depth) for _ in range(2))
    load_trainable_state(other, trainable_state(one), source="memory")
    images = torch.randn(1, channels, 4, 4)
    assert torch.equal(one(images), other(images))
