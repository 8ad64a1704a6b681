from __future__ import annotations

import copy
from typing import Any

import pytest
import safetensors.torch
import torch
import toys  # noqa: F401
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.methods import BACKBONES, TUNINGS, build_model, count_parameters
from aims.models.encoder import PlainEncoder
from aims.models.segment_anything import sam_modeling
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters, load_trainable_state, trainable_state
from aims.models.tuning import Tuning
from aims.models.tuning.adapter import AdaptedMLP, Adapter, AdapterTuning
from aims.models.tuning.linear_probe import LinearProbeTuning
from aims.models.tuning.lora import LoRALinear, LoRATuning
from aims.models.tuning.prompt import PrefixTuning, PromptTuning

EFFICIENT = ["adapter", "linear-probe", "lora", "prefix", "prompt"]


def build(tuning: str, backbone: str = "sam-toy", **changes: Any) -> Segmenter:
    arguments = {"method": "simcmf", "channels": 3, "weights": None, "seed": 0, **changes}
    return build_model(tuning=tuning, backbone=backbone, **arguments)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random everything: some layers would be zeros and ones."""
    torch.manual_seed(0)
    state = BACKBONES["sam-toy"].build().state_dict()
    return {name: tensor + 0.1 * torch.randn(tensor.shape) for name, tensor in state.items()}


def leave_zero(model: Segmenter) -> None:
    """Moves what starts at zero: what stands before it would get no gradient."""
    for name, parameter in declared_parameters(model).items():
        if ".lora_b." in name or ".adapter.up." in name:
            nn.init.normal_(parameter)


def run(model: Segmenter) -> tuple[Tensor, Tensor]:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    embeddings = model.embed(images)
    masks, iou_predictions = model.decode(
        embeddings[:1], torch.tensor([[[9.0, 40.0]], [[50.0, 13.5]]]), torch.tensor([[1], [0]])
    )
    return masks, iou_predictions + embeddings[1].mean()


def test_all_tunings() -> None:
    assert list(TUNINGS) == ["adapter", "full", "linear-probe", "lora", "prefix", "prompt"]
    assert all(TUNINGS[name].__doc__ for name in TUNINGS)


@pytest.mark.parametrize(
    ("tuning", "encoder", "decoder"),
    [
        # 12 blocks of dim 768; 7 attentions and 2 MLPs of dim 256, the cross-attentions with 128 inside.
        ("lora", 12 * 2 * 100 * (768 + 768), 2 * 2 * 100 * (256 + 256) + 5 * 2 * 100 * (256 + 128)),
        ("adapter", 12 * (2 * 200 * 768 + 200 + 768), 2 * (2 * 200 * 256 + 200 + 256)),
        ("prompt", 12 * 400 * 768, 7 * 400 * 256),
        ("prefix", 12 * 2 * 200 * 768, 7 * 2 * 200 * 256),
        # A convolution of 16 x 16, and positions for 64 x 64 patches.
        ("linear-probe", 256 * 3 * 768 + 768 + 64 * 64 * 768, 0),
    ],
)
def test_counts_for_vit_b(tuning: str, encoder: int, decoder: int) -> None:
    published = {
        "lora": (3_686_400, 588_800),
        "adapter": (3_698_016, 205_712),
        "prompt": (3_686_400, 716_800),
        "prefix": (3_686_400, 716_800),
        "linear-probe": (3_736_320, 0),
    }
    with torch.device("meta"):
        model = BACKBONES["sam-vit-b"].build()
        TUNINGS[tuning]().apply(model)
    declared = declared_parameters(model)
    found = {
        part: sum(parameter.numel() for name, parameter in declared.items() if name.startswith(part))
        for part in ("image_encoder.", "mask_decoder.")
    }
    assert tuple(found.values()) == (encoder, decoder) == published[tuning]
    assert sum(found.values()) == sum(parameter.numel() for parameter in declared.values())
    added = 0 if tuning == "linear-probe" else encoder + decoder
    assert sum(parameter.numel() for parameter in model.parameters()) == 93_735_472 + added


@pytest.mark.parametrize(
    ("tuning", "option", "encoder", "decoder"),
    [
        # For one more: 2 blocks of dim 24; 7 attentions and 2 MLPs of dim 16, cross-attentions 8 inside.
        ("lora", "rank", 2 * 2 * (24 + 24), 2 * 2 * (16 + 16) + 5 * 2 * (16 + 8)),
        ("adapter", "bottleneck", 2 * (2 * 24 + 1), 2 * (2 * 16 + 1)),
        ("prompt", "tokens", 2 * 24, 7 * 16),
        ("prefix", "tokens", 2 * 2 * 24, 7 * 2 * 16),
    ],
)
def test_options_change_the_counts(tuning: str, option: str, encoder: int, decoder: int) -> None:
    counts = [count_parameters(build(tuning, options={option: value})) for value in (1, 2, 7)]
    for less, more, steps in ((counts[0], counts[1], 1), (counts[1], counts[2], 5)):
        assert more.encoder - less.encoder == steps * encoder
        assert more.decoder - less.decoder == steps * decoder
    with pytest.raises(InputError, match=f"--{option} must be at least 1, not 0"):
        build(tuning, options={option: 0})


@pytest.mark.parametrize("tuning", EFFICIENT)
def test_a_step_changes_what_is_declared_and_nothing_else(tuning: str, weights: dict[str, Tensor]) -> None:
    model = build(tuning, weights=weights)
    leave_zero(model)
    declared = declared_parameters(model)
    assert set(declared) == {name for name, p in model.named_parameters() if p.requires_grad}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    masks, iou_predictions = run(model)
    (masks.square().mean() + iou_predictions.square().mean()).backward()
    assert all(p.grad is None for name, p in model.named_parameters() if name not in declared)
    torch.optim.Adam(declared.values(), lr=1e-3).step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == set(declared)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_checkpoint_goes_round(tuning: str, weights: dict[str, Tensor]) -> None:
    # The same frozen weights, other layers of the tuning.
    one, other = (build(tuning, weights=weights, seed=seed).eval() for seed in (1, 2))
    for parameter in declared_parameters(one).values():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    stored = safetensors.torch.save(trainable_state(one))
    state = safetensors.torch.load(stored)
    assert set(state) == set(declared_parameters(one))
    assert not any(torch.equal(a, b) for a, b in zip(run(one), run(other), strict=True))
    load_trainable_state(other, state, source="a file")
    assert all(torch.equal(a, b) for a, b in zip(run(one), run(other), strict=True))

    name, tensor = next(iter(state.items()))
    less = {key: value for key, value in state.items() if key != name}
    with pytest.raises(InputError, match="a file: tensors do not fit the model: 1 missing"):
        load_trainable_state(other, less, source="a file")
    with pytest.raises(InputError, match=r"1 unexpected \(mask_decoder.lora\)"):
        load_trainable_state(other, {**state, "mask_decoder.lora": tensor}, source="a file")


@pytest.mark.parametrize("tuning", TUNINGS)
def test_dropout_is_for_training_with_prompts_alone(tuning: str, weights: dict[str, Tensor]) -> None:
    model = build(tuning, weights=weights)
    with torch.no_grad():
        assert torch.equal(run(model)[0], run(model)[0]) == (tuning != "prompt")
        model.eval()
        assert torch.equal(run(model)[0], run(model)[0])


@pytest.mark.parametrize("tuning", EFFICIENT)
def test_a_second_stack_of_blocks_is_tuned_as_well(tuning: str) -> None:
    model = BACKBONES["sam-toy"].build()
    plain = sum(p.numel() for p in model.image_encoder.blocks.parameters())
    model.image_encoder.more_blocks = copy.deepcopy(model.image_encoder.blocks)
    TUNINGS[tuning]().apply(model)
    first, second = (
        sum(p.numel() for p in model.image_encoder.get_submodule(name).parameters()) - plain
        for name in ("blocks", "more_blocks")
    )
    assert first == second
    assert (first > 0) == (tuning != "linear-probe")


@pytest.mark.parametrize("tuning", [LoRATuning(), PromptTuning(), PrefixTuning(), LinearProbeTuning()])
def test_the_names_of_the_checkpoint_stay(tuning: Tuning) -> None:
    with torch.device("meta"):
        model = BACKBONES["sam-tiny"].build()
        plain = {name: tensor.shape for name, tensor in model.state_dict().items()}
        tuning.apply(model)
    state = model.state_dict()
    assert {name: state[name].shape for name in plain} == plain


def test_an_adapter_moves_the_mlp_and_the_norm_before_it() -> None:
    model = BACKBONES["sam-toy"].build()
    block: Any = model.image_encoder.blocks[1]
    norm, mlp = block.norm2, block.mlp
    decoder_block: Any = model.mask_decoder.transformer.layers[1]
    names = set(model.mask_decoder.state_dict())
    AdapterTuning(bottleneck=2).apply(model)
    assert (block.mlp.norm, block.mlp.mlp) == (norm, mlp)
    assert not list(block.norm2.parameters())
    assert names < set(model.mask_decoder.state_dict())
    adapted = [name for name, module in model.named_modules() if isinstance(module, Adapter)]
    assert adapted == [
        "image_encoder.blocks.0.mlp.adapter",
        "image_encoder.blocks.1.mlp.adapter",
        "mask_decoder.transformer.layers.0.adapter",
        "mask_decoder.transformer.layers.1.adapter",
    ]
    assert isinstance(decoder_block, sam_modeling().transformer.TwoWayAttentionBlock)


@torch.no_grad()
def test_an_encoders_adapter_reads_the_stream_before_the_norm(weights: dict[str, Tensor]) -> None:
    plain = BACKBONES["sam-toy"].build()
    plain.load_state_dict(weights)
    model = copy.deepcopy(plain)
    AdapterTuning(bottleneck=5).apply(model)
    layer: Any = model.image_encoder.blocks[1]
    for parameter in layer.mlp.adapter.parameters():
        nn.init.normal_(parameter)
    down, up = layer.mlp.adapter.down, layer.mlp.adapter.up
    tokens = torch.randn(2, 8, 8, 24)
    block: Any = plain.image_encoder.blocks[1]  # Attends to the whole image: no windows to cut.
    stream = tokens + block.attn(block.norm1(tokens))
    hidden = (stream @ down.weight.T + down.bias).clamp(min=0)
    update = 0.1 * (hidden @ up.weight.T + up.bias)
    expected = stream + block.mlp(block.norm2(stream)) + update
    torch.testing.assert_close(layer(tokens), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_adapted_mlp_without_a_norm_reads_what_the_mlp_reads() -> None:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    layer = AdaptedMLP(mlp, norm=None, bottleneck=5)
    adapter = layer.adapter
    assert not adapter.down.bias.any()
    # kaiming_uniform with a = sqrt(5) is uniform within 1 / sqrt(inputs).
    assert 0.4 < adapter.down.weight.abs().max() <= 0.5
    nn.init.normal_(adapter.up.weight)
    nn.init.normal_(adapter.up.bias)
    inputs = torch.randn(7, 4)
    hidden = (inputs @ adapter.down.weight.T).clamp(min=0)
    expected = mlp(inputs) + 0.1 * (hidden @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(layer(inputs), expected, rtol=1e-5, atol=1e-5)


def with_blocks(block: nn.Module) -> Segmenter:
    """The toy with other blocks in its image encoder."""
    model = BACKBONES["sam-toy"].build()
    encoder = model.image_encoder
    model.image_encoder = PlainEncoder(
        patch_embed=encoder.patch_embed, pos_embed=None, blocks=[block], neck=encoder.neck, stages=()
    )
    return model


@pytest.mark.parametrize(
    ("tuning", "missing"),
    [
        (LoRATuning(), "attention"),
        (PromptTuning(), "attention"),
        (PrefixTuning(), "attention"),
        (AdapterTuning(), "MLP in a transformer block"),
    ],
)
def test_an_encoder_without_such_layers_is_refused(tuning: Tuning, missing: str) -> None:
    block = nn.Sequential()
    # An MLP beside no attention belongs to something else, e.g. to a gate over channels.
    block.add_module("mlp", nn.Linear(24, 24))
    with pytest.raises(InputError, match=f"image encoder of this backbone has no {missing}"):
        tuning.apply(with_blocks(block))


@pytest.mark.parametrize("tuning", [PromptTuning(), PrefixTuning()])
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"proj": nn.Linear(24, 24), "q_norm": nn.LayerNorm(8)}, "it also has q_norm: choose another tuning"),
        ({"output": nn.Linear(24, 24)}, "attention with qkv, proj and num_heads"),
    ],
)
def test_an_attention_that_computes_more_is_refused(
    tuning: Tuning, layers: dict[str, nn.Module], message: str
) -> None:
    attention = nn.Module()
    attention.num_heads = 3  # type: ignore[assignment]
    for name, layer in {"qkv": nn.Linear(24, 72), **layers}.items():
        attention.add_module(name, layer)
    with pytest.raises(InputError, match=message):
        tuning.apply(with_blocks(nn.Sequential(attention)))


def test_a_linear_probe_needs_no_positions() -> None:
    model = with_blocks(nn.Identity())
    LinearProbeTuning().apply(model)
    assert set(declared_parameters(model)) == {
        "image_encoder.patch_embed.proj.weight",
        "image_encoder.patch_embed.proj.bias",
    }


def lora(rank: int = 3, bias: bool = True) -> tuple[nn.Linear, LoRALinear]:
    linear = nn.Linear(4, 12, bias=bias)
    layer = LoRALinear(linear, rank=rank, outputs=(slice(0, 4), slice(8, 12)))
    for matrix in layer.lora_b:
        nn.init.normal_(matrix)
    return linear, layer


def test_lora_takes_the_parameters_over() -> None:
    linear, layer = lora()
    assert layer.weight is linear.weight
    assert layer.bias is linear.bias
    assert lora(bias=False)[1].bias is None


def test_lora_changes_the_chosen_outputs_alone() -> None:
    linear, layer = lora()
    inputs = torch.randn(5, 4)
    expected = linear(inputs)
    expected[:, 0:4] += inputs @ layer.lora_a[0].T @ layer.lora_b[0].T
    expected[:, 8:12] += inputs @ layer.lora_a[1].T @ layer.lora_b[1].T
    torch.testing.assert_close(layer(inputs), expected)
    assert torch.equal(layer(inputs)[:, 4:8], linear(inputs)[:, 4:8])


def test_folded_and_unfolded_agree() -> None:
    _, layer = lora()
    inputs = torch.randn(5, 4)
    with torch.no_grad():
        folded = layer(inputs)
    # Float32 with the sums in another order.
    torch.testing.assert_close(folded, layer(inputs), rtol=1e-5, atol=1e-5)


def test_lora_starts_as_in_the_paper() -> None:
    layer = LoRALinear(nn.Linear(300, 6), rank=50, outputs=(slice(None),))
    assert not layer.lora_b[0].any()
    # kaiming_uniform with a = sqrt(5) is uniform within 1 / sqrt(inputs).
    bound = 300**-0.5
    assert 0.99 * bound < layer.lora_a[0].abs().max() <= bound


def test_lora_keeps_the_names_of_the_checkpoint() -> None:
    with torch.device("meta"):
        model = BACKBONES["sam-tiny"].build()
        plain = set(model.state_dict())
        LoRATuning(rank=2).apply(model)
    added = set(model.state_dict()) - plain
    assert plain <= set(model.state_dict())
    # Six encoder attentions with 2 updates in one layer; seven decoder attentions with 2 layers; A and B.
    assert len(added) == 6 * 4 + 7 * 2 * 2
    assert {name.split(".")[-2] for name in added} == {"lora_a", "lora_b"}


def test_lora_meets_queries_and_values_of_the_fused_projection() -> None:
    model = BACKBONES["sam-tiny"].build()
    LoRATuning(rank=2).apply(model)
    qkv = model.get_submodule("image_encoder.blocks.0.attn.qkv")
    assert isinstance(qkv, LoRALinear)
    for matrix in qkv.lora_b:
        nn.init.ones_(matrix)
    changed = (qkv.folded_weight() != qkv.weight).any(dim=1)
    assert changed.tolist() == [True] * 192 + [False] * 192 + [True] * 192


def test_lora_under_autocast_has_gradients() -> None:
    _, layer = lora()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(torch.randn(5, 4)).float().sum().backward()
    assert all(matrix.grad is not None and matrix.grad.any() for matrix in layer.lora_b)
