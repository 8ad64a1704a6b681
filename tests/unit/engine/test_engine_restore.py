"""The model of a finished run, loaded again: with its weights, and from damaged runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import toys
from safetensors.torch import load_file, save_file

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.core.files import sha256_file
from aims.core.vocabulary import PROTOCOLS
from aims.engine.evaluate import evaluate, mean_iou
from aims.engine.export import export_model
from aims.engine.restore import load_model
from aims.engine.run import run
from aims.methods import BACKBONES
from aims.models.weights import find_packaged
from aims.models.weights import load_weights as read_weights
from exported import CHANNELS, changed, made_run


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", channels=CHANNELS)


@pytest.mark.parametrize(("method", "tuning"), [("simcmf", "lora"), ("zero-shot", NO_TUNING)])
def test_the_loaded_model_scores_what_the_run_scored(dataset, tmp_path, method, tuning):
    untrained = {"epochs": 0, "lr": 0.0, "batch_size": 1} if tuning == NO_TUNING else {"epochs": 1}
    record, _ = run(toys.job(dataset, tmp_path / "runs", method=method, tuning=tuning, **untrained))
    protocol = PROTOCOLS["strict"]
    source = dataclasses.replace(toys.source(dataset, protocol), preprocessing=record.content.preprocessing)
    model = load_model(record.path)
    assert not model.training
    rows = evaluate(model, source, dataset.index["test"], precision="float32", masks=False)
    assert mean_iou(rows) == pytest.approx(record.scores.miou, abs=1e-12)
    export_model(record.path, tmp_path / "out")


def test_pretrained_weights_are_needed_again_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))
    base = {name: tensor + 0.01 for name, tensor in BACKBONES["sam-toy"].build().state_dict().items()}
    save_file(base, tmp_path / "right.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in base.items()}, tmp_path / "wrong.safetensors")
    checksum = sha256_file(tmp_path / "right.safetensors")
    folder, model = made_run(tmp_path / "runs", base=base, weights=checksum)
    with pytest.raises(
        InputError, match=rf"weights of its own, SHA-256 {checksum}; give that file with --wei"
    ):
        load_model(folder)
    with pytest.raises(
        InputError, match=r"gone: no such file of weights; give the file that the run started"
    ):
        load_model(folder, tmp_path / "gone")
    with pytest.raises(InputError, match=r"wrong\.safetensors: not the weights that .* it would be another"):
        load_model(folder, tmp_path / "wrong.safetensors")
    loaded = load_model(folder, tmp_path / "right.safetensors")
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in loaded.state_dict().items())
    description = export_model(folder, tmp_path / "out", weights=tmp_path / "right.safetensors").description
    assert description["weights"] == {"start": checksum, "seed": 2, "origin": None, "license": None}
    authors = BACKBONES["sam-vit-b"].checkpoint.sha256
    changed(folder, config={**json.loads((folder / "run.json").read_text())["config"], "weights": authors})
    config = json.loads((folder / "run.json").read_text())["config"]
    changed(folder, config={**config, "backbone": "sam-vit-b"})
    with pytest.raises(
        InputError, match=r"sam_vit_b_01ec64\.pth: no such .* `aims weights sam-vit-b`, or give"
    ):
        load_model(folder)


def test_weights_that_come_with_aims_are_found_again(tmp_path):
    path = find_packaged("sam-tiny@1").path
    loaded = read_weights("sam-tiny", path)
    folder, model = made_run(tmp_path / "runs", base=loaded.state, weights=loaded.sha256, backbone="sam-tiny")
    again = load_model(folder)
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in again.state_dict().items())
    exported = export_model(folder, tmp_path / "out")
    assert exported.description["weights"] == {
        "start": loaded.sha256,
        "seed": 2,
        "origin": "the weights sam-tiny@1 that come with AIMS",
        "license": "Apache-2.0",
    }
    card = (exported.folder / "README.md").read_text()
    assert "It started from the weights sam-tiny@1 that come with AIMS, licence Apache-2.0" in card
    assert "Meta" not in card


def test_random_weights_take_no_file_and_tell_of_another_torch(tmp_path, caplog):
    folder, _ = made_run(tmp_path / "runs")
    with pytest.raises(InputError, match="started from random weights; leave --weights out"):
        load_model(folder, tmp_path / "any")
    load_model(folder)
    assert caplog.messages == []
    changed(folder, code={"aims": "0.0.1", "commit": None, "torch": "1.0"})
    load_model(folder)
    (message,) = caplog.messages
    assert "under torch 1.0; they are drawn again by torch" in message


def damage(folder: Path, what: str) -> Path:
    if what == "gone":
        return folder.with_name("nowhere")
    if what == "other":
        (folder / "run.json").unlink()
    if what == "unfinished":
        changed(folder, status="running")
    if what == "method":
        changed(folder, config={**json.loads((folder / "run.json").read_text())["config"], "method": "mine"})
    if what == "preprocessing":
        changed(folder, preprocessing={"streams": ["signal"]})
    if what == "order":
        said = json.loads((folder / "run.json").read_text())["preprocessing"]
        changed(folder, preprocessing={**said, "channel_order": [0, 1, 1, 3]})
    weights = folder / "weights.safetensors"
    if what == "missing":
        weights.unlink()
    if what == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    if what == "foreign":
        save_file(load_file(weights), weights, {"epoch": "2", "run": "another"})
    if what == "shapes":
        state = load_file(weights)
        save_file({name: t for name, t in state.items() if "bias" not in name}, weights)
    if what in ("integers", "infinite"):
        state = load_file(weights)
        name = sorted(state)[0]
        state[name] = state[name].long() if what == "integers" else state[name] / 0
        save_file(state, weights, {"run": folder.name})
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("gone", "nowhere: no such folder; give the folder of a run"),
        ("other", r"not a run \(no run\.json\)"),
        ("unfinished", "the run is running, not finished"),
        ("method", "unknown method 'mine'"),
        ("preprocessing", r"run\.json: not a run record: preprocessing: no 'mean'"),
        ("order", "mean, std and channel_order are not of the same channels"),
        ("missing", r"weights\.safetensors: missing, and with it what was trained"),
        ("truncated", r"weights\.safetensors: damaged; make the run again"),
        ("foreign", "holds what the run another trained, not made-up-signal"),
        ("integers", r"weights\.safetensors: alignment\.layers\.0\.bias holds int64, the model float32"),
        ("infinite", r"weights\.safetensors: 64 of 64 numbers of alignment\.layers\.0\.bias are not finite"),
        ("shapes", r"tensors do not fit the model: 2 missing \(alignment\.layers\.0\.bias"),
    ],
)
def test_damaged_runs_get_a_line_each(tmp_path, what, message):
    folder, _ = made_run(tmp_path / "runs")
    with pytest.raises(InputError, match=message):
        export_model(damage(folder, what), tmp_path / "out")
    assert not (tmp_path / "out").exists()
