"""Prompts embedded without waiting, against segment-anything's own prompt encoder: bit for bit."""

from __future__ import annotations

import pytest
import torch
import toys  # noqa: F401

from aims.methods import BACKBONES
from aims.models.prompting import embed_prompts, is_stock_prompt_encoder


@torch.no_grad()
@pytest.mark.parametrize("points", [0, 1, 4])
@pytest.mark.parametrize("boxed", [False, True])
def test_tokens_are_those_of_the_stock_encoder(points: int, boxed: bool) -> None:
    torch.manual_seed(0)
    encoder = BACKBONES["sam-toy"].build().prompt_encoder
    coords = 64 * torch.rand(5, points, 2)
    labels = torch.tensor([[1, 0, -1, 1]])[:, :points].repeat(5, 1)
    boxes = 64 * torch.rand(5, 4) if boxed else None
    assert is_stock_prompt_encoder(encoder)
    tokens, dense = embed_prompts(encoder, coords, labels, boxes)
    expected, expected_dense = encoder(points=(coords, labels), boxes=boxes, masks=None)
    assert torch.equal(tokens, expected)
    assert torch.equal(dense.expand_as(expected_dense), expected_dense)
    assert tokens.shape == (5, points + (2 if boxed else 1), encoder.embed_dim)
