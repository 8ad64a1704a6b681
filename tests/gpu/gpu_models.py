"""Models with random weights, what they answer, and how far two answers are apart."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import torch
import toys  # noqa: F401  (registers its backbone)
from torch import Tensor

from aims.methods import TUNINGS, build_model
from aims.models.attention import AttentionPath
from aims.models.segment_anything import sam_modeling
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters, freeze_undeclared
from reduced import REDUCED

IMAGES, PROMPTS = 2, 2


def _moved(model: Segmenter) -> Segmenter:
    """With everything random: what starts at zero would hide its own errors."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in declared_parameters(model).values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def tuned(method: str, tuning: str, channels: int, backbone: str = "sam-toy") -> Segmenter:
    return _moved(
        build_model(method=method, tuning=tuning, backbone=backbone, channels=channels, weights=None, seed=0)
    )


def reduced(name: str, tuning: str) -> Segmenter:
    """A family of backbones with its own widths and heads, and a tuning."""
    torch.manual_seed(0)
    model: Segmenter = REDUCED[name].build()
    REDUCED[name].initialize(model)
    TUNINGS[tuning]().apply(model)
    freeze_undeclared(model)
    return _moved(model)


def answers(
    model: Segmenter, device: torch.device, path: AttentionPath, *, bf16: bool = False
) -> dict[str, Tensor]:
    """Embeddings, logits, predicted IoU, and the gradients of a loss on all of them; on the CPU.

    They are float64 if the model is, else float32.
    """
    model.to(device)
    model.path = path
    generator = torch.Generator().manual_seed(2)
    side, dtype = model.image_size, next(model.parameters()).dtype
    pictures = torch.randn(IMAGES, model.in_channels, side, side, generator=generator).to(device, dtype)
    coords = (side * torch.rand(IMAGES * PROMPTS, 2, 2, generator=generator)).to(dtype)
    labels = torch.tensor([[1, 0]]).expand(len(coords), -1).to(device)
    weights = torch.randn(len(coords), 1, side // 4, side // 4, generator=generator).to(device)
    model.zero_grad()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        embeddings = model.embed(pictures)
        logits, iou = model.decode(embeddings, coords.to(device), labels)
    if logits.shape != weights.shape:
        weights = torch.randn(logits.shape, generator=generator).to(device)
    loss = (logits.to(dtype) * weights).mean() + iou.to(dtype).mean()
    if loss.requires_grad:
        loss.backward()
    found = {"embeddings": embeddings, "logits": logits, "iou": iou}
    found |= {
        f"gradient of {name}": torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in declared_parameters(model).items()
    }
    return {name: tensor.detach().to("cpu", dtype) for name, tensor in found.items()}


def exact_answers(model: Segmenter) -> dict[str, Tensor]:
    """The answers of the stock path in float64."""
    encoding = sam_modeling().prompt_encoder.PositionEmbeddingRandom
    plain = encoding._pe_encoding

    def in_its_own_type(self: Any, coords: Tensor) -> Tensor:
        # Its callers cast the coordinates to float32.
        encoded: Tensor = plain(self, coords.to(self.positional_encoding_gaussian_matrix.dtype))
        return encoded

    with mock.patch.object(encoding, "_pe_encoding", in_its_own_type):
        return answers(copy.deepcopy(model).double(), torch.device("cpu"), "stock")


def distance(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference as a part of the norm."""
    return float((found - expected).norm() / expected.norm().clamp_min(1e-6))


def assert_close(
    found: dict[str, Tensor],
    expected: dict[str, Tensor],
    tolerance: float,
    exact: dict[str, Tensor] | None = None,
) -> None:
    """The largest difference as a part of the tensor's size: a small entry may be a difference of large ones.

    Some gradients are zero by nature (a bias of keys) and nothing but rounding is left: none counts as
    smaller than a thousandth of the largest. Others are sums of both signs over all pixels (the bias of a
    gate), in which digits cancel: with `exact`, in float64, what is found may err four times as much as what
    is expected does.
    """
    assert found.keys() == expected.keys()
    sizes = {name: float(tensor.abs().max()) for name, tensor in expected.items()}
    least = 1e-3 * max((size for name, size in sizes.items() if name.startswith("gradient")), default=0.0)
    for name, tensor in expected.items():
        size = max(sizes[name], least) if name.startswith("gradient") else sizes[name]
        right = tensor if exact is None else exact[name]
        error, lost = (float((each - right).abs().max()) / size for each in (found[name], tensor))
        # Not a number is no smaller than anything.
        assert error < tolerance + 4 * lost, f"{name}: {error:.1e}, and the CPU's {lost:.1e}"
