"""`--track`: what a tracker is told, and that the run is the same with and without it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
import toys
from accelerate import tracking as accelerated
from safetensors.torch import load_file

from aims.core.errors import AimsError, InputError
from aims.core.records import RECORD, TRACKING, WEIGHTS
from aims.core.vocabulary import TRACKERS
from aims.engine.rates import RATES, run_rates
from aims.engine.run import run
from aims.engine.stopping import Stopped
from aims.engine.trackers import require_tracker
from aims.engine.train import RunObserver
from helpers import file_digests


class Notes(accelerated.GeneralTracker):
    """A tracker in memory, in accelerate's own interface: what TensorBoard would be told, by file name."""

    name = "tensorboard"
    requires_logging_directory = True
    all: ClassVar[list[Notes]] = []
    fails_at: int | None = None

    def __init__(self, run_name, logging_dir, **kwargs):
        super().__init__()
        self.folder, self.kwargs, self.lines, self.pictures, self.config = logging_dir, kwargs, [], {}, None
        self.finished = 0
        Notes.all.append(self)

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step=None, **kwargs):
        if Notes.fails_at == step:
            raise ConnectionError("the server\nis gone")
        self.lines.append((step, values))

    def log_images(self, values, step=None, **kwargs):
        self.pictures |= {name: picture.shape for name, picture in values.items()}

    def finish(self):
        self.finished += 1


@pytest.fixture
def notes(monkeypatch):
    monkeypatch.setitem(accelerated.LOGGER_TYPE_TO_CLASS, "tensorboard", Notes)
    monkeypatch.setattr(Notes, "all", [])
    monkeypatch.setattr(Notes, "fails_at", None)
    return Notes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up")


@pytest.fixture(scope="module")
def untracked(dataset, tmp_path_factory):
    return run(toys.job(dataset, tmp_path_factory.mktemp("untracked"), score_every=1))[0]


def tracked(dataset, runs):
    return replace(toys.job(dataset, runs, score_every=1), track="tensorboard")


def same(one, other):
    """All files are equal but for times, memory and the list of trackers."""
    left, right = file_digests(one), file_digests(other)
    left.pop(TRACKING)
    assert left.keys() == right.keys()
    assert {name for name in left if left[name] != right[name]} <= {RECORD, WEIGHTS}
    # The order of the metadata of safetensors is drawn anew in every process and file.
    weights = [load_file(folder / WEIGHTS) for folder in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    records = [json.loads((folder / RECORD).read_text()) for folder in (one, other)]
    changing = ("started", "finished", "seconds", "peak_memory_bytes")
    records = [{name: value for name, value in record.items() if name not in changing} for record in records]
    assert records[0] == records[1]


def test_it_is_told_everything_and_the_run_is_the_same(notes, dataset, untracked, tmp_path):
    record, _ = run(tracked(dataset, tmp_path))
    assert record.path.name == untracked.path.name
    same(record.path, untracked.path)
    (told,) = notes.all
    assert told.finished == 1
    assert told.config["method"] == "simcmf"
    assert told.config["lr"] == 1e-3
    steps = [step for step, values in told.lines if "train/loss" in values]
    assert steps == [*range(1, len(steps) + 1)]
    epochs = [(step, values) for step, values in told.lines if "train/epoch" in values]
    assert [values["train/epoch"] for _, values in epochs] == [0, 1, 2, 3]
    assert [step for step, _ in epochs] == [0, 2, 4, 6]
    lines = [json.loads(line) for line in (record.path / "metrics.jsonl").read_text().splitlines()]
    for (_, values), line in zip(epochs, lines, strict=True):
        assert values.get("train/epoch_loss") == line.get("loss")
        assert values.get("train/lr") == line.get("lr")
        assert values["val/miou"] == line["val_miou"]
    # The mean of an epoch's steps is its loss.
    losses = [values["train/loss"] for _, values in told.lines if "train/loss" in values]
    first = len(steps) // 3
    assert sum(losses[:first]) / first == pytest.approx(lines[1]["loss"])
    step, final = told.lines[-1]
    assert step == steps[-1]
    assert final["final/miou"] == record.scores.miou
    assert told.pictures["samples"][0] == 1
    # A finished run answers from its record, and nobody is told again.
    run(tracked(dataset, tmp_path))
    assert len(notes.all) == 1


def test_a_resumed_run_goes_on(notes, dataset, untracked, tmp_path):
    class StopAt(RunObserver):
        steps = 0

        def advance(self, count=1, *, loss=None):
            self.steps += loss is not None
            if self.steps == 3 and loss is not None:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        run(tracked(dataset, tmp_path), observer=StopAt())
    known = next(tmp_path.rglob(TRACKING)).read_text()
    record, _ = run(tracked(dataset, tmp_path))
    same(record.path, untracked.path)
    assert (record.path / TRACKING).read_text() == known
    before, after = notes.all
    assert before.finished == after.finished == 1
    # The settings are those of one run; steps after the last that was saved are told again.
    assert after.config is None
    assert after.kwargs == {"purge_step": 4}
    assert next(step for step, values in after.lines if "train/loss" in values) == 4


def test_a_tracker_that_fails_leaves_the_run_alone(notes, dataset, untracked, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Notes, "fails_at", 2)
    record, _ = run(tracked(dataset, tmp_path))
    same(record.path, untracked.path)
    warnings = [line.getMessage() for line in caplog.records if "--track" in line.getMessage()]
    assert warnings == [
        "--track tensorboard has failed (ConnectionError: the server is gone); the run goes on"
    ]


def test_a_tracker_that_does_not_start(notes, dataset, tmp_path, monkeypatch):
    def start(self):
        raise PermissionError("no key")

    monkeypatch.setattr(Notes, "start", start)
    with pytest.raises(AimsError, match=r"--track tensorboard cannot be started \(PermissionError: no key\)"):
        run(tracked(dataset, tmp_path))


def test_a_floor_is_told_of_at_the_end(notes, dataset, tmp_path):
    job = toys.job(
        dataset, tmp_path, method="disc", tuning="none", backbone="none", weights="none", epochs=0, lr=0.0
    )
    record, _ = run(replace(job, track="tensorboard"))
    (told,) = notes.all
    ((step, final),) = told.lines
    assert step == 0
    assert final["final/miou"] == record.scores.miou


@pytest.mark.thorough
def test_every_rate_of_a_sweep_is_a_run_of_its_own(notes, dataset, tmp_path):
    run_rates(
        replace(tracked(dataset, tmp_path), config=replace(tracked(dataset, tmp_path).config, epochs=1))
    )
    assert sorted({told.config["lr"] for told in notes.all}) == sorted(RATES)


def test_unknown_and_missing(monkeypatch):
    with pytest.raises(InputError, match=r"unknown tracker 'tensorbord'; did you mean 'tensorboard'\?.*mlf"):
        require_tracker("tensorbord")
    monkeypatch.setattr(accelerated, "_available_trackers", [])
    for name in TRACKERS:
        with pytest.raises(InputError, match=rf"--track {name} needs .*pip install 'aims-bench\[tracking\]'"):
            require_tracker(name)


@pytest.mark.parametrize("name", TRACKERS)
def test_accelerate_has_them(name):
    assert name in accelerated.LOGGER_TYPE_TO_CLASS
