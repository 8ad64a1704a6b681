from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import product
from typing import Literal

import pytest
import toys

from aims.cli import main
from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES
from aims.methods import (
    METHODS,
    TUNINGS,
    all_options,
    changed_options,
    default_tuning,
    known_options,
    read_any_option,
    require_modality,
    require_pair,
)
from aims.methods.linear import LinearFrozen
from aims.methods.options import configure


def test_options_are_the_fields() -> None:
    assert known_options("simcmf", "lora") == {"kernel": 3, "width": 64, "depth": 2, "rank": 100}
    assert known_options("linear", "full") == {}
    assert known_options("vipt", "prompt") == {}  # ViPT's prompts are its own, not the tuning's
    assert known_options("zero-shot", NO_TUNING) == {}
    assert "simcmf" in all_options()["kernel"]
    assert all_options()["rank"] == ("lora",)


def test_no_method_shares_an_option_with_a_tuning() -> None:
    assert all(
        set(owners) <= set(METHODS) or set(owners) <= set(TUNINGS) for owners in all_options().values()
    )


def test_only_what_differs_is_kept() -> None:
    assert changed_options("simcmf", "lora", {"width": "32", "kernel": "3", "rank": 8}) == {
        "rank": 8,
        "width": 32,
    }
    assert list(changed_options("simcmf", "lora", {"width": "32", "depth": "4"})) == ["depth", "width"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernal": "5"}, "method 'simcmf', tuning 'lora': unknown option 'kernal'; did you mean 'kernel'"),
        ({"bottleneck": "5"}, "unknown option 'bottleneck'"),
        ({"kernel": "three"}, "--kernel is 'three', not a whole number"),
        ({"kernel": "3.5"}, "--kernel is '3.5', not a whole number"),
        ({"kernel": 2.5}, "--kernel is 2.5, not a whole number"),
        ({"kernel": True}, "--kernel is True, not a whole number"),
        ({"kernel": None}, "--kernel is None, not a whole number"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed_options("simcmf", "lora", options)


@dataclass(frozen=True, kw_only=True)
class Typed(LinearFrozen):
    """A method with an option of every type."""

    gated: bool = False
    kind: Literal["mean", "max"] = "mean"
    name: str = "a"
    side: int | None = None
    share: float = 0.5


@pytest.fixture
def typed(monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    METHODS.register("typed")(Typed)


@pytest.mark.usefixtures("typed")
def test_options_are_converted_by_their_annotations():
    words = {"gated": "true", "kind": "max", "name": "5", "side": "3", "share": "1", "rank": "8"}
    read = {"gated": True, "kind": "max", "name": "5", "rank": 8, "share": 1.0, "side": 3}
    assert changed_options("typed", "lora", words) == changed_options("typed", "lora", read) == read
    assert changed_options("typed", "lora", {"gated": "false", "side": "none", "share": 0.5}) == {}
    method, tuning = configure("typed", "lora", {"gated": "True", "rank": 8})
    assert (method, tuning) == (Typed(gated=True), TUNINGS["lora"](rank=8))
    with pytest.raises(InputError, match="--kind is 'sum', not one of mean, max"):
        changed_options("typed", "lora", {"kind": "sum"})
    with pytest.raises(InputError, match="--gated is 'maybe', not true or false"):
        changed_options("typed", "lora", {"gated": "maybe"})
    with pytest.raises(InputError, match=r"--side is 2\.5, not a whole number or none"):
        changed_options("typed", "lora", {"side": 2.5})
    with pytest.raises(InputError, match="--share is 'nan', not a number"):
        changed_options("typed", "lora", {"share": "nan"})
    with pytest.raises(InputError, match="--name is 5, not a text"):
        read_any_option("name", 5)


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(
    ("annotation", "default", "name", "message"),
    [
        ("int", 4, "rank", "does not go with tuning 'lora': both have an option 'rank'"),
        ("int", 4, "seed", "has an option 'seed', as `aims run` itself has"),
        ("int", dataclasses.MISSING, "steps", "option 'steps' needs a default"),
    ],
)
def test_an_option_that_cannot_be_told_apart_is_refused(annotation, default, name, message):
    field = dataclasses.field(default=default)
    METHODS.register("other")(
        dataclasses.make_dataclass(
            "Other", [(name, annotation, field)], bases=(LinearFrozen,), kw_only=True, frozen=True
        )
    )
    with pytest.raises(InputError, match=message):
        require_pair("other", "lora")


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize(("command", "name"), [("run", "workers"), ("run", "help"), ("info", "channels")])
def test_an_option_of_the_command_is_refused(command, name, capsys, tmp_path):
    """The flag would be the command's, and the option could not be given."""
    METHODS.register("other")(
        dataclasses.make_dataclass(
            "Other", [(name, "int", 4)], bases=(LinearFrozen,), kw_only=True, frozen=True
        )
    )
    data = ["--modality", "depth"]
    if command == "run":
        data = ["--modality", "signal", "--data", str(toys.made_up_set(tmp_path / "set").folder)]
    with pytest.raises(SystemExit) as stopped:
        main([command, "--method", "other", *data])
    assert stopped.value.code == 2
    message = f"error: method 'other' or tuning 'lora' has an option {name!r}, as `aims {command}` itself has"
    assert capsys.readouterr().err.startswith(message)


def test_every_pair_is_fine_or_refused_with_a_reason() -> None:
    refused = {}
    for method, tuning in product(METHODS, [*TUNINGS, NO_TUNING]):
        try:
            require_pair(method, tuning)
        except InputError as error:
            refused[method, tuning] = str(error)
    for (method, tuning), message in refused.items():
        assert message.startswith(f"method {method!r} does not go with tuning {tuning!r}: ")
    untrained = dict.fromkeys(("disc", "oracle-disc", "zero-shot"), NO_TUNING)
    only = {"scratch": "full", "vipt": "prompt", **untrained}
    assert {pair for pair in refused if pair[0] in only} == {
        (method, tuning) for method in only for tuning in [*TUNINGS, NO_TUNING] if tuning != only[method]
    }
    assert {pair for pair in refused if pair[0] not in only} == {
        *((method, NO_TUNING) for method in METHODS if method not in only),
        ("linear-frozen", "full"),
        ("linear-frozen", "linear-probe"),
    }
    assert "choose one of adapter, full" in refused["simcmf", NO_TUNING]


def test_every_method_goes_with_every_modality_or_gives_a_reason() -> None:
    refused = {}
    for method, modality in product(METHODS, MODALITIES.values()):
        try:
            require_modality(method, modality)
        except InputError as error:
            refused[method, modality.name] = str(error)
    for (method, name), message in refused.items():
        assert message.startswith(f"method {method!r} does not go with modality {name!r}: ")
    without_rgb = {name for name, modality in MODALITIES.items() if not modality.mixes_rgb}
    assert set(refused) == {
        *(("vipt", name) for name in without_rgb),
        *(("cmx", name) for name in without_rgb),
        ("zero-shot", "aolp-dolp"),
    }


def test_default_tuning() -> None:
    assert default_tuning("simcmf", True) == "lora"
    assert default_tuning("simcmf", False) == "full"
    assert default_tuning("scratch", True) == "full"
    assert default_tuning("scratch", False) == "full"
    assert default_tuning("cmx", True) == "full"
    assert default_tuning("linear-frozen", False) == "lora"
    assert default_tuning("vipt", False) == "prompt"
    assert default_tuning("zero-shot", True) == NO_TUNING
    with pytest.raises(InputError, match="unknown method"):
        default_tuning("scratsh", False)


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="did you mean 'lora'"):
        require_pair("simcmf", "lorra")
    with pytest.raises(InputError, match="did you mean 'simcmf'"):
        require_pair("simcfm", "lora")
