"""The fast path computes what segment-anything's modules compute, under every tuning."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)
from torch import Tensor

from aims.methods import build_model
from aims.models.attention import AttentionPath
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters
from aims.models.tuning.lora import LoRALinear

IMAGES, PROMPTS = 2, 3


def tuned(tuning: str, backbone: str = "sam-toy") -> Segmenter:
    """A model of random weights in which what starts at zero is not zero any more."""
    model = build_model(
        method="simcmf", tuning=tuning, backbone=backbone, channels=1, weights=None, seed=0
    ).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in declared_parameters(model).values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def answers(
    model: Segmenter, path: AttentionPath, images: int = IMAGES
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits, predicted IoU and embeddings, and the gradients of a loss on all of them."""
    model.path = path
    generator = torch.Generator().manual_seed(2)
    side, dtype = model.image_size, next(model.parameters()).dtype
    pictures = torch.randn(images, 1, side, side, generator=generator).to(dtype)
    coords = side * torch.rand(images * PROMPTS, 2, 2, generator=generator)
    labels = torch.tensor([[1, 0]]).expand(len(coords), -1)
    model.zero_grad()
    embeddings = model.embed(pictures)
    embeddings.retain_grad()
    logits, iou = model.decode(embeddings, coords, labels)
    weights = torch.randn(logits.shape, generator=generator)
    ((logits * weights).mean() + iou.mean()).backward()  # type: ignore[no-untyped-call]
    assert embeddings.grad is not None
    gradients = {
        name: parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        for name, parameter in declared_parameters(model).items()
    }
    outputs = {"logits": logits.detach(), "iou": iou.detach(), "embeddings": embeddings.detach()}
    return outputs, {**gradients, "of the embeddings": embeddings.grad}


def assert_close(fast: dict[str, Tensor], stock: dict[str, Tensor], tolerance: float) -> None:
    assert fast.keys() == stock.keys()
    for name, expected in stock.items():
        # Of the whole tensor's size: a small entry may be the difference of large ones. Where the gradient is
        # zero by nature (a bias of keys) only rounding is left.
        error = (fast[name] - expected).abs().max() / expected.abs().max().clamp_min(1e-6)
        assert error < tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("tuning", ["full", "lora", "adapter", "prompt", "prefix", "linear-probe"])
def test_both_paths_give_the_same_numbers(tuning: str) -> None:
    model = tuned(tuning)
    fast, stock = answers(model, "fast")[0], answers(model, "stock")[0]
    assert fast["logits"].shape == (IMAGES * PROMPTS, 1, 32, 32)
    assert fast["iou"].shape == (IMAGES * PROMPTS, 1)
    assert stock["logits"].abs().max() > 0
    assert_close(fast, stock, 1e-5)


@pytest.mark.parametrize("tuning", ["full", "lora", "adapter", "prompt", "prefix", "linear-probe"])
def test_both_paths_give_the_same_gradients(tuning: str) -> None:
    model = tuned(tuning).double()
    model.prompt_encoder.float()  # It never learns, and knows no other type.
    assert_close(answers(model, "fast")[1], answers(model, "stock")[1], 1e-6)


def test_prompts_of_several_images_are_answered_image_by_image() -> None:
    model = tuned("full")
    generator = torch.Generator().manual_seed(3)
    pictures = torch.randn(2, 1, 64, 64, generator=generator)
    coords = 64 * torch.rand(6, 1, 2, generator=generator)
    labels = torch.ones(6, 1, dtype=torch.int64)
    with torch.inference_mode():
        embeddings = model.embed(pictures)
        together, _ = model.decode(embeddings, coords, labels)
        for image, part in ((0, slice(0, 3)), (1, slice(3, 6))):
            alone, _ = model.decode(embeddings[image, None], coords[part], labels[part])
            torch.testing.assert_close(together[part], alone, rtol=0, atol=1e-5)


def test_updates_are_folded_where_that_costs_less() -> None:
    narrow = LoRALinear(torch.nn.Linear(192, 576), rank=100, outputs=(slice(0, 192), slice(384, 576)))
    wide = LoRALinear(torch.nn.Linear(768, 2304), rank=100, outputs=(slice(0, 768), slice(1536, 2304)))
    assert narrow._folding_pays(1024)
    assert not narrow._folding_pays(20)
    assert not wide._folding_pays(16384)


@pytest.mark.parametrize("tokens", [4, 400])
def test_folded_or_not_the_gradients_are_the_same(tokens: int) -> None:
    torch.manual_seed(0)
    layer = LoRALinear(torch.nn.Linear(32, 96), rank=16, outputs=(slice(0, 32), slice(64, 96)))
    layer.weight.requires_grad_(False)
    for matrix in layer.lora_b:
        torch.nn.init.normal_(matrix)
    inputs = torch.randn(tokens, 32, requires_grad=True)
    weights = torch.randn(tokens, 96)
    parameters = [inputs, *layer.lora_a, *layer.lora_b]
    results = []
    for folded in (True, False):
        layer._folding_pays = lambda count, folded=folded: folded  # type: ignore[method-assign,misc]
        output = layer(inputs)
        results.append([output, *torch.autograd.grad((output * weights).sum(), parameters)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_decoder_and_encoder_blocks_are_one_graph_each() -> None:
    """So that `torch.compile` gains something on a GPU: every break would be a way back to Python.

    In a process of its own, where no shapes are checked: the checks cannot be traced.
    """
    code = """
import torch
from aims.methods import build_model
from aims.models import attention, segmenter

# What a GPU does.
attention.attend = lambda q, k, v, *, scale, bias=None, path="stock": attention.attend_fused(
    q, k, v, *bias.of(q), scale=scale
)
model = build_model(method="simcmf", tuning="lora", backbone="sam-tiny", channels=1, weights=None, seed=0)
images, clicks = torch.randn(1, 1, 128, 128), (torch.full((2, 1, 2), 40.0), torch.ones(2, 1).long())
expected = model.decode(model.embed(images), *clicks)[0]
for block in model.image_encoder.blocks:
    block.compile(backend="eager", fullgraph=True)
segmenter.decode_masks = torch.compile(segmenter.decode_masks, backend="eager", fullgraph=True)
found = model.decode(model.embed(images), *clicks)[0]
found.mean().backward()
assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
