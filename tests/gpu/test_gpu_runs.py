"""Whole runs: every method, killed and resumed; lack of memory; two processes on one card."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import subprocess
import sys

import pytest
import torch
import toys

from aims.converters.folder import FolderConverter
from aims.data.write import convert
from aims.engine.run import run
from aims.engine.train import RunObserver
from aims.methods import METHODS, default_tuning, has_model
from aims.synth.shapes import write_shapes

pytestmark = pytest.mark.gpu

LEARNING = [name for name in METHODS if has_model(name) and default_tuning(name, pretrained=True) != "none"]


class Killed(BaseException):
    """Nothing catches it, so nothing is saved: what is on the disk is what a kill leaves."""


class KillAt(RunObserver):
    def __init__(self, step):
        self.left = step

    def advance(self, count=1, *, loss=None):
        self.left -= loss is not None
        if loss is not None and self.left == 0:
            raise Killed


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


def job(dataset, runs, device, **changes):
    made = toys.job(dataset, runs, **{"epochs": 2, **changes})
    return dataclasses.replace(made, device=device, checkpoint_every=1)


def curve(record):
    return [json.loads(line) for line in (record.path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", LEARNING)
def test_two_epochs_of_every_method_killed_and_resumed(device, dataset, tmp_path, method):
    changes = {"method": method, "tuning": default_tuning(method, pretrained=True)}
    changes |= {"modality": "rgb-signal", "limit": 5}
    whole = run(job(dataset, tmp_path / "whole", device, **changes))[0]
    broken = job(dataset, tmp_path / "killed", device, **changes)
    for step in (1, 2):
        with pytest.raises(Killed):
            run(broken, observer=KillAt(step))
    resumed, was_finished = run(broken)
    assert not was_finished
    assert resumed.content.hardware.device == device.type
    for one, other in zip(curve(whole), curve(resumed), strict=True):
        # Sums of gradients come in any order on a card.
        assert other.get("loss") == pytest.approx(one.get("loss"), rel=1e-3)
    assert resumed.scores.instances == whole.scores.instances
    assert resumed.scores.miou == pytest.approx(whole.scores.miou, abs=0.02)


@pytest.mark.parametrize("first", ["here", "cpu"])
def test_a_run_goes_on_on_another_device(device, dataset, tmp_path, first):
    places = [device, torch.device("cpu")]
    places = places if first == "here" else places[::-1]
    with pytest.raises(Killed):
        run(job(dataset, tmp_path, places[0]), observer=KillAt(2))
    resumed = run(job(dataset, tmp_path, places[1]))[0]
    whole = run(job(dataset, tmp_path / "whole", torch.device("cpu")))[0]
    for one, other in zip(curve(whole), curve(resumed), strict=True):
        assert other.get("loss") == pytest.approx(one.get("loss"), rel=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_curve_is_the_cpus(device, dataset, tmp_path, precision):
    """Five epochs of training: small differences grow, and must stay small."""
    changes = {"precision": precision, "epochs": 5, "tuning": "lora"}
    here = run(job(dataset, tmp_path / "here", device, **changes))[0]
    there = run(job(dataset, tmp_path / "cpu", torch.device("cpu"), **changes, clicks=1))[0]
    tolerance = 1e-3 if precision == "float32" else 3e-2
    for one, other in zip(curve(there), curve(here), strict=True):
        assert other.get("loss") == pytest.approx(one.get("loss"), rel=tolerance)


@pytest.mark.cuda_only
def test_lack_of_memory_halves_what_is_computed_at_once(device, dataset, tmp_path, caplog):
    def made(name):
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return run(job(dataset, tmp_path / name, device, batch_size=8, tuning="lora", backbone="sam-tiny"))[0]

    # The limit is one of a card by its number.
    device = torch.device(device.type, torch.cuda.current_device())
    before = torch.cuda.memory_reserved(device)
    whole = made("whole")
    peak = torch.cuda.max_memory_reserved(device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((before + 0.6 * (peak - before)) / total, device)
    try:
        less = made("less")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    assert "out of memory; from now on" in caplog.text
    for one, other in zip(curve(whole), curve(less), strict=True):
        assert other.get("loss") == pytest.approx(one.get("loss"), rel=1e-3)
    assert less.scores.instances == whole.scores.instances


def test_two_processes_on_one_card(device, tmp_path):
    toml = write_shapes(tmp_path / "raw", scenes=18, size=(48, 64), seed=0, rgb=False)
    convert(FolderConverter(config=toml), tmp_path / "set")
    options = ["--method", "simcmf", "--modality", "thermal", "--backbone", "sam-tiny", "--weights", "none"]
    options += ["--epochs", "2", "--batch-size", "3", "--workers", "0", "--device", device.type]
    losses = []
    for name, launcher in (
        ("one", ()),
        ("two", ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")),
    ):
        command = [sys.executable, "-m", *launcher, "aims", "run", *options]
        command += ["--data", str(tmp_path / "set"), "--runs", str(tmp_path / name)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / name).glob("shapes-*")
        record = json.loads((path / "run.json").read_text())
        assert record["processes"] == (1 if name == "one" else 2)
        assert record["hardware"]["device"] == device.type
        lines = (path / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines[1:]])
    # Gradients are summed in another order, and small differences grow.
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
