from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from aims.methods import BACKBONES
from aims.models.initialization import initialize_random
from aims.models.sam import SAM
from aims.models.segment_anything import sam_modeling
from aims.models.segmenter import Segmenter

# Small enough for a few dozen steps in a test: a grid of 8 x 8 patches, one block.
SMALL = dataclasses.replace(
    BACKBONES["sam-tiny"], width=96, depth=1, heads=3, global_blocks=(0,), image_size=64, decoder_mlp_dim=256
)


def made(backbone: SAM) -> Segmenter:
    model = backbone.build()
    initialize_random(model)
    return model


def test_every_attention_of_the_decoder_fetches_what_is_alike() -> None:
    attentions = [
        module
        for module in made(SMALL).mask_decoder.modules()
        if isinstance(module, sam_modeling().transformer.Attention)
    ]
    assert len(attentions) == 7
    for attention in attentions:
        assert torch.equal(attention.q_proj.weight, attention.k_proj.weight)
        assert torch.equal(attention.out_proj.weight, attention.v_proj.weight.T)
        gram = attention.v_proj.weight @ attention.v_proj.weight.T
        torch.testing.assert_close(gram, torch.eye(len(gram)), rtol=0, atol=1e-5)  # float32 rounding


def test_keys_and_shapes_stay() -> None:
    with torch.device("meta"):
        plain = BACKBONES["sam-vit-b"].build()
        changed = made(BACKBONES["sam-vit-b"])
    assert {name: tensor.shape for name, tensor in plain.state_dict().items()} == {
        name: tensor.shape for name, tensor in changed.state_dict().items()
    }


def discs(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise (count, 3, 64, 64), masks (32 x 32) of discs around clicks, the clicks: only they tell where."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    clicks = torch.randint(10, 54, (count, 1, 2), generator=generator)
    squares = (columns - clicks[..., :1, None]).square() + (rows - clicks[..., 1:, None]).square()
    images = torch.randn(count, 3, 64, 64, generator=generator)
    return images, (squares < 10**2)[..., ::2, ::2].float().reshape(count, 1, 32, 32), clicks.float()


def trained_iou(model: Segmenter, steps: int) -> float:
    """IoU of disc masks in the last ten of a few training steps (Dice + cross-entropy, Adam)."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(
        [*model.image_encoder.parameters(), *model.mask_decoder.parameters()], lr=1e-3
    )
    labels = torch.ones(1, 1, dtype=torch.long)
    ious = []
    for _ in range(steps):
        images, masks, clicks = discs(4, generator)
        embeddings = model.embed(images)
        logits = torch.cat([model.decode(embeddings[k, None], clicks[k, None], labels)[0] for k in range(4)])
        chances, found = logits.sigmoid(), logits > 0
        dice = 1 - 2 * (chances * masks).sum() / (chances.square().sum() + masks.sum())
        loss = dice + functional.binary_cross_entropy_with_logits(logits, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ious.append(((found & (masks > 0)).sum() / (found | (masks > 0)).sum()).item())
    return sum(ious[-10:]) / 10


@pytest.mark.thorough
def test_training_finds_the_click_at_once() -> None:
    stock, ours = SMALL.build(), made(SMALL)
    assert trained_iou(ours, 30) > 0.3
    assert trained_iou(stock, 30) < 0.1


def test_unrelated_weights_are_segment_anythings() -> None:
    torch.manual_seed(0)
    plain = SMALL.build()
    torch.manual_seed(0)
    changed = made(SMALL).state_dict()
    same = {name for name, tensor in plain.state_dict().items() if torch.equal(tensor, changed[name])}
    assert "image_encoder.blocks.0.attn.qkv.weight" in same
    assert "mask_decoder.output_hypernetworks_mlps.0.layers.0.weight" in same
    assert (
        not {f"{name}.weight" for name, module in plain.named_modules() if isinstance(module, nn.Embedding)}
        & same
    )
