"""The layers of ViPT and CMX against their formulas, written out naively: whole tensors."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor, nn

from aims.models.rgbx.cmx import CrossPath, FeatureFusion, FeatureRectification
from aims.models.rgbx.vipt import Prompter

DIM, HEADS, GRID = 6, 2, (3, 5)

M = TypeVar("M", bound=nn.Module)

checked = jaxtyped(typechecker=beartype)


def streams(batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(batch, *GRID, DIM, generator=generator),
        2 + torch.randn(batch, *GRID, DIM, generator=generator),
    )


def randomized(module: M) -> M:
    """Random everything: norms would be ones and zeros at the start, many biases zeros."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for statistic in module.buffers():
            if statistic.is_floating_point():
                statistic.add_(0.3 * torch.rand(statistic.shape, generator=generator))
    return module


def affine(layer: nn.Module, vector: Tensor) -> Tensor:
    """A linear layer or a 1 x 1 convolution of one vector."""
    weight = layer.get_parameter("weight").flatten(1)
    result = torch.einsum("oi,i->o", weight, vector)
    return result + layer.bias if isinstance(layer.bias, Tensor) else result


def layer_norm(layer: nn.LayerNorm, vector: Tensor, eps: float) -> Tensor:
    centred = vector - vector.mean()
    return centred / (centred.square().mean() + eps).sqrt() * layer.weight + layer.bias


def close(found: Tensor, expected: Tensor) -> None:
    # Float32 sums of at most 24 products of about 1, in another order.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01


@torch.no_grad()
def test_prompter() -> None:
    prompter = randomized(Prompter(DIM))
    rgb, prompt = streams()
    expected = torch.empty_like(rgb)
    for image in range(len(rgb)):
        positions = [(row, column) for row in range(GRID[0]) for column in range(GRID[1])]
        features = [
            affine(prompter.rgb_down, layer_norm(prompter.norm, rgb[image][p], 1e-6)) for p in positions
        ]
        exponents = [torch.exp(prompter.smoothing * feature) for feature in features]
        for p, feature, exponent in zip(positions, features, exponents, strict=True):
            fovea = feature * exponent / sum(exponents)
            other = affine(prompter.prompt_down, layer_norm(prompter.norm, prompt[image][p], 1e-6))
            expected[image][p] = affine(prompter.up, fovea + other)
    close(checked(Prompter.forward)(prompter, rgb, prompt), expected)


@torch.no_grad()
def test_feature_rectification() -> None:
    frm = randomized(FeatureRectification(DIM))
    frm.lambda_channel, frm.lambda_spatial = 0.3, 0.6
    rgb, x = streams()
    expected_rgb, expected_x = torch.empty_like(rgb), torch.empty_like(x)
    for image in range(len(rgb)):
        a, b = rgb[image].flatten(0, 1), x[image].flatten(0, 1)
        pooled = torch.cat((a.mean(0), b.mean(0), a.max(0).values, b.max(0).values))
        channel = torch.sigmoid(affine(frm.channel_mlp[2], affine(frm.channel_mlp[0], pooled).relu()))
        for row in range(GRID[0]):
            for column in range(GRID[1]):
                a, b = rgb[image, row, column], x[image, row, column]
                hidden = affine(frm.spatial_mlp[0], torch.cat((a, b))).relu()
                spatial = torch.sigmoid(affine(frm.spatial_mlp[2], hidden))
                expected_rgb[image, row, column] = a + 0.3 * channel[DIM:] * b + 0.6 * spatial[1] * b
                expected_x[image, row, column] = b + 0.3 * channel[:DIM] * a + 0.6 * spatial[0] * a
    found = checked(FeatureRectification.forward)(frm, rgb, x)
    close(found[0], expected_rgb)
    close(found[1], expected_x)


def cross(path: CrossPath, other: CrossPath, tokens: Tensor, others: Tensor) -> Tensor:
    """One stream's half of the cross path on (tokens, dim)."""
    split = torch.stack([affine(path.split, token).relu() for token in tokens])
    exchanged = torch.stack([affine(other.split, token).relu() for token in others])[:, DIM:]
    keys_values = torch.stack([affine(other.keys_values, token) for token in exchanged])
    width = DIM // HEADS
    answers = []
    for head in range(HEADS):
        keys = keys_values[:, head * width : (head + 1) * width]
        values = keys_values[:, DIM + head * width : DIM + (head + 1) * width]
        context = torch.einsum("nk,nv->kv", keys, values) * width**-0.5
        context = context.exp() / context.exp().sum(0, keepdim=True)
        queries = split[:, DIM + head * width : DIM + (head + 1) * width]
        answers.append(torch.einsum("nk,kv->nv", queries, context))
    kept_and_answer = torch.cat((split[:, :DIM], *answers), dim=1)
    return torch.stack(
        [
            layer_norm(path.norm, token + affine(path.merge, both), 1e-5)
            for token, both in zip(tokens, kept_and_answer, strict=True)
        ]
    )


def batch_norm(layer: nn.BatchNorm2d, maps: Tensor, training: bool) -> Tensor:
    """On (batch, height, width, channels)."""
    mean, variance = layer.running_mean, layer.running_var
    if training:
        rows = maps.flatten(0, 2)
        mean, variance = rows.mean(0), (rows - rows.mean(0)).square().mean(0)
    assert mean is not None
    assert variance is not None
    return (maps - mean) / (variance + 1e-5).sqrt() * layer.weight + layer.bias


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_feature_fusion(training: bool) -> None:
    ffm = randomized(FeatureFusion(DIM, HEADS)).train(training)
    rgb, x = streams()
    first, depthwise, _, last, inner = ffm.channel_embed
    residual, embedded = torch.empty_like(rgb), torch.empty_like(rgb)
    for image in range(len(rgb)):
        a, b = rgb[image].flatten(0, 1), x[image].flatten(0, 1)
        both = torch.cat(
            (cross(ffm.rgb_path, ffm.x_path, a, b), cross(ffm.x_path, ffm.rgb_path, b, a)), dim=1
        )
        both = both.view(*GRID, 2 * DIM)
        padded = torch.zeros(GRID[0] + 2, GRID[1] + 2, DIM)
        for row in range(GRID[0]):
            for column in range(GRID[1]):
                padded[row + 1, column + 1] = affine(first, both[row, column])
                residual[image, row, column] = affine(ffm.residual, both[row, column])
        for row in range(GRID[0]):
            for column in range(GRID[1]):
                window = padded[row : row + 3, column : column + 3]
                around = torch.einsum("ijc,cij->c", window, depthwise.weight[:, 0]) + depthwise.bias
                embedded[image, row, column] = affine(last, around.relu())
    expected = batch_norm(ffm.norm, residual + batch_norm(inner, embedded, training), training)
    found = checked(FeatureFusion.forward)(ffm, rgb, x)
    # Batch normalisation divides by standard deviations of about 0.1.
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01
