"""Folding: a fine-tuned model becomes plain weights that compute the same, or is refused."""

from __future__ import annotations

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)
from torch import nn

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.methods import BACKBONES, METHODS, TUNINGS, build_model, has_model
from aims.models.alignment import ConvAlignment
from aims.models.merging import (
    alignment_layers,
    folded_state,
    largest_differences,
    layer_source,
    plain_model,
)
from aims.models.segmenter import Segmenter
from aims.models.tuning.lora import LoRALinear

TOY = BACKBONES["sam-toy"]
PAIRS = [
    (method, tuning)
    for method in filter(has_model, METHODS)
    for tuning in (*TUNINGS, NO_TUNING)
    if METHODS[method].own_tuning in (None, tuning)
    and (tuning != NO_TUNING or METHODS[method].own_tuning == NO_TUNING)
    and METHODS[method]().tuning_objection(tuning) is None
]
#: What has to leave AIMS, at four channels: plain SAM behind convolutions, a choice of channels, or nothing.
PLAIN = [
    (method, tuning)
    for method in ("linear", "mlp", "simcmf", "random-embed", "channel-batch")
    for tuning in ("full", "lora")
] + [("linear-frozen", "lora"), ("simcmf", "linear-probe"), ("scratch", "full"), ("zero-shot", NO_TUNING)]


def made(method: str, tuning: str, channels: int = 4) -> Segmenter:
    """A model with random numbers everywhere: B of LoRA and relative positions would be zero."""
    model = build_model(
        method=method, tuning=tuning, backbone="sam-toy", channels=channels, weights=None, seed=0
    ).eval()
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_every_pair_is_folded_to_the_same_output_or_refused(method: str, tuning: str) -> None:
    model = made(method, tuning)
    try:
        plain, layers = plain_model(model, TOY), alignment_layers(model)
    except InputError as error:
        reason = str(error)
    else:
        assert max(largest_differences(model, plain, layers).values()) < 1e-5
        state, expected = plain.state_dict(), TOY.build().state_dict()
        assert state.keys() == expected.keys()
        other = {name for name in state if state[name].shape != expected[name].shape}
        new = "image_encoder.patch_embed.proj.weight"
        assert other == ({new} if method in ("scratch", "random-embed") else set())
        return
    assert (method, tuning) not in PLAIN
    assert "tensors do not fit the model" in reason or "is no sequence of convolutions" in reason


def test_the_plain_pairs_are_there() -> None:
    assert set(PLAIN) <= set(PAIRS)


def test_lora_is_folded_by_hand() -> None:
    linear = nn.Linear(2, 3)
    linear.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    layer = LoRALinear(linear, rank=1, outputs=(slice(0, 1), slice(2, 3)))
    layer.lora_a[0].data, layer.lora_a[1].data = torch.tensor([[10.0, 20.0]]), torch.tensor([[30.0, 40.0]])
    layer.lora_b[0].data, layer.lora_b[1].data = torch.tensor([[0.1]]), torch.tensor([[-0.1]])
    model = build_model(method="simcmf", tuning="full", backbone="sam-toy", channels=1, weights=None, seed=0)
    model.image_encoder.blocks[0].odd = layer
    state = folded_state(model)
    # Rows 1 and 3 get B A: 0.1 (10, 20) and -0.1 (30, 40); row 2 stays.
    name = "image_encoder.blocks.0.odd"
    assert torch.allclose(state[f"{name}.weight"], torch.tensor([[2.0, 4.0], [3.0, 4.0], [2.0, 2.0]]))
    assert torch.equal(state[f"{name}.bias"], linear.bias)
    assert {key for key in state if key.startswith(name)} == {f"{name}.weight", f"{name}.bias"}
    assert not any(key.startswith("alignment") for key in state)


def test_lora_changes_the_output_and_the_comparison_sees_it() -> None:
    model = made("simcmf", "lora")
    plain, layers = plain_model(model, TOY), alignment_layers(model)
    for name, parameter in plain.named_parameters():
        if name == "image_encoder.blocks.0.attn.qkv.weight":
            parameter.data[0, 0] += 0.1
    assert largest_differences(model, plain, layers)["image_embeddings"] > 1e-4


def test_a_tensor_without_a_place_is_refused_by_its_name() -> None:
    model = made("simcmf", "full")
    model.image_encoder.blocks[1].extra = nn.Linear(2, 2, bias=False)
    with pytest.raises(InputError, match=r"1 unexpected \(image_encoder\.blocks\.1\.extra\.weight\)"):
        plain_model(model, TOY)


def test_a_change_without_weights_is_seen_in_the_output() -> None:
    class Doubled(nn.Module):
        def __init__(self, neck: nn.Sequential) -> None:
            super().__init__()
            for name, layer in neck.named_children():
                self.add_module(name, layer)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            for layer in self.children():
                tokens = layer(tokens)
            return 2 * tokens

    model = made("simcmf", "full")
    model.image_encoder.neck = Doubled(model.image_encoder.neck)  # type: ignore[arg-type]
    plain = plain_model(model, TOY)
    assert largest_differences(model, plain, alignment_layers(model))["image_embeddings"] > 0.1


@pytest.mark.parametrize(("method", "tuning"), [("simcmf", "lora"), ("random-embed", "full")])
def test_shapes_alone_are_enough_to_refuse_early(method: str, tuning: str) -> None:
    with torch.device("meta"):
        model = build_model(
            method=method, tuning=tuning, backbone="sam-vit-h", channels=9, weights=None, seed=0
        )
        plain = plain_model(model, BACKBONES["sam-vit-h"])
        alignment_layers(model)
    assert next(plain.parameters()).is_meta
    assert plain.in_channels == (9 if method == "random-embed" else 3)


@pytest.mark.parametrize(
    ("method", "channels", "expected"),
    [
        # Rows: outputs; columns: channels of the image.
        ("zero-shot", 1, [[1], [1], [1]]),
        ("zero-shot", 4, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]),
        ("channel-batch", 2, [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]),
    ],
)
def test_an_alignment_without_weights_becomes_a_convolution(
    method: str, channels: int, expected: list[list[int]]
) -> None:
    tuning = NO_TUNING if method == "zero-shot" else "full"
    (layer,) = alignment_layers(made(method, tuning, channels))
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    assert layer.weight[:, :, 0, 0].tolist() == expected
    assert not layer.bias.any()


def test_an_alignment_of_another_kind_is_refused() -> None:
    model = made("simcmf", "full")

    class Scaled(ConvAlignment):
        def __init__(self) -> None:
            super().__init__(channels=4, kernel=1, width=3, depth=1)
            self.scale = nn.Parameter(torch.ones(1))

    model.alignment = Scaled()
    with pytest.raises(InputError, match=r"its alignment module, Scaled, is no sequence of convolutions"):
        alignment_layers(model)
    model.alignment = nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
    with pytest.raises(InputError, match="Sequential, is no sequence of convolutions"):
        alignment_layers(model)
    model.alignment = nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU())
    assert alignment_layers(model) is model.alignment


@pytest.mark.parametrize(
    "source",
    [
        "nn.Conv2d(4, 3, 1)",
        "nn.Conv2d(4, 64, 3, padding=1)",
        "nn.Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), dilation=2, groups=2, bias=False)",
        "nn.Conv2d(4, 3, 3, padding='same', padding_mode='reflect')",
        "nn.ReLU()",
        "nn.GELU(approximate='none')",
        "nn.Identity()",
    ],
)
def test_a_layers_source_builds_it(source: str) -> None:
    layer = eval(source, {"nn": nn})
    assert layer_source(layer) == source
