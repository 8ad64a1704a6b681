"""Grids, expanded by hand; and every way to write one wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from suite_files import FIELDS, GRID, HEAD, read

from aims.core.errors import InputError


def expanded(folder: Path, text: str) -> list[dict[str, object]]:
    return [dict(entry.fields) for entry in read(folder, text).entries]


def test_a_product_in_order_of_writing(tmp_path):
    text = """
        [defaults]
        seed = [3, 4]
        lr = 1
        [[grid]]
        method = ["simcmf", "scratch"]
        modality = "depth"
        [[grid]]
        seed = 9
        method = "disc"
        modality = ["depth", "nir"]
    """
    common = {"lr": 1.0, "modality": "depth"}
    assert expanded(tmp_path, text) == [
        {"seed": 3, "method": "simcmf", **common},
        {"seed": 3, "method": "scratch", **common},
        {"seed": 4, "method": "simcmf", **common},
        {"seed": 4, "method": "scratch", **common},
        {"seed": 9, "lr": 1.0, "method": "disc", "modality": "depth"},
        {"seed": 9, "lr": 1.0, "method": "disc", "modality": "nir"},
    ]


def test_an_exclusion_drops_what_matches_in_every_field(tmp_path):
    text = """
        [[grid]]
        method = ["simcmf", "scratch"]
        modality = ["depth", "nir"]
        kernel = [1, 3]
        [[exclude]]
        method = "scratch"
        modality = "nir"
        [[exclude]]
        method = ["simcmf", "disc"]
        kernel = 3
    """
    kept = [(e["method"], e["modality"], e["kernel"]) for e in expanded(tmp_path, text)]
    assert kept == [
        *(("simcmf", "depth", 1), ("simcmf", "nir", 1)),
        *(("scratch", "depth", 1), ("scratch", "depth", 3)),
    ]


def test_options_and_fields_become_arguments_and_a_command(tmp_path):
    text = GRID + 'tuning = "lora"\nbatch-size = 2\npatch-size = 4\nlr = 3e-4\nweights = "a b.pth"\n'
    (entry,) = read(tmp_path, text).entries
    assert entry.arguments == {
        "method": "simcmf",
        "modality": "signal",
        "tuning": "lora",
        "batch_size": 2,
        "lr": 3e-4,
        "weights": "a b.pth",
        "options": {"patch_size": 4},
    }
    assert entry.command == (
        "aims run --method simcmf --modality signal --tuning lora --batch-size 2 --patch-size 4 --lr 0.0003 "
        "--weights 'a b.pth'"
    )
    assert entry.where == f"{tmp_path / 't.toml'} [[grid]] 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.toml: needs at least one [[grid]] table"),
        ("grid = 3", "t.toml: grid: expected 'array', got 'int'"),
        ("defaults = 3\n" + GRID, "t.toml: defaults: expected 'object', got 'int'"),
        (GRID.replace("grid", "grids"), "t.toml: unknown key 'grids'; did you mean 'grid'?"),
        (GRID + "epoch = 3", "t.toml [[grid]] 1: unknown field 'epoch'; did you mean 'epochs'?"),
        (GRID + "batch_size = 3", "[[grid]] 1: unknown field 'batch_size'; did you mean 'batch-size'?"),
        (GRID + "kernal = 3", "[[grid]] 1: unknown field 'kernal'; did you mean 'kernel'?"),
        ("[defaults]\nsed = 1\n" + GRID, "t.toml [defaults]: unknown field 'sed'; did you mean 'seed'?"),
        (
            GRID + GRID.replace("simcmf", "simcfm"),
            "[[grid]] 2: unknown method 'simcfm'; did you mean 'simcmf'?",
        ),
        (GRID + 'tuning = ["lora", "ful"]', "[[grid]] 1: unknown tuning 'ful'; did you mean 'full'?"),
        (GRID + 'backbone = "sam-toi"', "unknown backbone 'sam-toi'; did you mean 'sam-toy'?"),
        (GRID + 'protocol = "strikt"', "unknown protocol 'strikt'; did you mean 'strict'?"),
        (GRID + "seed = []", "[[grid]] 1: 'seed' is an empty list"),
        (GRID + "seed = true", "[[grid]] 1: 'seed' is True, not a whole number"),
        (GRID + "seed = 1.5", "[[grid]] 1: 'seed' is 1.5, not a whole number"),
        (GRID + 'epochs = "3"', "[[grid]] 1: 'epochs' is '3', not a whole number"),
        (GRID + "lr = nan", "[[grid]] 1: 'lr' is nan, not a number"),
        (GRID + 'rank = "8"', "[[grid]] 1: --rank is '8', not a number"),
        (GRID + "rank = [[8]]", "[[grid]] 1: 'rank' is [8]; give a number, a text, true or false"),
        (GRID + 'dataset = ""', "[[grid]] 1: 'dataset' is '', not a text"),
        (GRID + "weights = 0", "[[grid]] 1: 'weights' is 0, not a text"),
        ('[[grid]]\nmethod = "simcmf"', "[[grid]] 1: needs a 'modality', here or in [defaults]"),
        ("[[grid]]\nseed = 1", "[[grid]] 1: needs a 'method', here or in [defaults]"),
        (
            GRID + GRID,
            "[[grid]] 2: `aims run --method simcmf --modality signal` stands in [[grid]] 1 already",
        ),
        (GRID + "seed = [0, 0]", "--seed 0` stands in [[grid]] 1 already"),
        (
            GRID + '[[exclude]]\nmethod = "disc"',
            "t.toml [[exclude]] 1: drops no run; correct it or leave it out",
        ),
        (GRID + "[[exclude]]\nseed = 0", "t.toml [[exclude]] 1: drops no run"),
        (GRID + '[[exclude]]\nmethod = "simcmf"', "[[grid]] 1: no run is left of it"),
        (
            GRID + '[[exclude]]\nmehtod = "simcmf"',
            "[[exclude]] 1: unknown field 'mehtod'; did you mean 'method'?",
        ),
    ],
)
def test_mistakes(tmp_path, text, message):
    with pytest.raises(InputError) as raised:
        read(tmp_path, text)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path))


@pytest.mark.parametrize("key", ["title", "question", "found", "cost", "command"])
def test_the_head_is_whole(tmp_path, key):
    head = "".join(line for line in HEAD.splitlines(keepends=True) if not line.startswith(key))
    with pytest.raises(InputError, match=f"no '{key}'"):
        read(tmp_path, GRID, head)


def test_words_of_only():
    words = ["seed=0", "method=disc", "seed=2", "lr=1e-3", "kernel=3"]
    assert FIELDS.parse(words, "--only") == {
        "seed": (0, 2),
        "method": ("disc",),
        "lr": (1e-3,),
        "kernel": (3,),
    }


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed", "--only 'seed': write key=value"),
        ("seed=", "--only 'seed=': write key=value"),
        ("seed=x", "--only: 'seed' is 'x', not a whole number"),
        ("sed=1", "--only: unknown field 'sed'; did you mean 'seed'?"),
        ("method=disk", "--only: unknown method 'disk'; did you mean 'disc'?"),
    ],
)
def test_wrong_words_of_only(word, message):
    with pytest.raises(InputError) as raised:
        FIELDS.parse([word], "--only")
    assert message in str(raised.value)
