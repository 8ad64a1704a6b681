from __future__ import annotations

from typing import Any

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)

from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES, Modality
from aims.methods import BACKBONES, METHODS, build_model, count_parameters, require_modality, require_pair
from aims.models.flops import Flops, count_flops
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters

CONV = {"alignment.layers.0.weight", "alignment.layers.0.bias"}
TWO_CONVS = CONV | {"alignment.layers.2.weight", "alignment.layers.2.bias"}
BLOCK = {
    f"{layer}{kind}"
    for layer in ("self_attn.in_proj_", "self_attn.out_proj.", "linear1.", "linear2.", "norm1.", "norm2.")
    for kind in ("weight", "bias")
}
DECLARED = {
    "linear": CONV | {"image_encoder.patch_embed.proj.weight", "image_encoder.patch_embed.proj.bias"},
    "linear-frozen": CONV,
    "mlp": TWO_CONVS,
    "simcmf": TWO_CONVS,
    "simcmf-plus": TWO_CONVS,
    "transformer": {
        *(
            f"alignment.{layer}.{kind}"
            for layer in ("patch_embed", "to_pixels")
            for kind in ("weight", "bias")
        ),
        *(f"alignment.blocks.{index}.{name}" for index in range(2) for name in BLOCK),
    },
    "channel-batch": set(),
    "simcmf-released": {
        *(
            f"alignment.{layer}.{kind}"
            for layer in ("gate.0", "gate.1", "gate.3", "to_rgb")
            for kind in ("weight", "bias")
        ),
        *(f"image_encoder.patch_embed.{name}" for name in ("kernels", "biases", "mix")),
    },
    "zero-shot": set(),
}
CHANNELS = (1, 3, 4, 6, 9)


def build(method: str, channels: int, *, backbone: str = "sam-toy", **options: object) -> Segmenter:
    tuning = "none" if method == "zero-shot" else "lora"
    return build_model(
        method=method,
        tuning=tuning,
        backbone=backbone,
        channels=channels,
        weights=None,
        seed=0,
        options=options,
    )


@pytest.mark.parametrize("method", DECLARED)
def test_what_a_method_declares_before_any_tuning(method: str) -> None:
    model = BACKBONES["sam-toy"].build()
    stock = dict(model.named_parameters())
    METHODS[method]().adapt(model, 9)
    assert set(declared_parameters(model)) == DECLARED[method]
    # Nothing of SAM's is lost or copied: its parameters are the same objects under the same names.
    adapted = dict(model.named_parameters())
    assert all(adapted[name] is parameter for name, parameter in stock.items())
    assert set(adapted) - set(stock) == DECLARED[method] - set(stock)


# linear: 3 C + 3; mlp: 64 C + 64 + 195; simcmf: 9 C x 64 + 64 + 195; transformer: 256 C x 64 + 64, two blocks
# of 12 x 64^2 + 13 x 64, and 64 x 768 + 768; released: 72 C^2 + 16 C + 3.
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("linear", (6, 12, 15, 21, 30)),
        ("linear-frozen", (6, 12, 15, 21, 30)),
        ("mlp", (323, 451, 515, 643, 835)),
        ("simcmf", (835, 1_987, 2_563, 3_715, 5_443)),
        ("simcmf-plus", (835, 1_987, 2_563, 3_715, 5_443)),
        ("transformer", (166_336, 199_104, 215_488, 248_256, 297_408)),
        ("channel-batch", (0, 0, 0, 0, 0)),
        ("simcmf-released", (91, 699, 1_219, 2_691, 5_979)),
        ("zero-shot", (0, 0, 0, 0, 0)),
    ],
)
def test_parameters_of_the_alignment(method: str, expected: tuple[int, ...]) -> None:
    counts = [count_parameters(build(method, channels)) for channels in CHANNELS]
    assert tuple(count.alignment for count in counts) == expected


def test_parameters_in_the_encoder() -> None:
    with torch.device("meta"):
        plain = count_parameters(build("mlp", 9, backbone="sam-vit-b"))
        released = count_parameters(build("simcmf-released", 9, backbone="sam-vit-b"))
    # Nine kernels 16 x 16 for 768 channels with their biases, and nine weights of the sum.
    assert released.encoder - plain.encoder == 9 * (256 * 768 + 768) + 9 == 1_776_393
    assert count_parameters(build("zero-shot", 9)).trainable == 0


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("simcmf", {"kernel": 4}, r"--kernel must be odd, .*not 4"),
        ("simcmf", {"kernel": 0}, "--kernel must be at least 1, not 0"),
        ("simcmf", {"kernel": -1}, "--kernel must be at least 1, not -1"),
        ("simcmf", {"width": 0}, "--width must be at least 1, not 0"),
        ("simcmf", {"depth": 0}, "--depth must be at least 1, not 0"),
        ("transformer", {"patch_size": 0}, "--patch-size must be at least 1, not 0"),
        ("transformer", {"width": 0}, "--width must be at least 1, not 0"),
        ("transformer", {"width": 60}, "--width must be a multiple of 8, .*not 60"),
        ("transformer", {"depth": 0}, "--depth must be at least 1, not 0"),
        ("transformer", {"patch_size": 24}, "--patch-size must divide .*64 pixels, and 24 does not"),
        ("mlp", {"width": 3}, "unknown option 'width'"),
    ],
)
def test_options_that_make_no_sense(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(method, 3, **options)


def test_options_arrive() -> None:
    # 25 x 3 x 8 + 8, 25 x 8 x 8 + 8, 8 x 3 + 3.
    assert count_parameters(build("simcmf", 3, kernel=5, width=8, depth=3)).alignment == 608 + 1_608 + 27
    # 64 x 3 x 16 + 16, three blocks of 12 x 16^2 + 13 x 16, 16 x 192 + 192.
    model = build("transformer", 3, patch_size=8, width=16, depth=3)
    assert count_parameters(model).alignment == 3_088 + 3 * 3_280 + 3_264


@pytest.mark.parametrize("tuning", ["full", "linear-probe"])
def test_a_frozen_patch_embedding_is_not_trained(tuning: str) -> None:
    objection = METHODS["linear-frozen"]().tuning_objection(tuning)
    assert objection == "it would train the patch embedding, and that is method 'linear'"
    assert METHODS["linear"]().tuning_objection(tuning) is None
    with pytest.raises(InputError, match="'linear-frozen' does not go with tuning 'full'"):
        require_pair("linear-frozen", "full")


def test_channel_batch_averages_what_zero_shot_sees() -> None:
    model, stock = build("channel-batch", 4), build("zero-shot", 1)
    images = torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.stack([stock.embed(images[:, [channel]]) for channel in range(4)]).mean(0)
        # Batches of 8 and of 2 pictures may be summed in another order.
        torch.testing.assert_close(model.embed(images), expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(expected[0], expected[1], atol=1e-2)


def test_zero_shot_is_plain_sam() -> None:
    plain, model = build("zero-shot", 3), build("zero-shot", 6)
    images = torch.randn(2, 6, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = plain.image_encoder(images[:, :3])
        assert torch.equal(model.embed(images), expected)
        assert not torch.equal(model.embed(images.flip(1)), expected)
    assert model.state_dict().keys() == BACKBONES["sam-toy"].build().state_dict().keys()


def test_zero_shot_has_no_tuning() -> None:
    require_pair("zero-shot", "none")
    with pytest.raises(InputError, match=r"tuning 'lora': it trains nothing; leave the tuning out"):
        require_pair("zero-shot", "lora")
    with pytest.raises(InputError, match="not of 2"):
        build("zero-shot", 2)


def test_zero_shot_needs_a_picture() -> None:
    refused = {
        name for name, modality in MODALITIES.items() if METHODS["zero-shot"]().modality_objection(modality)
    }
    assert refused == {"aolp-dolp"}
    with pytest.raises(InputError, match="'aolp-dolp': none of its channels make an RGB picture"):
        require_modality("zero-shot", MODALITIES["aolp-dolp"])
    # A stream of somebody's own dataset: eight bands are no picture, three are shown as one.
    for channels, fine in ((1, True), (2, False), (3, True), (8, False)):
        modality = Modality(name="bands", streams=("bands",), channels=channels)
        assert (METHODS["zero-shot"]().modality_objection(modality) is None) is fine
    assert METHODS["zero-shot"].knows_rgb


def test_released_simcmf_starts_as_sam_behind_its_gate() -> None:
    model, stock = build("simcmf-released", 4), build("zero-shot", 3)
    images = torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        aligned = model.alignment(images)
        assert aligned.shape == (2, 7, 64, 64)
        assert torch.equal(model.embed(images), stock.image_encoder(aligned[:, :3]))


@pytest.fixture(scope="module")
def flops() -> dict[tuple[str, int], Flops]:
    """Of ViT-B, on the meta device."""
    pairs = [
        ("simcmf", 1),
        ("simcmf", 9),
        ("channel-batch", 1),
        ("channel-batch", 9),
        ("zero-shot", 9),
        ("transformer", 9),
    ]
    with torch.device("meta"):
        return {(method, c): count_flops(build(method, c, backbone="sam-vit-b")) for method, c in pairs}


def test_channel_batch_costs_as_much_as_there_are_channels(flops: dict[tuple[str, int], Flops]) -> None:
    at_one, at_nine = flops["channel-batch", 1].forward, flops["channel-batch", 9].forward
    assert 8 < at_nine / flops["simcmf", 9].forward < 9
    # SimCMF's own module makes the difference at one channel: 1.61 of 980 GFLOPs.
    assert 0.99 < at_one / flops["simcmf", 1].forward < 1
    # Without LoRA, whose updates are folded in, the difference is smaller still.
    assert 0.99 < flops["zero-shot", 9].forward / at_one < 1
    assert flops["channel-batch", 9].alignment == 0


def test_operations_of_the_alignment(flops: dict[tuple[str, int], Flops]) -> None:
    pixels, tokens = 1024**2, 64**2
    # Two for each multiplication with its addition, biases left out.
    assert flops["simcmf", 9].alignment == 2 * pixels * (9 * 9 * 64 + 64 * 3)
    embed, head = 256 * 9 * 64, 64 * 768
    attention = 4 * 64**2 + 2 * tokens * 64
    assert flops["transformer", 9].alignment == 2 * tokens * (embed + 2 * (attention + 8 * 64**2) + head)
