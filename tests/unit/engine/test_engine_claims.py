"""What a run says of itself follows from its curve, its dataset and AIMS, or is named."""

from __future__ import annotations

import json
import shutil

import pytest
import toys

from aims.engine.run import run
from aims.engine.verify import verify_run
from aims.models.weights import packaged_weights


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


@pytest.fixture(scope="module")
def made(dataset, tmp_path_factory):
    """A run of each kind."""
    kinds = {
        "trained": {"epochs": 12, "score_every": 4},
        "paper": {"epochs": 2, "protocol": "paper"},
        "zero-shot": {"method": "zero-shot", "modality": "rgb-signal", **toys.UNTRAINED},
        "floor": toys.FLOOR,
    }
    folder = tmp_path_factory.mktemp("runs")
    return {name: run(toys.job(dataset, folder, **changes))[0].path for name, changes in kinds.items()}


@pytest.fixture
def problems(made, dataset, tmp_path):
    """Changes the record, and the lines of the curve, of a run of a kind; returns what is found."""

    def find(kind, record=lambda content: None, curve=lambda lines: None):
        folder = shutil.copytree(made[kind], tmp_path / made[kind].name, dirs_exist_ok=True)
        content = json.loads((folder / "run.json").read_text())
        record(content)
        (folder / "run.json").write_text(json.dumps(content))
        if (folder / "metrics.jsonl").exists():
            lines = [*map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]
            lines = curve(lines) or lines
            (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return verify_run(folder, dataset.folder)

    return find


def test_honest_runs(made, dataset):
    assert {name: verify_run(path, dataset.folder) for name, path in made.items()} == {
        name: [] for name in made
    }


@pytest.mark.parametrize(
    ("curve", "problem"),
    [
        (lambda lines: lines[:-1], "metrics.jsonl: its 11 epochs are not 1 to 12, once each"),
        (lambda lines: [*lines[:-1], lines[0]], "its 12 epochs are not 1 to 12"),
        (lambda lines: [*lines[1:-1], lines[1]], "its 12 epochs are not 1 to 12"),
        (lambda lines: lines[2].update(lr=0.5), "epoch 2 has the learning rate 0.5, the configuration gives"),
        (lambda lines: lines[11].update(lr=1e-3), "epoch 11 has the learning rate 0.001, the configuration"),
        (lambda lines: lines[1].update(lr=None), "epoch 1 has the learning rate None"),
        (lambda lines: lines[1].update(loss=None), "epoch 1 has the loss None"),
        (lambda lines: lines[1].update(loss=-1.0), "epoch 1 has the loss -1.0"),
        (
            lambda lines: lines[0].update(loss=0.1),
            "epoch 0 has the loss 0.1 and the learning rate None",
        ),
        (lambda lines: lines[0].pop("val_miou") and None, "epoch 0 has no score on val"),
        (lambda lines: lines[1].update(val_miou=0.0), "epoch 1 has a score on val"),
        (lambda lines: [line | {"val_miou": None} for line in lines], "epoch 12 has no score on val"),
        (
            lambda lines: lines[4].update(test_miou=0.9),
            "epoch 4 has a score on test, its protocol selects on",
        ),
    ],
)
def test_the_curve(problems, curve, problem):
    assert any(problem in found for found in problems("trained", curve=curve))


def test_a_curve_of_an_earlier_version_has_no_start(problems):
    assert problems("trained", curve=lambda lines: lines[1:]) == []


def test_a_start_that_the_protocol_does_not_score(problems):
    start = {"epoch": 0, "test_miou": 0.5}
    (problem,) = problems("paper", curve=lambda lines: [start, *lines])
    assert problem == "metrics.jsonl: epoch 0 is there, its protocol scores no start"


def test_the_start_is_never_the_best(problems):
    assert problems("trained", curve=lambda lines: lines[0].update(val_miou=1.0)) == []


def claim(*place, value):
    def change(content):
        for key in place[:-1]:
            content = content.setdefault(key, {})
        content[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("kind", "place", "value", "problem"),
    [
        ("trained", ("config", "epochs"), 50, "its 12 epochs are not 1 to 50"),
        (
            "trained",
            ("config", "lr"),
            0.01,
            "epoch 1 has the learning rate 0.001, the configuration gives 0.01",
        ),
        ("trained", ("config", "loss"), "magic", "run.json: loss is 'magic', which is none of dice-ce, sam"),
        ("trained", ("config", "backbone"), "sam-vit-h", "parameters are"),
        ("trained", ("config", "init"), "0" * 64, "init is of other weights than its configuration's"),
        ("trained", ("selected_on",), "test", "selected_on is 'test', its protocol selects on val"),
        ("trained", ("weights_name",), "sam-tiny@1", "weights_name is 'sam-tiny@1', its weights random are"),
        ("trained", ("flops", "forward"), 1, "flops.forward is 1, recomputed"),
        ("trained", ("options", "kernel"), 9, "option kernel is 9, its configuration has 3"),
        ("trained", ("started",), "yesterday", "started is 'yesterday', no time"),
        (
            "trained",
            ("finished",),
            "2026-01-01T00:00:00",
            "finished is '2026-01-01T00:00:00', a time of no zone",
        ),
        ("trained", ("finished",), "2020-01-01T00:00:00+00:00", "before it started"),
        ("trained", ("seconds",), 1e300, "seconds are 1e+300, longer than anything runs"),
        ("trained", ("peak_memory_bytes",), 1 << 62, "peak_memory_bytes is more than any memory has"),
        ("trained", ("dataset", "license"), "public domain", "the dataset's license is 'public domain'"),
        ("trained", ("dataset", "url"), "https://example.org", "the dataset's url is 'https://example.org'"),
        (
            "trained",
            ("dataset", "streams", "signal", "valid_range"),
            [0.0, 2.0],
            "run.json: the valid_range of signal is (0.0, 2.0), in the dataset None",
        ),
        (
            "trained",
            ("learning_rates",),
            {"scores": {"0.001": 0.999, "0.1": None}, "stopped_early": []},
            "learning_rates has 0.999 for the run's own 0.001, its score is 0.",
        ),
        ("paper", ("scores", "val_miou"), 0.9, "val_miou is 0.9, the best of metrics.jsonl has None"),
        ("zero-shot", ("scores", "epoch"), 7, "epoch is 7, though nothing was trained"),
        ("zero-shot", ("scores", "val_miou"), 0.9, "val_miou is 0.9, though nothing was selected"),
        ("floor", ("scores", "epoch"), 7, "epoch is 7, though nothing was trained"),
    ],
)
def test_the_record(problems, kind, place, value, problem):
    assert any(problem in found for found in problems(kind, claim(*place, value=value)))


def test_scores_on_test_that_the_masks_do_not_have(problems):
    found = problems("paper", curve=lambda lines: lines[-1].update(test_miou=0.999))
    assert any("epoch 2 scores 0.999 on test, its masks 0." in problem for problem in found)


def test_a_backbone_that_the_weights_are_not_of(problems):
    def other(content):
        content["config"]["weights"] = packaged_weights()[0].sha256
        content["weights_name"] = "sam-huge@3"

    found = problems("trained", other)
    assert "run.json: backbone is 'sam-toy', its weights are those of sam-tiny" in found
    assert any("weights_name is 'sam-huge@3'" in problem for problem in found)


def test_a_curve_of_what_was_not_trained(made, dataset, tmp_path):
    folder = shutil.copytree(made["zero-shot"], tmp_path / made["zero-shot"].name)
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "loss": 0.1}\n')
    assert verify_run(folder, dataset.folder) == ["metrics.jsonl: is there, though nothing was trained"]


def large_sheet(content):
    """A PNG whose head says that it is 100,000 pixels wide and high."""
    side = (100_000).to_bytes(4)
    return content[:16] + side + side + content[24:]


@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda _: b"GIF89a", lambda content: b"X" + content[1:], large_sheet]
)
def test_a_contact_sheet_that_is_no_png(made, dataset, tmp_path, change):
    folder = shutil.copytree(made["trained"], tmp_path / made["trained"].name)
    sheet = folder / "samples.png"
    sheet.write_bytes(change(sheet.read_bytes()))
    assert verify_run(folder, dataset.folder) == ["samples.png: no PNG, or too large a one"]
    sheet.unlink()
    assert verify_run(folder, dataset.folder) == []
