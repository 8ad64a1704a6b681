"""Counts of methods and tunings: the reference's integers, by hand, and agreement with real models."""

from __future__ import annotations

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES
from aims.methods import (
    METHODS,
    TUNINGS,
    ParameterCounts,
    build_model,
    build_shapes,
    count_parameters,
    default_tuning,
    describe,
    has_model,
    require_modality,
    require_pair,
)
from aims.methods.options import LARGEST
from aims.models.flops import count_flops

#: Of a modality that every method takes.
CHANNELS = MODALITIES["rgb-hha"].channels or 0


def counts(
    method: str = "simcmf",
    tuning: str = "lora",
    backbone: str = "sam-toy",
    channels: int = 9,
    **options: object,
) -> ParameterCounts:
    model = build_shapes(method=method, tuning=tuning, backbone=backbone, channels=channels, options=options)
    return count_parameters(model)


@pytest.mark.parametrize(
    ("tuning", "encoder", "decoder"),
    [
        ("lora", 3_686_400, 588_800),
        # All 93,735,472 but the prompt encoder's 6,220.
        ("full", 89_670_912, 4_058_340),
    ],
)
def test_tunings_have_the_references_integers(tuning: str, encoder: int, decoder: int) -> None:
    """With a method; the other tunings alone are counted in test_models_tuning."""
    found = counts("simcmf", tuning, "sam-vit-b", 9)
    assert (found.encoder, found.decoder) == (encoder, decoder)
    # simcmf at nine channels: 3 x 3 x 9 x 64 + 64 and 64 x 3 + 3.
    assert found.alignment == 5_443
    assert found.trainable == 5_443 + encoder + decoder


@pytest.mark.parametrize(("depth", "expected"), [(1, 30), (2, 5_443), (3, 42_371), (4, 79_299), (5, 116_227)])
def test_five_depths(depth: int, expected: int) -> None:
    assert counts(depth=depth).alignment == expected


@pytest.mark.parametrize("tuning", [*TUNINGS, NO_TUNING])
@pytest.mark.parametrize("method", METHODS)
def test_every_pair_is_counted_or_refused_with_a_reason(method: str, tuning: str) -> None:
    try:
        require_pair(method, tuning)
    except InputError as error:
        reason = str(error).partition(f"method {method!r} does not go with tuning {tuning!r}: ")[2]
        assert len(reason.split()) > 2
        with pytest.raises(InputError, match="does not go with"):
            counts(method, tuning, channels=CHANNELS)
        return
    if not has_model(method):
        found = describe(method=method, tuning=tuning, backbone="sam-toy", channels=CHANNELS)
        assert (found.backbone, found.parameters.total, found.flops.forward) == ("none", 0, 0)
        return
    assert (counts(method, tuning, channels=CHANNELS).trainable > 0) == (tuning != NO_TUNING)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_operations_are_counted_under_every_tuning(tuning: str) -> None:
    found = describe(method="simcmf", tuning=tuning, backbone="sam-toy", channels=4)
    assert found.flops.forward > found.flops.alignment > 0
    assert (found.image_size, found.mask_size) == (64, 32)


@pytest.mark.parametrize("method", METHODS)
def test_every_modality_is_taken_or_refused_with_a_reason(method: str) -> None:
    taken = set()
    for modality in MODALITIES.values():
        try:
            require_modality(method, modality)
        except InputError as error:
            start = f"method {method!r} does not go with modality {modality.name!r}: "
            reason = str(error).partition(start)[2]
            assert len(reason.split()) > 2
        else:
            taken.add(modality.name)
    # RGB with a sensor is for everyone.
    assert taken >= {modality.name for modality in MODALITIES.values() if modality.mixes_rgb}


@pytest.mark.parametrize("method", [name for name in METHODS if has_model(name)])
def test_shapes_agree_with_a_real_model(method: str) -> None:
    arguments = {"method": method, "tuning": default_tuning(method, True), "backbone": "sam-toy"}
    found = describe(**arguments, channels=CHANNELS)
    model = build_model(**arguments, channels=CHANNELS, weights=None, seed=0)
    assert found.parameters == count_parameters(model)
    assert found.flops == count_flops(model)


def test_nothing_is_computed_or_drawn() -> None:
    before = torch.random.get_rng_state()
    model = build_shapes(method="simcmf", tuning="lora", backbone="sam-vit-h", channels=9)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_options_are_resolved_in_order() -> None:
    found = describe(
        method="simcmf",
        tuning="lora",
        backbone="sam-toy",
        channels=4,
        options={"rank": "7", "kernel": 5},
    )
    assert list(found.options.items()) == [("kernel", 5), ("width", 64), ("depth", 2), ("rank", 7)]
    # 5 x 5 x 4 x 64 + 64 and 64 x 3 + 3.
    assert found.parameters.alignment == 6_659


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "simcfm"}, "did you mean 'simcmf'"),
        ({"tuning": "lroa"}, "did you mean 'lora'"),
        ({"backbone": "sam-vit-c"}, "unknown backbone"),
        ({"channels": 0}, "at least one channel"),
        ({"channels": LARGEST + 1}, "--channels 1048577 is more than 1,048,576"),
        ({"options": {"width": 10**30}}, "--width 10+ is more than"),
        ({"options": {"bottleneck": 3}}, "unknown option 'bottleneck'"),
        ({"options": {"rank": "many"}}, "--rank is 'many', not a whole number"),
        ({"options": {"rank": 0}}, "--rank must be at least 1"),
    ],
)
def test_wrong_arguments(changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "method": "simcmf",
        "tuning": "lora",
        "backbone": "sam-toy",
        "channels": 4,
    }
    with pytest.raises(InputError, match=message):
        describe(**{**arguments, **changes})  # type: ignore[arg-type]
