"""Backbones of other families than SAM's: every method and tuning on each, and what is refused."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import pytest
import torch
from hf_models import MODELS, SIZE, make_model, save_model
from small_backbones import SMALL

from aims.core.errors import InputError
from aims.methods import (
    BACKBONES,
    METHODS,
    TUNINGS,
    build_model,
    default_tuning,
    describe,
    has_model,
    require_pair,
)
from aims.models.features import maps_of
from aims.models.merging import folded_state
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters
from aims.models.tuning.base import find_layers, is_attention
from aims.models.tuning.prompt import Prefix

CHANNELS = 4
KINDS = (*MODELS, *SMALL)


@pytest.fixture(scope="session")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Names of the backbones by kind."""
    return {kind: save_model(tmp_path_factory.mktemp(kind), make_model(kind)) for kind in MODELS} | SMALL


def build(backbone: str, method: str, tuning: str, *, options: Any = None) -> Segmenter:
    return build_model(
        method=method,
        tuning=tuning,
        backbone=backbone,
        channels=CHANNELS,
        weights=None,
        seed=0,
        options=options or {},
    )


def goes_together(method: str, tuning: str) -> bool:
    try:
        require_pair(method, tuning)
    except InputError:
        return False
    return True


PAIRS = [pair for pair in product(filter(has_model, METHODS), [*TUNINGS, "none"]) if goes_together(*pair)]
#: Each tuning, and each method that changes more than what comes before the encoder.
_DEEP = ("random-embed", "simcmf-released", "channel-batch", "vipt", "cmx", "zero-shot")
SOME = [
    (method, tuning)
    for method, tuning in PAIRS
    if method == "simcmf" or (method in _DEEP and tuning == default_tuning(method, pretrained=False))
]


def answer(model: Segmenter, prompts: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, CHANNELS, SIZE, SIZE, generator=generator)
    points = SIZE * torch.rand(2 * prompts, 1, 2, generator=generator)
    logits, _ = model.decode(model.embed(images), points, torch.ones(2 * prompts, 1, dtype=torch.int64))
    return logits


#: Methods that a kind refuses, and why.
NOT_PLAIN = dict.fromkeys(("vipt", "cmx"), "fused between blocks of one width")
REFUSED: dict[str, dict[str, str]] = {
    "sam": {},
    "sam_hq": NOT_PLAIN,
    "sam2": NOT_PLAIN,
    "sam3_tracker": NOT_PLAIN | {"simcmf-released": "gives a list of tokens"},
    "mobile-sam": NOT_PLAIN | {"simcmf-released": "which is no patch embedding of one convolution"},
    "efficient-sam": {},
}


def take_a_step(kind: str, backbone: str, method: str, tuning: str) -> None:
    """One step, and a check of what changed; or of the refusal."""
    if reason := REFUSED[kind].get(method):
        with pytest.raises(InputError, match=reason):
            build(backbone, method, tuning)
        return
    model = build(backbone, method, tuning)
    declared = declared_parameters(model)
    logits = answer(model)
    side = BACKBONES[backbone].mask_size
    assert logits.shape == (4, 1, side, side)
    if not declared:
        assert method == "zero-shot"
        return
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    logits.square().sum().backward()
    torch.optim.Adam(declared.values(), lr=1e-2).step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert changed <= set(declared)


@pytest.mark.parametrize(("method", "tuning"), SOME)
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_changes_what_is_declared(kind: str, method: str, tuning: str, names: dict[str, str]) -> None:
    take_a_step(kind, names[kind], method, tuning)


@pytest.mark.thorough
@pytest.mark.parametrize(("method", "tuning"), [pair for pair in PAIRS if pair not in SOME])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_every_other_pair(kind: str, method: str, tuning: str, names: dict[str, str]) -> None:
    take_a_step(kind, names[kind], method, tuning)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_counted_is_what_is_built(kind: str, names: dict[str, str]) -> None:
    described = describe(method="simcmf", tuning="lora", backbone=names[kind], channels=CHANNELS)
    model = build(names[kind], "simcmf", "lora")
    declared = declared_parameters(model)
    assert described.parameters.trainable == sum(each.numel() for each in declared.values())
    assert described.parameters.total == sum(each.numel() for each in model.parameters())
    # The encoder and the decoder compute at least two operations for each of their weights.
    assert described.flops.forward > 2 * described.parameters.total
    assert described.flops.alignment > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tuning", ["lora", "adapter"])
def test_a_tuning_that_starts_at_zero_changes_no_output(
    kind: str, tuning: str, names: dict[str, str]
) -> None:
    tuned, plain = (build(names[kind], "simcmf", each).eval() for each in (tuning, "full"))
    torch.testing.assert_close(answer(tuned), answer(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_attention_without_extra_tokens_is_the_backbones_own(kind: str, names: dict[str, str]) -> None:
    plain = build(names[kind], "simcmf", "full").eval()
    extended = copy.deepcopy(plain)
    found = list(find_layers(extended, is_attention, "attention"))
    for holder, name, attention in found:
        setattr(holder, name, extended.extend_attention(attention, lambda _, dim: Prefix(count=0, dim=dim)))
    # In each of the decoder's two blocks three, and one more.
    assert len(found) > 2 * 3 + 1
    torch.testing.assert_close(answer(extended), answer(plain), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rounds_of_prompts_and_views_work_with_several_maps(kind: str, names: dict[str, str]) -> None:
    model = build(names[kind], "channel-batch", "lora").eval()
    images = torch.randn(1, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = maps_of(model.embed(images))
        each = [maps_of(model.encode(images[:, [k] * 3])) for k in range(CHANNELS)]
    for place, averaged in enumerate(features):
        expected = torch.stack([views[place] for views in each]).mean(0)
        torch.testing.assert_close(averaged, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_folded_lora_has_the_names_of_the_plain_model(kind: str, names: dict[str, str]) -> None:
    model = build(names[kind], "simcmf", "lora")
    assert folded_state(model).keys() == BACKBONES[names[kind]].build().state_dict().keys()
