"""Ours against the authors' program: their builder's keys, their `Sam.forward`'s whole tensors."""

from __future__ import annotations

import functools
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

from aims.methods import BACKBONES, TUNINGS
from aims.models.sam import SAM
from aims.models.segment_anything import sam_modeling
from aims.models.segmenter import Segmenter
from reduced import REDUCED

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


def stock_encoder(backbone: SAM) -> Any:
    """The authors' image encoder as their builder makes it, at the backbone's size."""
    return sam_modeling().ImageEncoderViT(
        depth=backbone.depth,
        embed_dim=backbone.width,
        img_size=backbone.image_size,
        mlp_ratio=4,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=backbone.heads,
        patch_size=backbone.patch_size,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=backbone.global_blocks,
        window_size=backbone.window,
        out_chans=backbone.prompt_dim,
    )


def pair(backbone: SAM) -> tuple[Segmenter, Any]:
    """Ours, and the authors' `Sam` around modules of its own, with the same random weights."""
    ours = backbone.build()
    randomize(ours)
    modules = backbone.build()
    theirs = sam_modeling().Sam(
        stock_encoder(backbone),
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
        ours = BACKBONES[name].build().state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()
    }


def test_vit_b_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = BACKBONES["sam-vit-b"].build()
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
        torch.testing.assert_close(mask_logits, expected["low_res_logits"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(iou_predictions, expected["iou_predictions"], rtol=1e-5, atol=1e-5)
        assert mask_logits.std() > 0.01


@pytest.mark.slow
@torch.no_grad()
def test_vit_b_at_its_full_size() -> None:
    ours, theirs = pair(BACKBONES["sam-vit-b"])
    images = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.embed(images), theirs.image_encoder(images))


@torch.no_grad()
def test_decode_equals_the_stock_prompt_encoder_and_decoder_bit_for_bit() -> None:
    ours, theirs = pair(REDUCED["sam-tiny"])
    image_embeddings = torch.randn(1, 128, 16, 16, generator=torch.Generator().manual_seed(0))
    point_coords = torch.tensor([[[3.0, 90.0]], [[64.0, 1.5]]])
    point_labels = torch.tensor([[1], [0]])
    expected = their_decode(theirs, image_embeddings, point_coords, point_labels)
    found = ours.decode(image_embeddings, point_coords, point_labels)
    assert all(torch.equal(ours_, theirs_) for ours_, theirs_ in zip(found, expected, strict=True))


def image_and_clicks() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    return images, torch.full((2, 1, 2), 40.0), torch.ones(2, 1, dtype=torch.long)


def our_outputs(ours: Segmenter) -> tuple[torch.Tensor, ...]:
    """Image embeddings, mask logits, predicted IoUs."""
    images, point_coords, point_labels = image_and_clicks()
    image_embeddings = ours.embed(images)
    return image_embeddings, *ours.decode(image_embeddings, point_coords, point_labels)


def their_decode(
    theirs: Any, image_embeddings: torch.Tensor, point_coords: torch.Tensor, point_labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask logits and predicted IoUs from the authors' modules, one prompt at a time."""
    answers = []
    for k in range(len(point_coords)):
        points = (point_coords[k, None], point_labels[k, None])
        sparse, dense = theirs.prompt_encoder(points=points, boxes=None, masks=None)
        answers.append(
            theirs.mask_decoder(
                image_embeddings=image_embeddings,
                image_pe=theirs.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
        )
    mask_logits, iou_predictions = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return mask_logits, iou_predictions


def their_outputs(theirs: Any) -> tuple[torch.Tensor, ...]:
    """The same from the authors' modules."""
    images, point_coords, point_labels = image_and_clicks()
    image_embeddings = theirs.image_encoder(images)
    mask_logits, iou_predictions = their_decode(theirs, image_embeddings, point_coords, point_labels)
    return image_embeddings, mask_logits, iou_predictions


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("tuning", ["lora", "adapter"])
def test_a_fresh_tuning_is_plain_sam_bit_for_bit(tuning: str, gradients: bool) -> None:
    ours, theirs = pair(REDUCED["sam-tiny"])
    TUNINGS[tuning]().apply(ours)
    with torch.set_grad_enabled(gradients):
        found, expected = our_outputs(ours), their_outputs(theirs)
    assert all(torch.equal(ours_, theirs_) for ours_, theirs_ in zip(found, expected, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("tuning", ["prompt", "prefix"])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_fresh_prompt_or_prefix_is_not_plain_sam(tuning: str, zeros: bool) -> None:
    """The softmax gives the new keys a share of the attention, whatever they and their values are.

    A key of zeros has a logit of zero, not of minus infinity: it takes its share from the image's keys.
    """
    ours, theirs = pair(REDUCED["sam-tiny"])
    TUNINGS[tuning]().apply(ours)
    for name, parameter in ours.named_parameters():
        if zeros and ".extra." in name:
            parameter.zero_()
    found, expected = our_outputs(ours.eval()), their_outputs(theirs)
    for ours_, theirs_ in zip(found, expected, strict=True):
        assert (ours_ - theirs_).abs().max() > 0.01 * theirs_.abs().max()


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
