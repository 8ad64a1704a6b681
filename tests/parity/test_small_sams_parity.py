"""MobileSAM and EfficientSAM against numbers of their authors' programs, which are no dependency.

The numbers were computed once (November 2026, torch 2.13 on a CPU, float32) by the authors' own modules with
the weights and inputs of this file. MobileSAM: `mobile_sam/modeling` as of mobilesam-mirror 1.0.0 on PyPI,
with stand-ins for what it imports from timm (layers that do nothing without dropout, an initialisation), and
with the fixed grid of 64 x 64 made that of the picture. EfficientSAM: `efficient_sam/` (encoder and decoder
of commit 0a99594, two-way transformer and padding of points of 2e25110). Whole tensors agreed to 4e-6 of
the largest number here, and image embeddings of the full size to 1e-6.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from typing import Any

import pytest
import torch
from torch import Tensor

from aims.core.errors import InputError
from aims.methods import BACKBONES
from aims.models.backbone import Backbone
from aims.models.efficient_sam import EfficientSAM
from aims.models.mobile_sam import MobileSAM
from aims.models.segmenter import Segmenter

SIZE = 128
MOBILE = MobileSAM(
    widths=(8, 16, 24, 320),
    depths=(1, 1, 2, 1),
    heads=(2, 3, 5),
    windows=(3, 8, 7),
    image_size=SIZE,
    decoder_mlp_dim=32,
    iou_hidden_dim=16,
)
EFFICIENT = EfficientSAM(
    width=24, heads=3, depth=2, image_size=SIZE, prompt_dim=32, decoder_mlp_dim=32, iou_hidden_dim=16
)

POINTS = torch.tensor([[[30.0, 40.0], [100.0, 20.0]], [[60.5, 3.0], [5.0, 77.0]]])
LABELS = torch.tensor([[1, 0], [1, -1]])
BOXES = torch.tensor([[10.0, 20.0, 90.0, 100.0], [0.0, 1.0, 60.0, 50.0]])


def wave(name: str, tensor: Tensor) -> Tensor:
    """Numbers of the name and the place alone: around 1 for norms and variances, else by the fan-in."""
    if not tensor.is_floating_point():
        return tensor
    places = torch.arange(tensor.numel(), dtype=torch.float64)
    numbers = torch.sin(zlib.crc32(name.encode()) % 1000 + 1.7 * places**1.5).view(tensor.shape)
    if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
        return (1 + 0.3 * numbers).float()
    inputs = tensor[0].numel() if tensor.ndim > 1 else 25
    return (numbers if "gaussian" in name else numbers * math.sqrt(1.5 / inputs)).float()


def fill(model: Any) -> Any:
    """Puts waves into all tensors of a model."""
    model.load_state_dict({name: wave(name, tensor) for name, tensor in model.state_dict().items()})
    return model.eval()


def images() -> Tensor:
    places = torch.arange(2 * 3 * SIZE * SIZE, dtype=torch.float64)
    return torch.sin(0.013 * places + 1e-6 * places**2).view(2, 3, SIZE, SIZE).float()


def built(backbone: Backbone, path: Any) -> Segmenter:
    model: Segmenter = fill(backbone.build())
    model.path = path
    return model


def picked(tensor: Tensor, step: int) -> list[float]:
    """Some numbers, and the standard deviation of all."""
    numbers: list[float] = tensor.flatten()[::step][:3].tolist()
    return [*numbers, float(tensor.std())]


def outputs(model: Segmenter) -> dict[str, list[float]]:
    """Numbers of the outputs: image embeddings, and answers to clicks and to boxes with clicks."""
    features = model.embed(images())
    assert isinstance(features, Tensor)
    found = {"embeddings": picked(features, 701)}
    for name, boxes in (("clicks", None), ("boxes", BOXES)):
        for multimask in (False, True):
            logits, iou = model.decode(features[:1], POINTS, LABELS, boxes, multimask=multimask)
            found[f"{name} {logits.shape[1]}"] = [*picked(logits, 211), *iou.flatten().tolist()]
    return found


#: By backbone and output: what `outputs` says of the authors' module.
GOLD: dict[str, dict[str, str]] = {
    "mobile-sam": {
        "embeddings": "1.36517 0.88313 -0.08474 1.03251",
        "clicks 1": "0.27587 0.80114 0.75892 0.51158 0.05784 0.04752",
        "clicks 3": "-0.26654 -0.48463 0.27861 0.51978 -0.23412 0.03233 -0.09205 -0.22327 0.02999 -0.08924",
        "boxes 1": "0.16824 0.84972 0.88299 0.52027 0.03639 0.06185",
        "boxes 3": "-0.18396 -0.46468 0.32133 0.50912 -0.24007 0.02129 -0.08602 -0.24529 0.07647 -0.13121",
    },
    "efficient-sam": {
        "embeddings": "-0.28397 0.94197 0.71223 1.01504",
        "clicks 1": "0.08661 0.07792 -0.03507 0.11797 0.48265 0.83095",
        "clicks 3": "-0.13169 0.10201 -0.21319 0.22887 0.27249 -0.07703 0.00267 0.67532 -0.08060 -0.06891",
        "boxes 1": "0.05632 0.06506 -0.02601 0.12604 0.46867 0.79297",
        "boxes 3": "-0.22817 0.05286 -0.23517 0.24468 0.10887 -0.03441 0.12237 0.53721 -0.04546 -0.04297",
    },
}


@pytest.mark.parametrize("path", ["stock", "fast"])
@pytest.mark.parametrize(("name", "backbone"), [("mobile-sam", MOBILE), ("efficient-sam", EFFICIENT)])
@torch.no_grad()
def test_outputs_are_the_authors(name: str, backbone: Backbone, path: Any) -> None:
    found = outputs(built(backbone, path))
    assert found.keys() == GOLD[name].keys()
    for key, numbers in GOLD[name].items():
        # A hundred times the rounding: the processors of those who run this may sum in another order.
        assert found[key] == pytest.approx([*map(float, numbers.split())], rel=1e-4, abs=1e-4), key


@pytest.mark.parametrize(
    ("name", "tensors", "parameters", "digest"),
    [
        ("mobile-sam", 435, 9_808_452, "9d53a17396c7ffbf7bd3682b563f3b5a131b710cada289817834bd0f6dea2c30"),
        (
            "efficient-sam-ti",
            278,
            10_223_204,
            "3fb8f11fcb8ebe76dbdbe93ad3feb643a4846a161d4e2f578b9b68ded4839872",
        ),
        (
            "efficient-sam-s",
            278,
            26_413_028,
            "7f1f678c841a9b30b1c38ffc0cee04980f4d1ffdec170b6fec45a579c68cc694",
        ),
    ],
)
def test_names_and_shapes_are_the_authors(name: str, tensors: int, parameters: int, digest: str) -> None:
    with torch.device("meta"):
        model = BACKBONES[name].build()
    state = model.state_dict()
    assert len(state) == tensors
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    listed = "\n".join(f"{key} {tuple(tensor.shape)}" for key, tensor in sorted(state.items()))
    assert hashlib.sha256(listed.encode()).hexdigest() == digest


@pytest.mark.parametrize(("name", "more"), [("mobile-sam", 321_640), ("efficient-sam-ti", 0)])
def test_checkpoint_sizes_agree_with_the_number_of_weights(name: str, more: int) -> None:
    """With the classifier of MobileSAM's file: 1000 classes of 320 channels, behind a norm."""
    backbone = BACKBONES[name]
    with torch.device("meta"):
        state = backbone.build().state_dict()
    assert backbone.checkpoint is not None
    held = 4 * more + sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    # PyTorch's zip entries, and in MobileSAM's file the versions of its modules.
    assert 310 < (backbone.checkpoint.size_bytes - held) / len(state) < 390


@torch.no_grad()
def test_all_points_count_and_padding_may_be_anywhere() -> None:
    """Six points are what the authors' program takes; it drops further ones."""
    model = built(EFFICIENT, "fast")
    features = model.embed(images()[:1])
    points = torch.stack([torch.arange(0.0, 80.0, 10.0), torch.arange(100.0, 20.0, -10.0)], 1)[None]
    labels = torch.ones(1, 8, dtype=torch.int64)
    six, eight = (model.decode(features, points[:, :n], labels[:, :n])[0] for n in (6, 8))
    assert (six - eight).abs().max() > 1e-3
    padded = torch.nn.functional.pad(points[:, :3], (0, 0, 0, 2), value=99.0)
    signs = torch.tensor([[1, 1, 1, -1, -1]])
    expected, _ = model.decode(features, points[:, :3], labels[:, :3])
    torch.testing.assert_close(model.decode(features, padded, signs)[0], expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="EfficientSAM takes no mask as a prompt; give points or boxes"):
        model.decode(features, points, labels, masks=torch.zeros(1, 1, 32, 32))
