from __future__ import annotations

from itertools import product

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.engine.training_prompts import Prompts, decode_rounds
from aims.methods import (
    BACKBONES,
    METHODS,
    TUNINGS,
    build_model,
    build_shapes,
    count_parameters,
    default_tuning,
    has_model,
    require_pair,
)
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters, trainable_state

RGBX = ("vipt", "cmx")
#: Least and most channels that a listed modality has; methods that need RGB take four at least.
FEWEST, MOST = 1, 9


def makes_sense(method: str, tuning: str) -> bool:
    try:
        require_pair(method, tuning)
    except InputError:
        return False
    return True


MODELS = [method for method in METHODS if has_model(method)]
PAIRS = [pair for pair in product(MODELS, [*TUNINGS, NO_TUNING]) if makes_sense(*pair)]


def few(method: str) -> int:
    return 4 if method in RGBX else FEWEST


def build(method: str = "simcmf", tuning: str = "lora", **changes: object) -> Segmenter:
    arguments: dict[str, object] = {"backbone": "sam-toy", "channels": 4, "weights": None, "seed": 0}
    return build_model(method=method, tuning=tuning, **{**arguments, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return {name: tensor + 0.01 for name, tensor in BACKBONES["sam-toy"].build().state_dict().items()}


def same(one: Segmenter, other: Segmenter) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_entry_says_what_it_is() -> None:
    assert all(METHODS[name].__doc__ for name in METHODS)
    assert all(TUNINGS[name].__doc__ for name in TUNINGS)


@pytest.mark.parametrize(
    ("method", "tuning", "alignment", "encoder"),
    [
        ("linear", "lora", 30, 3_686_400 + 590_592),
        ("random-embed", "lora", 0, 3_686_400 + 256 * 768 * 9 + 768),
        # 590,592 is the patch embedding for three channels.
        ("linear", "full", 30, 89_670_912),
        ("random-embed", "full", 0, 89_670_912 - 590_592 + 256 * 768 * 9 + 768),
        ("scratch", "full", 0, 89_670_912 - 590_592 + 256 * 768 * 9 + 768),
    ],
)
def test_counts_for_vit_b_at_nine_channels(method: str, tuning: str, alignment: int, encoder: int) -> None:
    """Methods that train the patch embedding; the others' counts stand in test_methods_describe."""
    model = build_shapes(method=method, tuning=tuning, backbone="sam-vit-b", channels=9)
    counts = count_parameters(model)
    assert (counts.alignment, counts.encoder) == (alignment, encoder)
    assert counts.trainable == alignment + encoder + counts.decoder
    assert counts.total == sum(parameter.numel() for parameter in model.parameters())


def test_all_pairs() -> None:
    # Thirteen methods with a model and six tunings: nine methods go with all six, linear-frozen with four;
    # scratch, vipt and zero-shot with one each.
    assert len(PAIRS) == 9 * 6 + 4 + 3


def simulated(*, rounds: bool) -> Prompts:
    """A click; or a box, and two further clicks of which the first comes with the last mask."""
    masks = torch.zeros(1, 32, 32)
    masks[:, 8:18, 8:18] = 1
    if not rounds:
        return Prompts(torch.full((1, 1, 2), 25.0), masks, None, torch.empty(1, 0), ())
    box, lots = torch.tensor([[16.0, 16, 35, 35]]), torch.tensor([[0.2, 0.7]])
    return Prompts(torch.empty(1, 0, 2), masks, box, lots, (True, False))


@pytest.mark.parametrize("most", [False, True], ids=["fewest channels", "most channels, rounds of prompts"])
@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_a_step_changes_what_is_declared_and_nothing_else(
    method: str, tuning: str, most: bool, weights: dict[str, torch.Tensor]
) -> None:
    channels = MOST if most else few(method)
    given = weights if METHODS[method].loads_weights else None
    model = build(method, tuning, channels=channels, weights=given)
    declared = declared_parameters(model)
    with torch.no_grad():
        for parameter in declared.values():
            if not parameter.any():  # A zero factor would keep the gradient from the other one.
                parameter.normal_(std=0.01)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(declared)
    assert not any(name.startswith("prompt_encoder") for name in declared)
    if tuning == NO_TUNING:
        assert not declared
        return
    buffers = set(trainable_state(model)) - set(declared)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.randn(1, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    answers = [*decode_rounds(model, model.embed(images), simulated(rounds=most))]
    sum(logits.square().mean() + iou.square().mean() for logits, iou in answers).backward()
    optimizer.step()
    assert len(optimizer.state) == sum(p.grad is not None for p in declared.values())
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= set(declared) | buffers
    # Without a gradient: the three masks that `multimask_output=False` drops, and embeddings of prompts
    # that do not occur; key biases get rounding noise at most, since softmax ignores what they add.
    unused = {name for name, p in declared.items() if p.grad is None or not p.grad.any()}
    assert changed - buffers == set(declared) - unused
    assert all(
        name.startswith(tuple(f"mask_decoder.output_hypernetworks_mlps.{i}." for i in (1, 2, 3)))
        for name in unused
        if not name.endswith("k_proj.bias")
    )


def test_scratch_goes_with_full_tuning_alone() -> None:
    with pytest.raises(InputError, match=r"'scratch' does not go with tuning 'lora': its weights are random"):
        build("scratch", "lora")


def test_scratch_takes_no_weights(weights: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="starts from random weights"):
        build("scratch", "full", weights=weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "simcfm"}, "did you mean 'simcmf'"),
        ({"tuning": "lorra"}, "did you mean 'lora'"),
        ({"backbone": "sam-vit-x"}, "unknown backbone"),
        ({"channels": 0}, "at least one channel, got 0"),
    ],
)
def test_wrong_arguments(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [name for name in MODELS if METHODS[name].loads_weights])
def test_pretrained_weights_arrive(method: str, weights: dict[str, torch.Tensor]) -> None:
    state = build(method, METHODS[method].own_tuning or "lora", weights=weights).state_dict()
    new = {
        name
        for name, tensor in weights.items()
        if state[name].shape != tensor.shape or not torch.equal(state[name], tensor)
    }
    patch_embedding = {"image_encoder.patch_embed.proj.weight", "image_encoder.patch_embed.proj.bias"}
    assert new == (patch_embedding if method == "random-embed" else set())


def test_pretrained_weights_are_copied(weights: dict[str, torch.Tensor]) -> None:
    before = {name: tensor.clone() for name, tensor in weights.items()}
    model = build(tuning="full", weights=weights)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights.items())


def test_weights_that_do_not_fit_are_refused(weights: dict[str, torch.Tensor]) -> None:
    less = {name: tensor for name, tensor in weights.items() if not name.endswith("iou_token.weight")}
    with pytest.raises(InputError, match=r"1 missing \(mask_decoder\.iou_token\.weight\)"):
        build(weights=less)


@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_a_seed_is_a_model(method: str, tuning: str) -> None:
    torch.manual_seed(1)
    one = build(method, tuning, seed=3)
    torch.manual_seed(2)
    assert same(one, build(method, tuning, seed=3))
    other = build(method, tuning, seed=4).state_dict()
    assert not torch.equal(
        one.state_dict()["image_encoder.neck.0.weight"], other["image_encoder.neck.0.weight"]
    )


def test_global_random_numbers_stay() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build()
    assert torch.equal(torch.rand(3), expected)


def test_parts_have_their_own_random_numbers(weights: dict[str, torch.Tensor]) -> None:
    states = [build(tuning="lora"), build(tuning="full"), build(weights=weights)]
    one, *others = [model.state_dict()["alignment.layers.0.weight"] for model in states]
    assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("method", MODELS)
def test_shapes(method: str) -> None:
    for channels in (few(method), 6, MOST):
        model = build(method, default_tuning(method, pretrained=False), channels=channels)
        assert (model.in_channels, model.image_size) == (channels, 64)
        with torch.no_grad():
            image_embeddings = model.embed(torch.randn(2, channels, 64, 64))
            mask_logits, iou_predictions = model.decode(
                image_embeddings[:1], torch.rand(5, 2, 2) * 64, torch.tensor([[1, -1]]).repeat(5, 1)
            )
        assert image_embeddings.shape == (2, 16, 8, 8)
        assert mask_logits.shape == (5, 1, 32, 32)
        assert iou_predictions.shape == (5, 1)
