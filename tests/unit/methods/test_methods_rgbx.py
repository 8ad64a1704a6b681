from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES
from aims.engine.checkpoint import TrainingState, load_resume, load_trained, save_resume, save_trained
from aims.methods import (
    BACKBONES,
    METHODS,
    TUNINGS,
    build_model,
    count_parameters,
    default_tuning,
    require_modality,
)
from aims.models.flops import count_flops
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_buffers, declared_parameters, trainable_state

PAIRS = [("vipt", "prompt"), *(("cmx", tuning) for tuning in TUNINGS)]
NEW = {"vipt": ("x_patch_embed", "prompters"), "cmx": ("x_patch_embed", "rectifications", "fusions", "mix")}

# SAM ViT-B: in all, one stack of blocks, and the mask decoder.
SAM_B, BLOCKS_B, DECODER_B = 93_735_472, 85_147_136, 4_058_340


def model(method: str, tuning: str, **changes: object) -> Segmenter:
    arguments: dict[str, object] = {"backbone": "sam-toy", "channels": 4, "weights": None, "seed": 0}
    return build_model(method=method, tuning=tuning, **{**arguments, **changes})  # type: ignore[arg-type]


def pictures(channels: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(seed))


def step(trained: Segmenter, optimizer: torch.optim.Optimizer, seed: int = 0) -> None:
    trained.train()
    torch.manual_seed(seed)
    optimizer.zero_grad()
    for image_embeddings in trained.embed(pictures(trained.in_channels, seed)).split(1):
        mask_logits, iou_predictions = trained.decode(
            image_embeddings, torch.full((1, 1, 2), 20.0), torch.ones(1, 1, dtype=torch.long)
        )
        (mask_logits.square().mean() + iou_predictions.square().mean()).backward(retain_graph=True)
    optimizer.step()


def adam(trained: Segmenter) -> torch.optim.Optimizer:
    return torch.optim.Adam(declared_parameters(trained).values(), lr=1e-2)


def patch_embedding(dim: int, channels: int) -> int:
    return 16 * 16 * dim * channels + dim


def prompter(dim: int) -> int:
    down, up, smoothing, norm = dim * 8 + 8, 8 * dim + dim, 1, 2 * dim
    return 2 * down + up + smoothing + norm


def rectification(dim: int) -> int:
    by_channel = 4 * dim * 4 * dim + 4 * dim + 4 * dim * 2 * dim + 2 * dim
    by_position = 2 * dim * dim + dim + dim * 2 + 2
    return by_channel + by_position


def fusion(dim: int) -> int:
    split, keys_values, merge, layer_norm = (
        dim * 2 * dim + 2 * dim,
        dim * 2 * dim,
        2 * dim * dim + dim,
        2 * dim,
    )
    residual, first, depthwise, last = 2 * dim * dim, 2 * dim * dim + dim, 9 * dim + dim, dim * dim + dim
    batch_norms = 2 * 2 * dim
    return 2 * (split + keys_values + merge + layer_norm) + residual + first + depthwise + last + batch_norms


def test_counts_by_hand() -> None:
    assert 12 * prompter(768) == 249_036
    assert patch_embedding(768, 3) == 590_592
    assert SAM_B + 249_036 + 590_592 == 94_575_100
    assert rectification(768) == 15_342_338
    assert fusion(768) == 10_046_976
    assert SAM_B + BLOCKS_B + 590_592 + 12 * 15_342_338 + 4 * 10_046_976 + 5 == 403_769_165


@pytest.mark.parametrize(("channels", "of_x"), [(4, 3), (6, 3), (5, 2), (9, 6)])
def test_counts_for_vit_b(channels: int, of_x: int) -> None:
    with torch.device("meta"):
        vipt = count_parameters(model("vipt", "prompt", backbone="sam-vit-b", channels=channels))
        cmx = count_parameters(model("cmx", "full", backbone="sam-vit-b", channels=channels))
    other_kernel = patch_embedding(768, of_x) - patch_embedding(768, 3)
    assert vipt.total == 94_575_100 + other_kernel
    assert (vipt.alignment, vipt.encoder, vipt.decoder) == (0, 839_628 + other_kernel, 0)
    assert cmx.total == 403_769_165 + other_kernel
    # Fully tuned: all but the prompt encoder's 6,220.
    assert (cmx.alignment, cmx.decoder, cmx.total - cmx.trainable) == (0, DECODER_B, 6_220)


@pytest.mark.parametrize(("backbone", "dim", "blocks"), [("sam-vit-l", 1024, 24), ("sam-vit-h", 1280, 32)])
def test_counts_for_the_larger_ones(backbone: str, dim: int, blocks: int) -> None:
    with torch.device("meta"):
        plain = BACKBONES[backbone].build()
        vipt, cmx = model("vipt", "prompt", backbone=backbone), model("cmx", "full", backbone=backbone)
    sam = sum(parameter.numel() for parameter in plain.parameters())
    stack = sum(parameter.numel() for parameter in plain.image_encoder.blocks.parameters())
    new = patch_embedding(dim, 3)
    assert count_parameters(vipt).total == sam + new + blocks * prompter(dim)
    assert (
        count_parameters(cmx).total == sam + stack + new + blocks * rectification(dim) + 4 * fusion(dim) + 5
    )


@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_a_step_changes_what_is_declared_and_nothing_else(method: str, tuning: str) -> None:
    trained = model(method, tuning)
    declared, buffers = declared_parameters(trained), declared_buffers(trained)
    with torch.no_grad():
        for parameter in declared.values():  # What starts at zero would keep others without a gradient.
            parameter.add_(0.01 * torch.randn_like(parameter))
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    step(trained, adam(trained))
    changed = {n for n, tensor in trained.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changed <= set(declared) | set(buffers)
    assert set(buffers) <= changed
    new = {
        f"image_encoder.{part}.{name}"
        for part in NEW[method]
        for name, _ in trained.image_encoder.get_submodule(part).named_parameters()
    }
    # Batch normalisation takes out what the bias before it adds; its gradient is rounding noise, or nothing.
    assert {name for name in new if not name.endswith("channel_embed.3.bias")} <= changed
    if method == "vipt":
        assert set(declared) == new


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_tuning_reaches_both_encoders_of_cmx(tuning: str) -> None:
    encoder = model("cmx", tuning).image_encoder
    learning = {
        stack: [n for n, p in encoder.get_submodule(stack).named_parameters() if p.requires_grad]
        for stack in ("blocks", "x_blocks")
    }
    assert learning["blocks"] == learning["x_blocks"]
    # The one tuning that leaves the blocks alone.
    assert bool(learning["blocks"]) == (tuning != "linear-probe")


def test_lora_on_cmx_has_twice_its_parameters() -> None:
    with torch.device("meta"):
        counts = count_parameters(model("cmx", "lora", backbone="sam-vit-b"))
    assert counts.encoder == 2 * 3_686_400 + 590_592 + 12 * 15_342_338 + 4 * 10_046_976 + 5
    assert counts.decoder == 588_800


@pytest.mark.parametrize(("method", "tuning"), [("vipt", "prompt"), ("cmx", "full"), ("cmx", "lora")])
def test_a_checkpoint_goes_round(method: str, tuning: str, tmp_path: Path) -> None:
    trained, loaded = model(method, tuning), model(method, tuning)
    step(trained, adam(trained))
    save_trained(tmp_path / "weights.safetensors", trained, {})
    load_trained(tmp_path / "weights.safetensors", loaded)
    images = pictures(seed=5)
    with torch.no_grad():
        assert torch.equal(trained.eval().embed(images), loaded.eval().embed(images))
    assert all(torch.equal(t, loaded.state_dict()[name]) for name, t in trained.state_dict().items())


def test_running_statistics_are_in_the_checkpoint_and_matter() -> None:
    trained = model("cmx", "lora")
    step(trained, adam(trained))
    state = trainable_state(trained)
    counter = state["image_encoder.fusions.0.norm.num_batches_tracked"]
    assert (counter.dtype, counter.tolist()) == (torch.int64, 1)
    assert len(state) == len(declared_parameters(trained)) + 2 * 3
    trained.eval()
    images = pictures(seed=5)
    with torch.no_grad():
        before = trained.embed(images)
        state["image_encoder.fusions.0.norm.running_mean"].zero_()
        assert not torch.allclose(trained.embed(images), before)


def test_a_resumed_cmx_goes_on_bit_for_bit(tmp_path: Path) -> None:
    unbroken, broken = model("cmx", "full"), model("cmx", "full")
    optimizers = adam(unbroken), adam(broken)
    step(unbroken, optimizers[0], seed=1)
    save_resume(tmp_path / "resume.safetensors", unbroken, optimizers[0], TrainingState())
    load_resume(tmp_path / "resume.safetensors", broken, optimizers[1])
    step(unbroken, optimizers[0], seed=2)
    step(broken, optimizers[1], seed=2)
    assert all(torch.equal(t, broken.state_dict()[name]) for name, t in unbroken.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize(("method", "tuning"), [("vipt", "prompt"), ("cmx", "full")])
@pytest.mark.parametrize("channels", [4, 5, 6, 9])
def test_it_matters_which_channels_are_rgb(method: str, tuning: str, channels: int) -> None:
    built = model(method, tuning, channels=channels).eval()
    images = pictures(channels)
    found = built.embed(images)
    assert found.shape == (2, 16, 8, 8)
    for channel in range(1, channels):
        order = list(range(channels))
        order[0], order[channel] = channel, 0
        swapped = built.embed(images[:, order])
        assert not torch.allclose(swapped, found, atol=1e-4)


@pytest.mark.parametrize("method", ["vipt", "cmx"])
def test_every_channel_counts(method: str) -> None:
    built = model(method, default_tuning(method, pretrained=True), channels=6).eval()
    images = pictures(6).requires_grad_()
    built.embed(images).square().mean().backward()
    assert images.grad is not None
    assert images.grad.abs().amax((0, 2, 3)).min() > 0


@pytest.mark.parametrize("method", ["vipt", "cmx"])
def test_it_needs_rgb(method: str) -> None:
    assert METHODS[method].knows_rgb
    for name, modality in MODALITIES.items():
        if modality.mixes_rgb:
            require_modality(method, modality)
        else:
            with pytest.raises(
                InputError, match=rf"'{method}' does not go with modality '{name}': .*takes RGB first"
            ):
                require_modality(method, modality)
    with pytest.raises(InputError, match="at least 4 in all, got 3"):
        model(method, default_tuning(method, pretrained=True), channels=3)


def test_vipt_is_a_prompt_tuning_of_its_own() -> None:
    assert default_tuning("vipt", pretrained=True) == default_tuning("vipt", pretrained=False) == "prompt"
    with pytest.raises(InputError, match=r"'vipt' does not go with tuning 'full': it is a tuning of its own"):
        model("vipt", "full")


def test_cmx_is_tuned_fully_unless_asked() -> None:
    assert default_tuning("cmx", pretrained=True) == default_tuning("cmx", pretrained=False) == "full"
    with pytest.raises(InputError, match="'cmx' does not go with tuning 'none': it has to be tuned"):
        model("cmx", "none")


def test_operations_by_hand() -> None:
    """Twice the multiplications of every layer that is put in."""
    # sam-tiny: 128 pixels in patches of 8; 6 blocks with 6 heads, 2 stages.
    dim, tokens, heads = 192, 16 * 16, 6
    with torch.device("meta"):
        plain = BACKBONES["sam-tiny"].build()
        vipt, cmx = (model(*pair, backbone="sam-tiny") for pair in (("vipt", "prompt"), ("cmx", "full")))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            grid = torch.empty(1, 16, 16, dim)
            for block in plain.image_encoder.blocks:
                grid = block(grid)
    before, patches = count_flops(plain).forward, tokens * 3 * 8 * 8 * dim
    assert count_flops(vipt).forward == before + 2 * (patches + 6 * tokens * 3 * dim * 8)
    rectifying = 4 * dim * 4 * dim + 4 * dim * 2 * dim + tokens * (2 * dim * dim + dim * 2)
    contexts_and_answers = 2 * tokens * dim * (dim // heads)
    paths = 2 * (tokens * 3 * 2 * dim * dim + contexts_and_answers)
    fusing = paths + tokens * (2 * dim * dim + 2 * dim * dim + 9 * dim + dim * dim)
    new = patches + 6 * rectifying + 2 * fusing + tokens * dim * 2
    assert count_flops(cmx).forward == before + counter.get_total_flops() + 2 * new
