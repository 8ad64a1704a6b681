"""Backbones of other kinds than SAM: convolutions, and a vision transformer without relative positions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aims.core.errors import InputError
from aims.methods import BACKBONES, METHODS, TUNINGS, build_model, has_model
from aims.models.backbone import Backbone
from aims.models.encoder import PlainEncoder
from aims.models.flops import count_flops
from aims.models.sam_segmenter import SAMSegmenter
from aims.models.segment_anything import sam_modeling
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters

DIM, PATCH, SIZE = 16, 8, 32
GRID = SIZE // PATCH


class ConvBlock(nn.Module):
    """A residual depthwise convolution on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(DIM, DIM, 3, padding=1, groups=DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        convolved: Tensor = self.conv(tokens.permute(0, 3, 1, 2))
        return tokens + convolved.permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Fused attention over all tokens, as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.scale = 2, (DIM // 2) ** -0.5
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, height, width, _ = tokens.shape
        qkv = self.qkv(tokens).reshape(batch, height * width, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(0))
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, height, width, DIM))
        return projected


class ViTBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attn = Attention()
        self.mlp = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class PatchEmbed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, DIM, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.proj(images)
        return tokens.permute(0, 2, 3, 1)


class DotDecoder(nn.Module):
    """A mask is where a pixel resembles the click."""

    def __init__(self) -> None:
        super().__init__()
        self.click, self.pixel = nn.Linear(DIM, DIM), nn.ConvTranspose2d(DIM, DIM, 4, stride=4)
        self.iou = nn.Linear(DIM, 1)

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        clicks = self.click(sparse_prompt_embeddings.mean(1))
        pixels = self.pixel(image_embeddings + image_pe)
        masks = torch.einsum("pd,dhw->phw", clicks, pixels[0])
        return masks[:, None], self.iou(clicks)


@dataclass(frozen=True)
class Toy(Backbone):
    block: type[nn.Module]
    image_size: int = SIZE

    @property
    def mask_size(self) -> int:
        return 4 * GRID

    def build(self) -> Segmenter:
        return SAMSegmenter(
            alignment=nn.Identity(),
            image_encoder=PlainEncoder(
                patch_embed=PatchEmbed(),
                pos_embed=None,
                blocks=[self.block(), self.block()],
                neck=nn.Conv2d(DIM, DIM, 1),
                stages=(),
            ),
            prompt_encoder=sam_modeling().PromptEncoder(
                embed_dim=DIM,
                image_embedding_size=(GRID, GRID),
                input_image_size=(SIZE, SIZE),
                mask_in_chans=4,
            ),
            mask_decoder=DotDecoder(),
            image_size=SIZE,
            in_channels=3,
        )


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers both for a test."""
    monkeypatch.setattr(BACKBONES, "_entries", dict(BACKBONES._entries))
    BACKBONES.register("conv")(Toy(ConvBlock))
    BACKBONES.register("vit")(Toy(ViTBlock))


def build(method: str, tuning: str, backbone: str) -> Segmenter | None:
    """A model for RGB and a sensor; None where method and tuning exclude each other."""
    arguments: dict[str, Any] = {
        "method": method,
        "tuning": tuning,
        "channels": 4,
        "weights": None,
        "seed": 0,
    }
    try:
        return build_model(backbone=backbone, **arguments)
    except InputError as error:
        if "does not go with" in str(error):
            return None
        raise


def take_a_step(model: Segmenter) -> None:
    """One step, and a check of what changed."""
    declared = declared_parameters(model)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    images = torch.randn(1, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    masks, _ = model.decode(
        model.embed(images), torch.full((2, 1, 2), 9.0), torch.ones(2, 1, dtype=torch.int64)
    )
    assert masks.shape == (2, 1, 4 * GRID, 4 * GRID)
    masks.square().sum().backward()
    torch.optim.Adam(declared.values(), lr=1e-2).step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert changed <= set(declared)


PAIRS = list(product(filter(has_model, METHODS), TUNINGS))


@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_a_transformer_of_another_kind_takes_every_method_and_tuning(method: str, tuning: str) -> None:
    model = build(method, tuning, "vit")
    if model is None:
        return
    if tuning == "linear-probe":
        assert "image_encoder.pos_embed" not in declared_parameters(model)
    take_a_step(model)
    assert count_flops(model).forward > 0


@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_convolutions_take_what_needs_no_attention(method: str, tuning: str) -> None:
    missing = {"lora": "attention", "prompt": "attention", "prefix": "attention", "adapter": "MLP"}
    if tuning in missing and METHODS[method].own_tuning is None and method != "scratch":
        with pytest.raises(InputError, match=f"image encoder of this backbone has no {missing[tuning]}"):
            build(method, tuning, "conv")
        return
    model = build(method, tuning, "conv")
    if model is not None:
        take_a_step(model)
