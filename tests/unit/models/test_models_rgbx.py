from __future__ import annotations

import math

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES, Modality
from aims.methods import BACKBONES
from aims.models.encoder import PlainEncoder
from aims.models.rgbx.cmx import CMXEncoder, FeatureFusion, FeatureRectification
from aims.models.rgbx.common import RGBXEncoder, rgb_objection
from aims.models.rgbx.vipt import Prompter, ViPTEncoder
from aims.models.trainable import declared_buffers, declared_parameters


def plain(name: str = "sam-toy") -> PlainEncoder:
    """A toy encoder with random positions, which segment-anything starts at zero."""
    torch.manual_seed(0)
    encoder = BACKBONES[name].build().image_encoder
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def pictures(channels: int, batch: int = 2, size: int = 64) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))


def tokens(encoder: PlainEncoder, images: Tensor) -> Tensor:
    """The last block's."""
    result = encoder.embed(images)
    for block in encoder.blocks:
        result = block(result)
    return result


@torch.no_grad()
def test_one_channel_of_x_is_repeated_and_three_stay() -> None:
    encoder, images = plain(), pictures(6)
    three = RGBXEncoder(encoder, channels=6)
    one = RGBXEncoder(encoder, channels=4)
    assert torch.equal(three.embed_x(images), encoder.patch_embed(images[:, 3:]))
    repeated = images[:, [5, 5, 5]]
    assert torch.equal(one.embed_x(images[:, [0, 1, 2, 5]]), encoder.patch_embed(repeated))
    assert torch.equal(one.embed_rgb(images[:, :4]), encoder.patch_embed(images[:, :3]) + encoder.pos_embed)


@torch.no_grad()
@pytest.mark.parametrize("count", [2, 6])
def test_other_counts_share_the_kernel(count: int) -> None:
    encoder, images = plain(), pictures(3 + count)
    two_streams = RGBXEncoder(encoder, channels=3 + count)
    convolution = two_streams.x_patch_embed.get_submodule("proj")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.in_channels == count
    # The mean over RGB, times 3 / n.
    kernel = encoder.patch_embed.get_submodule("proj").get_parameter("weight")
    expected = kernel.mean(1) * 3 / count
    for channel in range(count):
        torch.testing.assert_close(convolution.weight[:, channel], expected)
    grey = images[:, :1]
    torch.testing.assert_close(
        two_streams.embed_x(torch.cat((images[:, :3], grey.repeat(1, count, 1, 1)), dim=1)),
        encoder.patch_embed(grey.repeat(1, 3, 1, 1)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_parts_are_taken_over_and_the_second_stream_is_a_copy() -> None:
    encoder = plain()
    cmx = CMXEncoder(encoder, channels=4)
    assert (cmx.blocks[1], cmx.neck, cmx.pos_embed) == (encoder.blocks[1], encoder.neck, encoder.pos_embed)
    for own, copied in ((cmx.blocks, cmx.x_blocks), (cmx.patch_embed, cmx.x_patch_embed)):
        one, other = own.state_dict(keep_vars=True), copied.state_dict(keep_vars=True)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert not {id(tensor) for tensor in one.values()} & {id(tensor) for tensor in other.values()}
    assert set(encoder.state_dict()) < set(cmx.state_dict())


@pytest.mark.parametrize("kind", [ViPTEncoder, CMXEncoder])
@pytest.mark.parametrize("channels", [1, 3])
def test_there_must_be_more_than_rgb(kind: type[RGBXEncoder], channels: int) -> None:
    with pytest.raises(InputError, match=rf"have to be RGB.*at least 4 in all, got {channels}$"):
        kind(plain(), channels=channels)  # type: ignore[call-arg]


def test_modalities_that_have_rgb_first() -> None:
    fitting = {name for name, modality in MODALITIES.items() if rgb_objection(modality) is None}
    assert fitting == {"rgb-thermal", "rgb-depth", "rgb-hha", "rgb-nir"}
    last = Modality(name="thermal-rgb", streams=("thermal", "rgb"))
    assert "RGB first" in str(rgb_objection(last))
    assert rgb_objection(Modality(name="rgb", streams=("rgb",))) is not None


@torch.no_grad()
def test_vipt_without_prompts_is_the_plain_encoder_bit_for_bit() -> None:
    encoder, images = plain(), pictures(5)
    vipt = ViPTEncoder(encoder, channels=5)
    assert not torch.equal(vipt(images), encoder(images[:, :3]))
    for prompter in vipt.prompters:
        assert isinstance(prompter, Prompter)
        nn.init.zeros_(prompter.up.weight)
        nn.init.zeros_(prompter.up.bias)
    assert torch.equal(vipt(images), encoder(images[:, :3]))


@torch.no_grad()
def test_a_prompt_goes_into_its_block_and_into_the_next_prompter() -> None:
    encoder, images = plain(), pictures(4)
    vipt = ViPTEncoder(encoder, channels=4)
    rgb = encoder.patch_embed(images[:, :3]) + encoder.pos_embed
    first = vipt.prompters[0](rgb, encoder.patch_embed(images[:, [3, 3, 3]]))
    rgb = encoder.blocks[0](rgb + first)
    second = vipt.prompters[1](rgb, first)
    assert torch.equal(vipt(images), encoder.finish(encoder.blocks[1](rgb + second)))


@torch.no_grad()
@pytest.mark.parametrize("name", ["sam-toy", "sam-tiny"])
def test_cmx_without_rectification_is_two_plain_encoders_bit_for_bit(name: str) -> None:
    encoder = plain(name)
    cmx = CMXEncoder(encoder, channels=4)
    for parameter in cmx.x_blocks.parameters():  # The same at the start.
        parameter.add_(0.1 * torch.randn_like(parameter))
    images = pictures(4, size=BACKBONES[name].image_size)
    seen: list[Tensor] = []
    cmx.fusions[-1].register_forward_pre_hook(lambda _module, inputs: seen.extend(inputs))
    cmx(images)
    for frm in cmx.rectifications:
        assert isinstance(frm, FeatureRectification)
        assert (frm.lambda_channel, frm.lambda_spatial) == (0.5, 0.5)
        frm.lambda_channel = frm.lambda_spatial = 0.0
    cmx(images)
    rectified_rgb, rectified_x, rgb, x = seen
    assert torch.equal(rgb, tokens(encoder, images[:, :3]))
    encoder.blocks = cmx.x_blocks
    assert torch.equal(x, tokens(encoder, images[:, [3, 3, 3]]))
    assert not torch.equal(rectified_rgb, rgb)
    assert not torch.equal(rectified_x, x)


@torch.no_grad()
def test_cmx_mixes_the_fused_maps_of_all_stages() -> None:
    encoder, images = plain(), pictures(4)
    encoder.stages = (0, 1)
    cmx = CMXEncoder(encoder, channels=4)
    cmx.mix.weight.copy_(torch.tensor([[0.25, -3.0]]))
    cmx.mix.bias.fill_(0.5)
    rgb, x = cmx.embed_rgb(images), cmx.embed_x(images)
    fused = []
    for block, x_block, frm, ffm in zip(
        cmx.blocks, cmx.x_blocks, cmx.rectifications, cmx.fusions, strict=True
    ):
        rgb, x = frm(block(rgb), x_block(x))
        fused.append(ffm(rgb, x))
    expected = encoder.finish(0.25 * fused[0] - 3 * fused[1] + 0.5)
    torch.testing.assert_close(cmx(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("stages", "expected"), [((), (1,)), ((0,), (0, 1)), ((1,), (1,)), ((0, 1), (0, 1))])
def test_the_last_block_always_ends_a_stage(stages: tuple[int, ...], expected: tuple[int, ...]) -> None:
    encoder = plain()
    encoder.stages = stages
    cmx = CMXEncoder(encoder, channels=4)
    assert cmx.stages == expected
    assert len(cmx.fusions) == cmx.mix.in_features == len(expected)


def test_fusion_has_as_many_heads_as_the_encoder() -> None:
    fusion = CMXEncoder(plain("sam-tiny"), channels=4).fusions[0]
    assert isinstance(fusion, FeatureFusion)
    assert (fusion.rgb_path.heads, fusion.x_path.heads) == (6, 6)
    headless = plain()
    headless.blocks = nn.ModuleList([nn.Linear(24, 24)])
    fusion = CMXEncoder(headless, channels=4).fusions[0]
    assert isinstance(fusion, FeatureFusion)
    assert fusion.rgb_path.heads == 1


def test_initialisation_of_a_prompter() -> None:
    prompter = Prompter(300)
    assert prompter.smoothing.tolist() == [10.0]
    for linear in (prompter.rgb_down, prompter.prompt_down, prompter.up):
        # Xavier's uniform: within sqrt(6 / (inputs + outputs)).
        bound = math.sqrt(6 / 308)
        assert 0.99 * bound < linear.weight.abs().max() <= bound


def test_initialisation_of_cmx() -> None:
    torch.manual_seed(0)
    ffm, frm = FeatureFusion(64, 4), FeatureRectification(64)
    for linear in (ffm.rgb_path.split, ffm.x_path.keys_values, ffm.x_path.merge, frm.channel_mlp[2]):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    # He by fan-out: kernel positions x outputs / groups; at least 576 draws, 3 % of error each.
    pointwise, depthwise, _, last, inner = ffm.channel_embed
    for convolution, fan_out in (
        (ffm.residual, 64),
        (pointwise, 64),
        (depthwise, 9),
        (last, 64),
        (frm.spatial_mlp[0], 64),
    ):
        assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
    assert not any(b.any() for b in (pointwise.bias, depthwise.bias, ffm.rgb_path.split.bias))
    assert (inner.weight == 1).all()
    assert not inner.bias.any()


def test_what_the_layers_declare() -> None:
    cmx = CMXEncoder(plain(), channels=4)
    new = [name for name, _ in cmx.named_parameters() if name.startswith(("rectifications.", "fusions."))]
    assert list(declared_parameters(cmx)) == new
    assert set(declared_buffers(cmx)) == {
        f"fusions.0.{norm}.{name}"
        for norm in ("norm", "channel_embed.4")
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    vipt = ViPTEncoder(plain(), channels=4)
    assert list(declared_parameters(vipt)) == [
        n for n, _ in vipt.named_parameters() if n.startswith("prompters.")
    ]
    assert not declared_buffers(vipt)
