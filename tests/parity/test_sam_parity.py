"""Ours against the authors' program: their builder's keys, their `Sam.forward`'s whole tensors."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from aims.models.sam import BACKBONES, Backbone, build_sam, sam_modeling
from aims.models.segmenter import Segmenter
from aims.models.tuning import LoRATuning

REDUCED = {
    # Windows of 14 on a grid of 16: padded windows and global blocks both occur.
    "sam-vit-b": dataclasses.replace(BACKBONES["sam-vit-b"], image_size=256, depth=3, global_blocks=(2,)),
    "sam-tiny": BACKBONES["sam-tiny"],
}
AUTHORS_BUILDERS = {
    "sam-vit-b": "build_sam_vit_b",
    "sam-vit-l": "build_sam_vit_l",
    "sam-vit-h": "build_sam_vit_h",
}


@pytest.fixture(scope="module")
def authors_program() -> Iterator[types.ModuleType]:
    """`segment_anything.build_sam` itself, in a package of another name whose `__init__` does not run."""
    spec = importlib.util.find_spec("segment_anything")
    assert spec is not None
    package = types.ModuleType("authors_segment_anything")
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[package.__name__] = package
    yield importlib.import_module(f"{package.__name__}.build_sam")
    for name in [name for name in sys.modules if name.startswith(package.__name__)]:
        del sys.modules[name]


def randomize(model: torch.nn.Module) -> None:
    """Random everything: relative and absolute positions and norms would be zeros and ones at the start."""
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def pair(backbone: Backbone) -> tuple[Segmenter, Any]:
    """Ours, and the authors' `Sam` around modules of its own, with the same random weights."""
    ours = build_sam(backbone)
    randomize(ours)
    modules = build_sam(backbone)
    theirs = sam_modeling().Sam(
        modules.image_encoder,
        modules.prompt_encoder,
        modules.mask_decoder,
        pixel_mean=[0.0, 0.0, 0.0],
        pixel_std=[1.0, 1.0, 1.0],
    )
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("name", AUTHORS_BUILDERS)
def test_keys_and_shapes_are_those_of_the_authors_builder(name: str, authors_program: Any) -> None:
    with torch.device("meta"):
        theirs = getattr(authors_program, AUTHORS_BUILDERS[name])().state_dict()
        ours = build_sam(BACKBONES[name]).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()
    }


def test_vit_b_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = build_sam(BACKBONES["sam-vit-b"])
    assert sum(parameter.numel() for parameter in model.parameters()) == 93_735_472


@torch.no_grad()
@pytest.mark.parametrize("name", REDUCED)
def test_embed_and_decode_equal_sam_forward(name: str) -> None:
    ours, theirs = pair(REDUCED[name])
    size = ours.image_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, size, size, generator=generator)
    point_coords = torch.rand(5, 3, 2, generator=generator) * size
    point_labels = torch.tensor([[1, 0, -1]]).repeat(5, 1)

    embed = jaxtyped(typechecker=beartype)(Segmenter.embed)
    decode = jaxtyped(typechecker=beartype)(Segmenter.decode)
    image_embeddings = embed(ours, images)
    # No tolerance: the same operations run in the same order on the same shapes.
    assert torch.equal(image_embeddings, theirs.image_encoder(images))
    for index in range(2):
        mask_logits, iou_predictions = decode(
            ours, image_embeddings[index : index + 1], point_coords, point_labels
        )
        (expected,) = theirs(
            [
                {
                    "image": images[index],
                    "original_size": (size, size),
                    "point_coords": point_coords,
                    "point_labels": point_labels,
                }
            ],
            multimask_output=False,
        )
        # Sam.forward encodes one image at a time; another batch size may sum in another order.
        torch.testing.assert_close(mask_logits, expected["low_res_logits"], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(iou_predictions, expected["iou_predictions"], rtol=1e-4, atol=1e-4)
        assert mask_logits.std() > 0.01


@torch.no_grad()
def test_decode_equals_the_stock_prompt_encoder_and_decoder_bit_for_bit() -> None:
    ours, theirs = pair(REDUCED["sam-tiny"])
    image_embeddings = torch.randn(1, 128, 16, 16, generator=torch.Generator().manual_seed(0))
    point_coords = torch.tensor([[[3.0, 90.0]], [[64.0, 1.5]]])
    point_labels = torch.tensor([[1], [0]])
    sparse, dense = theirs.prompt_encoder(points=(point_coords, point_labels), boxes=None, masks=None)
    expected = theirs.mask_decoder(
        image_embeddings=image_embeddings,
        image_pe=theirs.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    found = ours.decode(image_embeddings, point_coords, point_labels)
    assert all(torch.equal(ours_, theirs_) for ours_, theirs_ in zip(found, expected, strict=True))


@pytest.mark.parametrize("gradients", [True, False])
def test_a_fresh_lora_is_plain_sam_bit_for_bit(gradients: bool) -> None:
    plain, theirs = pair(REDUCED["sam-tiny"])
    LoRATuning().apply(plain)
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    point_coords, point_labels = torch.full((2, 1, 2), 40.0), torch.ones(2, 1, dtype=torch.long)
    with torch.set_grad_enabled(gradients):
        image_embeddings = plain.embed(images)
        assert torch.equal(image_embeddings, theirs.image_encoder(images))
        mask_logits, _ = plain.decode(image_embeddings, point_coords, point_labels)
        stock = Segmenter(
            alignment=torch.nn.Identity(),
            image_encoder=theirs.image_encoder,
            prompt_encoder=theirs.prompt_encoder,
            mask_decoder=theirs.mask_decoder,
            image_size=128,
            in_channels=3,
        )
        assert torch.equal(mask_logits, stock.decode(image_embeddings, point_coords, point_labels)[0])


def test_clicks_keep_their_place_under_bfloat16_autocast() -> None:
    ours, _ = pair(REDUCED["sam-tiny"])
    seen: list[torch.Tensor] = []
    ours.prompt_encoder.register_forward_hook(lambda _module, _inputs, outputs: seen.append(outputs[0]))
    point_coords, point_labels = torch.tensor([[[37.0, 91.0]]]), torch.ones(1, 1, dtype=torch.long)
    with torch.no_grad():
        image_embeddings = torch.randn(1, 128, 16, 16, generator=torch.Generator().manual_seed(0))
        ours.decode(image_embeddings, point_coords, point_labels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            ours.decode(image_embeddings, point_coords, point_labels)
    assert torch.equal(*seen)
