from __future__ import annotations

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor, nn
from torch.nn import functional

from aims.models.alignment import (
    Alignment,
    ChannelViews,
    ConvAlignment,
    FirstThreeChannels,
    TransformerAlignment,
)
from aims.models.alignment_gated import ExtendedPatchEmbed, GatedAlignment
from aims.models.segment_anything import sam_modeling


def count(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def checked(layer: nn.Module, images: Tensor) -> Tensor:
    """The layer's output, with the shapes of its signature checked."""
    output: Tensor = jaxtyped(typechecker=beartype)(type(layer).forward)(layer, images)
    return output


# One: C x 3 weights and 3 biases. Two: (9 C x 64 + 64) + (64 x 3 + 3). Each further one: 9 x 64 x 64 + 64.
@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (1, (6, 835, 37_763, 74_691, 111_619)),
        (3, (12, 1_987, 38_915, 75_843, 112_771)),
        (4, (15, 2_563, 39_491, 76_419, 113_347)),
        (6, (21, 3_715, 40_643, 77_571, 114_499)),
        (9, (30, 5_443, 42_371, 79_299, 116_227)),
    ],
)
def test_parameters_are_those_of_figure_6(channels: int, expected: tuple[int, ...]) -> None:
    layers = [ConvAlignment(channels=channels, kernel=3, width=64, depth=depth) for depth in range(1, 6)]
    assert tuple(count(layer) for layer in layers) == expected


def test_form_of_simcmf() -> None:
    first, activation, last = ConvAlignment(channels=9, kernel=3, width=64, depth=2).layers
    assert isinstance(first, nn.Conv2d)
    assert (first.in_channels, first.out_channels, first.kernel_size, first.padding) == (
        9,
        64,
        (3, 3),
        (1, 1),
    )
    assert isinstance(activation, nn.ReLU)
    assert isinstance(last, nn.Conv2d)
    assert (last.in_channels, last.out_channels, last.kernel_size) == (64, 3, (1, 1))


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_convolutions_keep_the_size(kernel: int, depth: int) -> None:
    layer = ConvAlignment(channels=2, kernel=kernel, width=4, depth=depth)
    assert checked(layer, torch.zeros(2, 2, 7, 11)).shape == (2, 3, 7, 11)


@pytest.mark.parametrize(
    "layer",
    [
        ConvAlignment(channels=4, kernel=3, width=8, depth=2),
        TransformerAlignment(channels=4, patch_size=4, width=16, depth=1),
        GatedAlignment(channels=4),
        ChannelViews(),
        FirstThreeChannels(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_all_parameters_are_declared(layer: Alignment) -> None:
    assert layer.trainable_params() == [name for name, _ in layer.named_parameters()]


def test_patches_go_back_to_where_they_were() -> None:
    layer = TransformerAlignment(channels=3, patch_size=4, width=48, depth=1)
    layer.blocks = nn.Sequential()
    with torch.no_grad():
        # 48 tokens' channels are the 3 x 4 x 4 values of a patch, in the order of the kernel's weights.
        layer.patch_embed.weight.copy_(torch.eye(48).reshape(48, 3, 4, 4))
        layer.to_pixels.weight.copy_(torch.eye(48))
        for linear in (layer.patch_embed, layer.to_pixels):
            assert linear.bias is not None
            linear.bias.zero_()
        images = torch.arange(2 * 3 * 8 * 12.0).reshape(2, 3, 8, 12)
        # 1 x value + 47 x 0: exact.
        assert torch.equal(checked(layer, images), images)


@pytest.mark.parametrize("training", [True, False])
def test_transformer_blocks_are_those_of_a_vit(training: bool) -> None:
    torch.manual_seed(0)
    layer = TransformerAlignment(channels=2, patch_size=4, width=16, depth=2).train(training)
    reference = sam_modeling().image_encoder.Block(dim=16, num_heads=8, norm_layer=nn.LayerNorm)
    images = torch.randn(2, 2, 8, 12)
    with torch.set_grad_enabled(training):
        tokens = layer.patch_embed(images).permute(0, 2, 3, 1)
        for block in layer.blocks:
            names = {
                "norm1": "norm1",
                "norm2": "norm2",
                "attn.qkv": "self_attn.in_proj_",
                "attn.proj": "self_attn.out_proj",
                "mlp.lin1": "linear1",
                "mlp.lin2": "linear2",
            }
            state = block.state_dict()
            reference.load_state_dict(
                {
                    f"{ours}.{kind}": state[f"{torchs}{'' if torchs.endswith('_') else '.'}{kind}"]
                    for ours, torchs in names.items()
                    for kind in ("weight", "bias")
                }
            )
            tokens = reference(tokens)
        expected = torch.zeros(2, 3, 8, 12)
        for row in range(2):
            for column in range(3):
                patch = layer.to_pixels(tokens[:, row, column]).reshape(2, 3, 4, 4)
                expected[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = patch
        # The same sums in another order, two blocks deep.
        torch.testing.assert_close(layer(images), expected, rtol=1e-5, atol=1e-5)


def test_transformer_blocks_start_different() -> None:
    layer = TransformerAlignment(channels=2, patch_size=4, width=16, depth=2)
    one, other = (block.get_parameter("linear1.weight") for block in layer.blocks)
    assert not torch.equal(one, other)


def test_channels_become_views() -> None:
    images = torch.arange(2 * 4 * 3 * 5.0).reshape(2, 4, 3, 5)
    views = checked(ChannelViews(), images)
    assert views.shape == (8, 3, 3, 5)
    for image in range(2):
        for channel in range(4):
            for copy in range(3):
                assert torch.equal(views[4 * image + channel, copy], images[image, channel])


def test_the_first_three_channels() -> None:
    images = torch.arange(2 * 4 * 3 * 5.0).reshape(2, 4, 3, 5)
    for channels in (3, 4):
        assert torch.equal(checked(FirstThreeChannels(), images[:, :channels]), images[:, :3])
    assert torch.equal(checked(FirstThreeChannels(), images[:, 3:]), images[:, [3, 3, 3]])


# 9 C x 4C + 4C, twice 4C, 9 x 4C x C + C, 3 C + 3: in all 72 C^2 + 16 C + 3.
@pytest.mark.parametrize(("channels", "expected"), [(1, 91), (3, 699), (4, 1_219), (6, 2_691), (9, 5_979)])
def test_gate_has_the_parameters_of_the_released_program(channels: int, expected: int) -> None:
    assert count(GatedAlignment(channels=channels)) == expected


def different_weights(layer: nn.Module) -> None:
    """Puts a different value everywhere."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def test_the_gate_splits_every_channel() -> None:
    layer = GatedAlignment(channels=3)
    different_weights(layer)
    images = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    output = checked(layer, images)
    state = layer.state_dict()
    # No channel's two parts are lost: g from the second, then the first from g.
    gate = 1 - (output[:, 3:] / images).mean((2, 3))
    aligned = torch.einsum("bc,bchw,oc->bohw", gate, images, state["to_rgb.weight"][:, :, 0, 0])
    aligned += state["to_rgb.bias"][:, None, None]
    torch.testing.assert_close(output[:, :3], aligned, rtol=1e-4, atol=1e-5)

    hidden = functional.conv2d(images, state["gate.0.weight"], state["gate.0.bias"], padding=1)
    normed = functional.layer_norm(
        hidden.movedim(1, -1), (12,), state["gate.1.weight"], state["gate.1.bias"], eps=1e-6
    ).movedim(-1, 1)
    logits = functional.conv2d(normed.relu(), state["gate.3.weight"], state["gate.3.bias"], padding=1)
    expected = torch.sigmoid(logits.mean((2, 3)))
    assert expected.std() > 0.01
    torch.testing.assert_close(gate, expected, rtol=1e-4, atol=1e-5)


def test_the_extended_patch_embedding_starts_as_the_plain_one() -> None:
    proj = nn.Conv2d(3, 7, 4, stride=4)
    assert proj.bias is not None
    different_weights(proj)
    layer = ExtendedPatchEmbed(proj, channels=2)
    images = torch.randn(2, 5, 8, 12)
    assert torch.equal(checked(layer, images), proj(images[:, :3]).permute(0, 2, 3, 1))
    assert layer.trainable_params() == ["kernels", "biases", "mix"]
    assert [name for name, _ in layer.named_parameters() if name not in layer.trainable_params()] == [
        "proj.weight",
        "proj.bias",
    ]
    for channel in range(2):
        assert torch.equal(layer.kernels[channel], proj.weight.sum(1))
        assert torch.equal(layer.biases[channel], proj.bias)
    # Copies, not views: the stock embedding must not move with them.
    assert layer.biases.data_ptr() != proj.bias.data_ptr()


@pytest.mark.parametrize("channels", [1, 2, 9])
def test_the_extended_patch_embedding_sums_copies(channels: int) -> None:
    layer = ExtendedPatchEmbed(nn.Conv2d(3, 7, 4, stride=4), channels=channels)
    different_weights(layer)
    images = torch.randn(2, 3 + channels, 8, 12, generator=torch.Generator().manual_seed(1))
    expected = layer.proj(images[:, :3])
    for channel in range(channels):
        embedded = functional.conv2d(
            images[:, 3 + channel, None], layer.kernels[channel, :, None], layer.biases[channel], stride=4
        )
        expected = expected + layer.mix[channel] * embedded
    # Float32 sums of up to 12 x 16 products of about 0.1, in another order.
    torch.testing.assert_close(layer(images), expected.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


def test_the_extended_patch_embedding_learns_from_zero() -> None:
    proj = nn.Conv2d(3, 7, 4, stride=4)
    layer = ExtendedPatchEmbed(proj, channels=2)
    layer(torch.randn(1, 5, 8, 12)).square().sum().backward()
    assert layer.mix.grad is not None
    assert layer.mix.grad.all()
    with torch.no_grad():
        layer.mix.sub_(1e-3 * layer.mix.grad)
    layer(torch.randn(1, 5, 8, 12)).square().sum().backward()
    assert layer.kernels.grad is not None
    assert layer.kernels.grad.all()


def test_a_patch_embedding_without_bias() -> None:
    layer = ExtendedPatchEmbed(nn.Conv2d(3, 7, 4, stride=4, bias=False), channels=2)
    assert not layer.biases.any()
    assert layer(torch.randn(1, 5, 8, 8)).shape == (1, 2, 2, 7)
