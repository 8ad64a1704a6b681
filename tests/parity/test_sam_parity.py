"""Ours against the authors' program: their builder's keys, their `Sam.forward`'s whole tensors."""

from __future__ import annotations

import copy
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


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal up to the rounding of float32.

    Not to the bit, even where the operations are the same: a matrix product of another shape, or on another
    processor, sums in another order.
    """
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


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
    assert_close(image_embeddings, theirs.image_encoder(images))
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
        # Sam.forward encodes one image at a time.
        assert_close(mask_logits, expected["low_res_logits"])
        assert_close(iou_predictions, expected["iou_predictions"])
        assert mask_logits.std() > 0.01


@pytest.mark.slow
@torch.no_grad()
def test_vit_b_at_its_full_size() -> None:
    ours, theirs = pair(BACKBONES["sam-vit-b"])
    images = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    assert_close(ours.embed(images), theirs.image_encoder(images))


@torch.no_grad()
def test_decode_equals_the_stock_prompt_encoder_and_decoder() -> None:
    ours, theirs = pair(REDUCED["sam-tiny"])
    image_embeddings = torch.randn(1, 128, 16, 16, generator=torch.Generator().manual_seed(0))
    point_coords = torch.tensor([[[3.0, 90.0]], [[64.0, 1.5]]])
    point_labels = torch.tensor([[1], [0]])
    expected = their_decode(theirs, image_embeddings, point_coords, point_labels)
    for ours_, theirs_ in zip(
        ours.decode(image_embeddings, point_coords, point_labels), expected, strict=True
    ):
        # Prompts are encoded together here and one at a time there.
        assert_close(ours_, theirs_)


def image_and_clicks() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    return images, torch.full((2, 1, 2), 40.0), torch.ones(2, 1, dtype=torch.long)


def our_outputs(ours: Segmenter) -> tuple[torch.Tensor, ...]:
    """Image embeddings, mask logits, predicted IoUs."""
    images, point_coords, point_labels = image_and_clicks()
    image_embeddings = ours.embed(images.to(next(ours.image_encoder.parameters()).dtype))
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
    image_embeddings = theirs.image_encoder(images.to(next(theirs.image_encoder.parameters()).dtype))
    mask_logits, iou_predictions = their_decode(theirs, image_embeddings, point_coords, point_labels)
    return image_embeddings, mask_logits, iou_predictions


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("tuning", ["lora", "adapter"])
def test_a_fresh_tuning_is_the_untuned_model_bit_for_bit(tuning: str, gradients: bool) -> None:
    untuned, theirs = pair(REDUCED["sam-tiny"])
    tuned = copy.deepcopy(untuned)
    TUNINGS[tuning]().apply(tuned)
    with torch.set_grad_enabled(gradients):
        found, expected, stock = our_outputs(tuned), our_outputs(untuned), their_outputs(theirs)
    # The same products of the same shapes, and zeros added.
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    for ours_, theirs_ in zip(found, stock, strict=True):
        assert_close(ours_, theirs_)


def adapted_stream(
    norm: Any, mlp: Any, adapter: dict[str, torch.Tensor], stream: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the norm gives, and what MLP and adapter add, the adapter reading the stream before the norm."""
    normed = norm(stream)
    hidden = (stream @ adapter["down.weight"].T + adapter["down.bias"]).relu()
    return normed, mlp(normed) + 0.1 * (hidden @ adapter["up.weight"].T + adapter["up.bias"])


def literal_adapters(theirs: Any, adapters: dict[str, dict[str, torch.Tensor]]) -> None:
    """Writes the released program's rule (protocol.md, item 10) into the authors' modules, by hand."""

    def encoder_block(block: Any, adapter: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        shortcut = x
        x = block.norm1(x)
        module = sys.modules[type(block).__module__]
        if block.window_size > 0:
            height, width = x.shape[1:3]
            x, padded = module.window_partition(x, block.window_size)
        x = block.attn(x)
        if block.window_size > 0:
            x = module.window_unpartition(x, block.window_size, padded, (height, width))
        x = shortcut + x
        return x + adapted_stream(block.norm2, block.mlp, adapter, x)[1]

    def decoder_block(
        block: Any,
        adapter: dict[str, torch.Tensor],
        queries: torch.Tensor,
        keys: torch.Tensor,
        query_pe: torch.Tensor,
        key_pe: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if block.skip_first_layer_pe:
            queries = block.self_attn(q=queries, k=queries, v=queries)
        else:
            q = queries + query_pe
            queries = queries + block.self_attn(q=q, k=q, v=queries)
        queries = block.norm1(queries)
        queries = queries + block.cross_attn_token_to_image(q=queries + query_pe, k=keys + key_pe, v=keys)
        queries, update = adapted_stream(block.norm2, block.mlp, adapter, queries)
        queries = block.norm3(queries + update)
        keys = keys + block.cross_attn_image_to_token(q=keys + key_pe, k=queries + query_pe, v=queries)
        return queries, block.norm4(keys)

    blocks = {f"image_encoder.blocks.{k}": block for k, block in enumerate(theirs.image_encoder.blocks)}
    for name, block in blocks.items():
        block.forward = functools.partial(encoder_block, block, adapters[f"{name}.mlp.adapter"])
    for k, block in enumerate(theirs.mask_decoder.transformer.layers):
        adapter = adapters[f"mask_decoder.transformer.layers.{k}.adapter"]
        block.forward = lambda queries, keys, query_pe, key_pe, block=block, adapter=adapter: decoder_block(
            block, adapter, queries, keys, query_pe, key_pe
        )


@pytest.mark.parametrize("path", ["stock", "fast"])
def test_the_adapter_model_is_the_released_programs(path: Any) -> None:
    ours, theirs = pair(REDUCED["sam-tiny"])
    TUNINGS["adapter"]().apply(ours)
    for model in (ours, theirs):
        # Rounding leaves room for no other rule. Prompts are encoded in float32 by either.
        model.double()
        model.prompt_encoder.float()
    generator = torch.Generator().manual_seed(3)
    parameters = {name: p for name, p in ours.named_parameters() if ".adapter." in name}
    adapters: dict[str, dict[str, torch.Tensor]] = {}
    for name, parameter in parameters.items():
        parameter.data.copy_(0.2 * torch.randn(parameter.shape, generator=generator).double())
        module, _, tensor = name.rpartition(".adapter.")
        adapters.setdefault(f"{module}.adapter", {})[tensor] = parameter.detach().clone().requires_grad_()
    assert len(adapters) == 6 + 2
    literal_adapters(theirs, adapters)
    ours.path = path
    found, expected = our_outputs(ours), their_outputs(theirs)
    weights = [torch.randn(tensor.shape, generator=generator) for tensor in expected]
    for outputs in (found, expected):
        sum((each * weight).mean() for each, weight in zip(outputs, weights, strict=True)).backward()
    for ours_, theirs_ in zip(found, expected, strict=True):
        assert (ours_ - theirs_).abs().max() <= 1e-6
    for name, parameter in parameters.items():
        module, _, tensor = name.rpartition(".adapter.")
        gradient = adapters[f"{module}.adapter"][tensor].grad
        assert (parameter.grad - gradient).abs().max() <= 1e-4 * gradient.abs().max()


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
        # A hundred times the rounding.
        assert (ours_ - theirs_).abs().max() > 1e-3 * theirs_.abs().max()


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
