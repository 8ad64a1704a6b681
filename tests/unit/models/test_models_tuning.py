from __future__ import annotations

import torch
from torch import nn

from aims.models.sam import BACKBONES, build_sam
from aims.models.tuning import TUNINGS, LoRALinear, LoRATuning


def lora(rank: int = 3, bias: bool = True) -> tuple[nn.Linear, LoRALinear]:
    linear = nn.Linear(4, 12, bias=bias)
    layer = LoRALinear(linear, rank=rank, outputs=(slice(0, 4), slice(8, 12)))
    for matrix in layer.lora_b:
        nn.init.normal_(matrix)
    return linear, layer


def test_all_tunings() -> None:
    assert list(TUNINGS) == ["full", "lora"]


def test_lora_takes_the_parameters_over() -> None:
    linear, layer = lora()
    assert layer.weight is linear.weight
    assert layer.bias is linear.bias
    assert lora(bias=False)[1].bias is None


def test_lora_changes_the_chosen_outputs_alone() -> None:
    linear, layer = lora()
    inputs = torch.randn(5, 4)
    expected = linear(inputs)
    expected[:, 0:4] += inputs @ layer.lora_a[0].T @ layer.lora_b[0].T
    expected[:, 8:12] += inputs @ layer.lora_a[1].T @ layer.lora_b[1].T
    torch.testing.assert_close(layer(inputs), expected)
    assert torch.equal(layer(inputs)[:, 4:8], linear(inputs)[:, 4:8])


def test_folded_and_unfolded_agree() -> None:
    _, layer = lora()
    inputs = torch.randn(5, 4)
    with torch.no_grad():
        folded = layer(inputs)
    # Float32 with the sums in another order.
    torch.testing.assert_close(folded, layer(inputs), rtol=1e-5, atol=1e-5)


def test_lora_starts_as_in_the_paper() -> None:
    layer = LoRALinear(nn.Linear(300, 6), rank=50, outputs=(slice(None),))
    assert not layer.lora_b[0].any()
    # kaiming_uniform with a = sqrt(5) is uniform within 1 / sqrt(inputs).
    bound = 300**-0.5
    assert 0.99 * bound < layer.lora_a[0].abs().max() <= bound


def test_lora_keeps_the_names_of_the_checkpoint() -> None:
    with torch.device("meta"):
        model = build_sam(BACKBONES["sam-tiny"])
        plain = set(model.state_dict())
        LoRATuning(rank=2).apply(model)
    added = set(model.state_dict()) - plain
    assert plain <= set(model.state_dict())
    # Six encoder attentions with 2 updates in one layer; seven decoder attentions with 2 layers; A and B.
    assert len(added) == 6 * 4 + 7 * 2 * 2
    assert {name.split(".")[-2] for name in added} == {"lora_a", "lora_b"}


def test_lora_meets_queries_and_values_of_the_fused_projection() -> None:
    model = build_sam(BACKBONES["sam-tiny"])
    LoRATuning(rank=2).apply(model)
    qkv = model.get_submodule("image_encoder.blocks.0.attn.qkv")
    assert isinstance(qkv, LoRALinear)
    for matrix in qkv.lora_b:
        nn.init.ones_(matrix)
    changed = (qkv.folded_weight() != qkv.weight).any(dim=1)
    assert changed.tolist() == [True] * 192 + [False] * 192 + [True] * 192


def test_lora_under_autocast_has_gradients() -> None:
    _, layer = lora()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(torch.randn(5, 4)).float().sum().backward()
    assert all(matrix.grad is not None and matrix.grad.any() for matrix in layer.lora_b)
