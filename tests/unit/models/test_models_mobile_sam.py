"""MobileSAM's own: batch normalisation, projections that go head by head, and its authors' file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_backbones import SMALL

from aims.core.errors import InputError
from aims.methods import BACKBONES, build_model
from aims.models.segmenter import Segmenter
from aims.models.tiny_vit import BatchNorm, WindowAttention
from aims.models.trainable import (
    declared_buffers,
    declared_parameters,
    load_trainable_state,
    trainable_state,
)
from aims.models.tuning.lora import LoRALinear, update_projections
from aims.models.weights import load_weights

NAME, SIZE = SMALL["mobile-sam"], 64


def build(tuning: str, method: str = "simcmf") -> Segmenter:
    return build_model(method=method, tuning=tuning, backbone=NAME, channels=3, weights=None, seed=0)


def train(model: Segmenter) -> None:
    """One step on one image that is far from what the running statistics say."""
    model.train()
    images = 3 + 2 * torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    logits, _ = model.decode(
        model.embed(images), torch.full((1, 1, 2), 9.0), torch.ones(1, 1, dtype=torch.int64)
    )
    logits.square().sum().backward()
    torch.optim.Adam(declared_parameters(model).values(), lr=1e-2).step()


@pytest.mark.parametrize("tuning", ["lora", "adapter", "prompt", "prefix", "linear-probe"])
def test_frozen_normalisation_keeps_its_statistics(tuning: str) -> None:
    model = build(tuning)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        training, evaluating = (model.train(mode).image_encoder(images) for mode in (True, False))
    if tuning != "prompt":  # which has dropout
        assert torch.equal(training, evaluating)
    train(model)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert not declared_buffers(model)


@pytest.mark.parametrize(("method", "tuning"), [("simcmf", "full"), ("scratch", "full")])
def test_learning_normalisation_is_torchs_and_its_statistics_are_saved(method: str, tuning: str) -> None:
    model, other = build(tuning, method), build(tuning, method)
    train(model)
    norms = [name for name, module in model.named_modules() if isinstance(module, BatchNorm)]
    assert {name.rpartition(".")[0] for name in declared_buffers(model)} == set(norms)
    first = f"{norms[0]}.running_mean"
    assert not torch.equal(model.get_buffer(first), other.get_buffer(first))
    load_trainable_state(other, trainable_state(model), source="a step")
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        ours, theirs = (each.eval().embed(images) for each in (model, other))
    assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))


def test_lora_changes_queries_and_values_of_every_head() -> None:
    attention = WindowAttention(dim=12, heads=3, window=2)
    update_projections(attention, rank=2)
    layer: Any = attention.qkv
    assert isinstance(layer, LoRALinear)
    assert [tuple(matrix.shape) for matrix in layer.lora_b] == [(12, 2), (12, 2)]
    with torch.no_grad():
        for matrix in layer.lora_b:
            matrix.normal_()
        tokens = torch.randn(5, 4, 12)
        plain = torch.nn.functional.linear(tokens, layer.weight, layer.bias)
        changed = layer.folded_weight() - layer.weight
    # By head: four rows of queries, four of keys, four of values.
    moved = (changed != 0).any(1).view(3, 3, 4)
    assert moved[:, [0, 2]].all()
    assert not moved[:, 1].any()
    queries = changed.view(3, 3, 4, 12)[:, 0].reshape(12, 12)
    torch.testing.assert_close(queries, (layer.lora_b[0] @ layer.lora_a[0]).detach(), rtol=1e-5, atol=1e-6)
    # With gradients few tokens are not folded.
    unfolded = layer(tokens)
    torch.testing.assert_close(unfolded, plain + tokens @ changed.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("tuning", "each"), [("prompt", 1), ("prefix", 2)])
def test_every_attention_of_the_encoder_gets_tokens(tuning: str, each: int) -> None:
    model = build(tuning)
    attentions = [module for module in model.image_encoder.modules() if isinstance(module, WindowAttention)]
    assert len(attentions) == 4
    of_encoder = [name for name in declared_parameters(model) if name.startswith("image_encoder.")]
    assert len(of_encoder) == each * len(attentions)
    train(model)
    for name in of_encoder:
        assert model.get_parameter(name).grad.abs().max() > 0  # type: ignore[union-attr]


def test_the_authors_file_is_read_without_its_classifier(tmp_path: Path) -> None:
    state = BACKBONES[NAME].build().state_dict()
    classifier = {
        f"image_encoder.{name}": torch.zeros(3) for name in ("norm_head.weight", "head.weight", "head.bias")
    }
    torch.save(state | classifier, tmp_path / "own.pt")
    read = load_weights(NAME, tmp_path / "own.pt").state
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_weights_under_the_name_model_are_read(tmp_path: Path) -> None:
    """As EfficientSAM's authors save them."""
    name = SMALL["efficient-sam"]
    state = BACKBONES[name].build().state_dict()
    torch.save({"model": state, "epoch": 3}, tmp_path / "own.pt")
    assert load_weights(name, tmp_path / "own.pt").state.keys() == state.keys()
    torch.save({"model": [state]}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a dictionary of tensors by name"):
        load_weights(name, tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("mobile-sam:widths=64+128", "widths must be 4 numbers of at least 1"),
        ("mobile-sam:windows=7+0+7", "windows must be 3 numbers of at least 1"),
        ("mobile-sam:heads=4+5+9", "width 320 is no multiple of 9 heads"),
        ("mobile-sam:widths=63+128+160+320", "the first of the widths, 63, is no even number"),
        ("mobile-sam:image_size=1000", "image_size 1000 is no multiple of 16"),
        ("mobile-sam:prompt_dim=100", "prompt_dim 100 is no multiple of 16"),
        ("mobile-sam:iou_hidden_dim=0", "iou_hidden_dim must be at least 1, not 0"),
        ("efficient-sam-s:heads=5", "width 384 is no multiple of 5 heads"),
        ("efficient-sam-s:depth=0", "depth must be at least 1, not 0"),
        ("efficient-sam-ti:image_size=1000", "image_size 1000 is no multiple of the patches' 16"),
        ("efficient-sam-ti:prompt_dim=8", "prompt_dim 8 is no multiple of 16"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(variant: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"backbone '{variant}': {reason}".replace("+", r"\+")):
        BACKBONES[variant]
