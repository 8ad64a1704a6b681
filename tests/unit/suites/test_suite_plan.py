"""Runs of a suite, resolved on a small set; those that are finished are known by their records."""

from __future__ import annotations

import shlex

import pytest
import toys
from accelerate import tracking
from suite_files import read

from aims.core.errors import InputError
from aims.engine.plan import plan
from aims.engine.run import run
from aims.suites.plan import plan_runs

TOY = '[defaults]\nbackbone = "sam-toy"\nepochs = 2\nmodality = "signal"\n'


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    toys.made_up_set(folder / "made-up")
    return folder


def resolve(folder, data, text):
    entries = read(folder, TOY + text).entries
    return plan_runs(entries, data=data, runs=folder / "runs", device="cpu")


def test_runs_are_those_of_aims_run(tmp_path, data):
    text = """
        [[grid]]
        method = "disc"
        [[grid]]
        method = "scratch"
        seed = [1, 2]
        [[grid]]
        method = "simcmf"
        tuning = "lora"
        weights = "none"
        kernel = [1, 3]
    """
    planned = resolve(tmp_path, data, text)
    common = {"modality": "signal", "backbone": "sam-toy", "epochs": 2, "data": data, "device": "cpu"}
    expected = [
        {"method": "disc"},
        {"method": "scratch", "seed": 1},
        {"method": "scratch", "seed": 2},
        {"method": "simcmf", "tuning": "lora", "weights": "none", "options": {"kernel": 1}},
        # The default, which is not kept.
        {"method": "simcmf", "tuning": "lora", "weights": "none", "options": {"kernel": 3}},
    ]
    for item, arguments in zip(planned, expected, strict=True):
        config = plan(**common, **arguments).config
        assert item.config == config
        assert item.config.options == config.options
        assert item.folder == tmp_path / "runs" / config.run_name
        assert plan(**item.arguments).config == config
        assert item.record is None
    assert planned[1].words == "scratch full, signal of made-up, seed 1"
    assert planned[3].words == "simcmf lora (kernel 1), signal of made-up, seed 0"
    words = shlex.split(planned[1].command)
    assert words[:2] == ["aims", "run"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert (options["--seed"], options["--data"]) == ("1", str(data))
    assert not (tmp_path / "runs").exists()


def test_words_tell_runs_of_one_method_apart(tmp_path, data):
    text = """
        [[grid]]
        method = "scratch"
        train-images = 2
        epochs = 4
        [[grid]]
        method = "scratch"
        lr = 1e-3
        [[grid]]
        method = "disc"
    """
    assert [item.words for item in resolve(tmp_path, data, text)] == [
        "scratch full, signal of made-up, lr 0.0003, epochs 4, 2 images, seed 0",
        "scratch full, signal of made-up, lr 0.001, epochs 2, all images, seed 0",
        "disc, signal of made-up, seed 0",
    ]


def test_every_run_is_told_to_the_tracker(tmp_path, data, monkeypatch):
    entries = read(tmp_path, TOY + '[[grid]]\nmethod = ["disc", "scratch"]\n').entries
    folders = {"data": data, "runs": tmp_path / "runs", "device": "cpu"}
    untracked = plan_runs(entries, **folders)
    monkeypatch.setattr(tracking, "_available_trackers", ["tensorboard"])
    tracked = plan_runs(entries, **folders, track="tensorboard")
    assert [item.config for item in tracked] == [item.config for item in untracked]
    assert [plan(**item.arguments).track for item in tracked] == ["tensorboard"] * 2
    assert [plan(**item.arguments).track for item in untracked] == [None] * 2
    with pytest.raises(InputError, match=r"^--track wandb needs the package wandb"):
        plan_runs(entries, **folders, track="wandb")


def test_a_seed_that_is_not_written_is_the_default(tmp_path, data):
    text = '[[grid]]\nmethod = "scratch"\nseed = 5\n[[grid]]\nmethod = "scratch"\n'
    assert [item.config.seed for item in resolve(tmp_path, data, text)] == [5, 0]


def test_finished_runs_are_known_without_being_loaded(tmp_path, data):
    text = '[[grid]]\nmethod = ["disc", "scratch"]\n'
    disc, _ = resolve(tmp_path, data, text)
    record, _ = run(plan(**disc.arguments))
    (disc.folder / "instances.parquet").unlink()
    again = resolve(tmp_path, data, text)
    assert [item.record for item in again] == [record, None]
    for content in ('{"status": "finished"}', '{"status": "runn', "[]"):
        (disc.folder / "run.json").write_text(content)
        assert resolve(tmp_path, data, text)[0].record is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('method = "scratch"\ntuning = ["full", "lora"]', "[[grid]] 1: method 'scratch' does not go with "),
        ('method = "scratch"\nseed = -1', "[[grid]] 1: seed must be at least 0, not -1"),
        ('method = "scratch"\nlr = 0', "[[grid]] 1: lr must be a positive number"),
        ('method = "scratch"\nepochs = 0', "[[grid]] 1: epochs must be at least 1"),
        (
            'method = "scratch"\nrank = 3',
            "[[grid]] 1: method 'scratch', tuning 'full': unknown option 'rank'",
        ),
        (
            'method = "scratch"\nmodality = "signl"',
            "[[grid]] 1: unknown modality 'signl'; did you mean 'signal'?",
        ),
        ('method = "scratch"\nmodality = "nir"', "[[grid]] 1: no dataset has the streams of nir"),
        (
            'method = "disc"\nepochs = [1, 2]',
            "--epochs 2 --modality signal --method disc` is the same run as `aims run --backbone sam-toy",
        ),
        (
            'method = "scratch"\n[[grid]]\nmethod = "scratch"\ntuning = "full"',
            "[[grid]] 2: `aims run --backbone",
        ),
    ],
)
def test_what_cannot_be_run_is_told_with_its_table(tmp_path, data, text, message):
    with pytest.raises(InputError) as raised:
        resolve(tmp_path, data, f"[[grid]]\n{text}\n")
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "t.toml"))
    assert not (tmp_path / "runs").exists()
