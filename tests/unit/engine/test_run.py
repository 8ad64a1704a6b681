"""Whole runs on a toy backbone: records, resuming, stopping, failing."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import toys
from msgspec import structs
from safetensors import safe_open
from safetensors.torch import load_file

from aims.core.errors import AimsError, InputError, explain
from aims.core.records import INSTANCE_SCHEMA, RunRecord
from aims.engine import train
from aims.engine.checkpoint import TrainingState
from aims.engine.machine import PeakMemory
from aims.engine.run import run
from aims.engine.stopping import Stopped
from aims.engine.train import RunObserver, Trainer
from aims.methods.simcmf import SimCMF
from aims.models.trainable import declared_parameters


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


@pytest.fixture(scope="module")
def unbroken(dataset, tmp_path_factory):
    job = toys.job(dataset, tmp_path_factory.mktemp("unbroken"), epochs=6)
    return run(job)[0]


def same_result(one: RunRecord, other: RunRecord) -> None:
    """Scores, weights, masks and curves of two runs are equal to the bit."""
    assert one.scores == other.scores
    left, right = (load_file(record.path / "weights.safetensors") for record in (one, other))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert (one.path / "metrics.jsonl").read_text() == (other.path / "metrics.jsonl").read_text()
    tables = [pq.read_table(record.path / "instances.parquet") for record in (one, other)]
    assert tables[0].equals(tables[1])


def test_the_record_holds_everything(unbroken):
    content = unbroken.content
    assert content.status == "finished"
    assert unbroken.config.weights == "random"
    assert content.selected_on == "val"
    assert content.parameters.trainable.alignment == 9 * 2 * 64 + 64 + 64 * 3 + 3
    assert content.flops.forward > content.flops.alignment > 1e6
    assert content.code.aims
    assert content.hardware.device == "cpu"
    assert 0 < content.peak_memory_bytes < 64e9
    table = pq.read_table(unbroken.path / "instances.parquet")
    assert table.schema.equals(INSTANCE_SCHEMA)
    iou = table["iou"].to_numpy()
    assert unbroken.scores.miou == pytest.approx(iou.mean(), abs=1e-12)
    assert unbroken.scores.instances == len(table)
    lines = [json.loads(line) for line in (unbroken.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3, 4, 5, 6]
    # Scored at the start, every five epochs and at the last; chosen by validation, but for the start.
    assert [line["epoch"] for line in lines if "val_miou" in line] == [0, 5, 6]
    assert set(lines[0]) == {"epoch", "val_miou", "val_dice", "val_loss"}
    scored = [line for line in lines[1:] if "val_miou" in line]
    assert all(line["val_miou"] < line["val_dice"] < 1 and 0 < line["val_loss"] < 5 for line in scored)
    best = max(scored, key=lambda line: line["val_miou"])
    assert unbroken.scores.epoch == best["epoch"]
    assert unbroken.scores.val_miou == best["val_miou"]
    assert sorted(path.name for path in unbroken.path.iterdir()) == [
        "instances.parquet",
        "metrics.jsonl",
        "run.json",
        "samples.png",
        "weights.safetensors",
    ]


def test_a_finished_run_answers_and_is_not_made_again(dataset, unbroken, monkeypatch):
    job = toys.job(dataset, unbroken.path.parent, epochs=6)
    monkeypatch.setattr("aims.engine.run._make", lambda *_: pytest.fail("ran again"))
    record, was_finished = run(job)
    assert was_finished
    assert record.scores == unbroken.scores


def test_scores_are_taken_as_often_as_asked(dataset, tmp_path):
    record, _ = run(toys.job(dataset, tmp_path, epochs=5, score_every=2))
    lines = [json.loads(line) for line in (record.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "val_miou" in line] == [0, 2, 4, 5]


def test_the_rate_is_halved_every_ten_epochs(dataset, tmp_path):
    lines = []

    class Lines(RunObserver):
        def epoch(self, line):
            lines.append(line.lr)

    run(toys.job(dataset, tmp_path, epochs=21, limit=3, protocol="paper"), observer=Lines())
    assert lines == 10 * [1e-3] + 10 * [5e-4] + [2.5e-4]


def test_a_method_may_set_weights_by_the_training_images(dataset, tmp_path, monkeypatch):
    seen = []

    def fit(self, model, images, rgb):
        seen.extend(images)
        torch.nn.init.constant_(model.alignment.layers[0].weight, 0.5)

    monkeypatch.setattr(SimCMF, "fit", fit)
    # So small a rate changes no weight of this size.
    record, _ = run(toys.job(dataset, tmp_path, epochs=1, lr=1e-12))
    assert len(seen) == record.content.images["train"]
    images = torch.stack(seen)
    assert images.shape[1:] == (2, 64, 64)
    # Normalised by the training part, which is these images before they were resized.
    assert images.mean((0, 2, 3)).abs().max() < 0.1
    assert (images.std((0, 2, 3)) - 1).abs().max() < 0.2
    weights = load_file(record.path / "weights.safetensors")
    assert (weights["alignment.layers.0.weight"] == 0.5).all()


class StopAt(RunObserver):
    """Asks the process to stop at a unit of work."""

    def __init__(self, unit):
        self.left = unit

    def advance(self, count=1, *, loss=None):
        self.left -= count
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "paper"},
        {"protocol": "strict"},
        {"tuning": "prompt", "options": {"tokens": 4}},  # its dropout draws random numbers
        {"method": "cmx", "modality": "rgb-signal"},  # its norms keep statistics beside the parameters
        {"prompts": "mixed", "clicks": 2},  # each step draws boxes or clicks, and further clicks
    ],
    ids=["paper", "strict", "prompt", "cmx", "mixed"],
)
def test_stopped_at_any_unit_it_ends_with_the_same_numbers(dataset, tmp_path, changes):
    whole = run(toys.job(dataset, tmp_path / "whole", epochs=5, **changes))[0]
    job = toys.job(dataset, tmp_path / "stopped", epochs=5, **changes)
    stops: list[BaseException] = []
    # Units: surveying, steps and scored images alike; each attempt gets a little further.
    for unit in (9, 10, 12, 3, 14, 11, 9, 13, 10, 12, 8, 30):
        try:
            run(job, observer=StopAt(unit))
            break
        except (Stopped, KeyboardInterrupt) as error:
            stops.append(error)  # while surveying or testing, Ctrl-C interrupts: nothing needs to be saved
    saved = [error for error in stops if isinstance(error, Stopped)]
    assert len(saved) >= 2
    assert all(error.exit_code == 130 and "goes on from here" in str(error) for error in saved)
    same_result(whole, run(job)[0])


def epochs_of_curve(record):
    return [json.loads(line)["epoch"] for line in (record.path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "changes",
    [
        {"tuning": "prompt", "options": {"tokens": 4}},  # its dropout draws random numbers
        {"method": "cmx", "modality": "rgb-signal"},  # its norms keep statistics beside the parameters
    ],
    ids=["prompt", "cmx"],
)
def test_scoring_the_start_changes_no_bit_of_the_training(dataset, tmp_path, monkeypatch, changes):
    scored, _ = run(toys.job(dataset, tmp_path / "scored", **changes))
    monkeypatch.setattr(Trainer, "_score_start", lambda self, clock: None)
    unscored, _ = run(toys.job(dataset, tmp_path / "unscored", **changes))
    assert (epochs_of_curve(scored), epochs_of_curve(unscored)) == ([0, 1, 2, 3], [1, 2, 3])
    curve = scored.path / "metrics.jsonl"
    curve.write_text("".join(curve.read_text().splitlines(keepends=True)[1:]))
    same_result(scored, unscored)


def test_stopped_while_the_start_is_scored(dataset, unbroken, tmp_path):
    class StopAtStart(RunObserver):
        scoring = False

        def stage(self, name, total, done=0):
            self.scoring = name == "score val"

        def advance(self, count=1, *, loss=None):
            if self.scoring:
                os.kill(os.getpid(), signal.SIGINT)

    job = toys.job(dataset, tmp_path, epochs=6)
    with pytest.raises(Stopped):
        run(job, observer=StopAtStart())
    assert not (job.folder / "metrics.jsonl").exists()
    same_result(unbroken, run(job)[0])


def test_a_run_that_an_earlier_version_began_goes_on_without_the_start(dataset, tmp_path, monkeypatch):
    class StopAfterEpoch(RunObserver):
        def epoch(self, line):
            os.kill(os.getpid(), signal.SIGINT)

    job = toys.job(dataset, tmp_path)
    with monkeypatch.context() as earlier:
        earlier.setattr(Trainer, "_score_start", lambda self, clock: None)
        with pytest.raises(Stopped):
            run(job, observer=StopAfterEpoch())
    assert epochs_of_curve(run(job)[0]) == [1, 2, 3]


def test_the_start_is_not_selected_however_well_it_scores(dataset, tmp_path, monkeypatch):
    scored = Trainer._scored

    def best_at_start(self, line):
        line = scored(self, line)
        return line if line.epoch else structs.replace(line, val_miou=1.0)

    monkeypatch.setattr(Trainer, "_scored", best_at_start)
    record, _ = run(toys.job(dataset, tmp_path))
    assert record.scores.epoch > 0
    assert record.scores.val_miou < 1


@pytest.mark.thorough
def test_killed_at_random_moments_every_run_ends_with_the_same_numbers(dataset, unbroken, tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed of the moments: {seed}")  # shown where the test fails
    script = Path(toys.__file__).with_name("killed_runs.py")
    came = json.loads(
        subprocess.run(
            [sys.executable, script, dataset.folder, tmp_path, "12", str(seed)],
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )
    assert sum(came.values()) >= 12
    assert set(came) == {"clock", "half written", "before renaming", "just renamed"}
    runs = [RunRecord.load(path.parent) for path in sorted(tmp_path.glob("[0-9]*/*/run.json"))]
    assert runs
    for record in runs:
        same_result(unbroken, record)
        assert sorted(path.name for path in record.path.iterdir()) == sorted(
            path.name for path in unbroken.path.iterdir()
        )


def test_killed_between_the_last_checkpoint_and_its_curve(dataset, unbroken, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(path, text):
        if '"epoch": 6' in text:
            raise Killed

    job = toys.job(dataset, tmp_path, epochs=6)
    with monkeypatch.context() as patched:
        patched.setattr(train, "write_text", killed)
        with pytest.raises(Killed):
            run(job)
    same_result(unbroken, run(job)[0])


def test_training_leaves_the_global_random_numbers(dataset, tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run(toys.job(dataset, tmp_path, epochs=1, tuning="prompt", options={"tokens": 4}))
    assert torch.equal(torch.rand(3), expected)


def test_without_anything_to_train_the_model_is_tested_as_it_is(dataset, tmp_path):
    still = {"method": "zero-shot", "modality": "rgb-signal", "tuning": "none", "epochs": 0, "lr": 0.0}
    record, _ = run(toys.job(dataset, tmp_path, **still))
    assert record.scores.epoch == 0
    assert record.scores.instances > 0
    assert record.content.parameters.trainable.total == 0
    assert record.content.preprocessing.channel_order == (0, 1, 2, 3, 4)
    names = sorted(path.name for path in record.path.iterdir())
    assert names == ["instances.parquet", "run.json", "samples.png"]
    assert run(toys.job(dataset, tmp_path, **still))[1]


def test_nan_fails_the_run_and_says_what_to_do(dataset, tmp_path, monkeypatch):
    from aims.engine.losses import LOSSES

    monkeypatch.setitem(LOSSES._entries, "dice-ce", lambda logits, masks, iou: logits.mean() * float("nan"))
    job = toys.job(dataset, tmp_path)
    with pytest.raises(AimsError, match=r"the loss is nan at epoch 1, step 1: try a lower --lr"):
        run(job)
    assert json.loads((job.folder / "run.json").read_text())["status"] == "failed"
    with pytest.raises(InputError, match="failed, not finished"):
        RunRecord.load(job.folder)
    with safe_open(job.folder / "failed_batch.safetensors", framework="pt") as file:
        assert {"point_coords", "masks", "values.0", "valid.2"} <= set(file.keys())
        images = json.loads(file.metadata()["image_ids"])
    assert len(images) == 3
    # Nothing was lost: the state before the step is there, and its weights are finite.
    resume = load_file(job.folder / "resume.safetensors")
    assert all(tensor.isfinite().all() for tensor in resume.values())


@pytest.mark.parametrize(("lost_after", "epoch", "step"), [(2, 1, 2), (3, 2, 1)])
def test_lost_weights_are_not_saved(dataset, tmp_path, monkeypatch, lost_after, epoch, step):
    """The loss of the step that loses them is finite: an epoch's last step, and its first."""
    job, seen = toys.job(dataset, tmp_path), []
    make_step = Trainer._step

    def lose_weights(self, batch):
        seen.append(batch.image_ids)
        value = make_step(self, batch)
        if len(seen) == lost_after:
            next(iter(declared_parameters(self.model).values())).data.fill_(float("inf"))
        return value

    monkeypatch.setattr(Trainer, "_step", lose_weights)
    with pytest.raises(AimsError, match=f"the weights are no longer finite at epoch {epoch}, step {step}:"):
        run(job)
    with safe_open(job.folder / "failed_batch.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["image_ids"]) == list(seen[lost_after - 1])
    resume = job.folder / "resume.safetensors"
    assert all(tensor.isfinite().all() for tensor in load_file(resume).values())


def test_lack_of_memory_on_a_gpu_halves_what_is_computed_at_once(
    dataset, tmp_path, unbroken, monkeypatch, caplog
):
    from aims.models.segmenter import Segmenter

    embed = Segmenter.embed

    def embed_two(self, images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return embed(self, images)

    monkeypatch.setattr(Segmenter, "embed", embed_two)
    record, _ = run(toys.job(dataset, tmp_path, epochs=6))
    assert "out of memory; from now on 2 images at a time, a step takes 3 as before" in caplog.text
    assert record.content.micro_batch == 2
    assert unbroken.content.micro_batch == 3
    # The same steps, up to the order of sums.
    assert record.scores.miou == pytest.approx(unbroken.scores.miou, abs=2e-3)
    lines, expected = (
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (record.path, unbroken.path)
    )
    assert lines[1]["loss"] == pytest.approx(expected[1]["loss"], rel=1e-4)


def test_a_run_that_goes_on_keeps_to_the_smaller_parts(dataset, tmp_path, monkeypatch, caplog):
    """Batch normalisation sees the parts: what was halved stays, whatever memory there is later."""
    from aims.models.segmenter import Segmenter

    embed, seen = Segmenter.embed, []

    def embed_one(self, images):
        seen.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return embed(self, images)

    job = toys.job(dataset, tmp_path, epochs=5, method="cmx", modality="rgb-signal")
    with monkeypatch.context() as lacking:
        lacking.setattr(Segmenter, "embed", embed_one)
        with pytest.raises(Stopped):
            run(job, observer=StopAt(12))
    # The start is scored image by image.
    assert seen[seen.index(3) :][:3] == [3, 2, 1]
    caplog.clear()
    record, _ = run(job)
    assert caplog.text == ""
    assert record.content.micro_batch == 1


def test_each_run_has_its_own_peak_memory(dataset, tmp_path):
    """A large run that is stopped and goes on, then a small one in the same process."""

    class HoldAndStop(RunObserver):
        def advance(self, count=1, *, loss=None):
            if loss is not None:
                # 400 MB for a moment, at the first step.
                torch.ones(100_000_000).sum()
                os.kill(os.getpid(), signal.SIGINT)

    large = toys.job(dataset, tmp_path / "large", epochs=1)
    with pytest.raises(Stopped):
        run(large, observer=HoldAndStop())
    first = run(large)[0].content.peak_memory_bytes
    second = run(toys.job(dataset, tmp_path / "small", epochs=1))[0].content.peak_memory_bytes
    assert first - second > 300e6


def test_where_the_peak_cannot_be_set_back_only_a_first_run_has_one(monkeypatch):
    """As on macOS: what the system tells is the process's, and no number of a second run."""
    monkeypatch.setattr("aims.engine.machine._set_back_peak", lambda: False)
    monkeypatch.setattr(PeakMemory, "_begun", 0)
    first = PeakMemory(torch.device("cpu"))
    assert first.read() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert PeakMemory(torch.device("cpu")).read() is None
    # A run is known as little as any of its parts.
    state = TrainingState(peak_bytes=5)
    state.hold(None)
    state.hold(7)
    assert state.peak_bytes is None


def test_saving_every_step_changes_nothing(dataset, tmp_path, unbroken, monkeypatch):

    saved, save = [], Trainer._save

    def count(self):
        saved.append((self.state.epoch, self.state.step))
        save(self)

    monkeypatch.setattr(Trainer, "_save", count)
    record, _ = run(replace(toys.job(dataset, tmp_path, epochs=6), checkpoint_every=1))
    assert (0, 1) in saved
    assert record.scores == unbroken.scores


def test_the_stock_path_scores_the_same(dataset, tmp_path, unbroken):
    record, _ = run(replace(toys.job(dataset, tmp_path, epochs=6), path="stock"))
    assert record.content.path == "stock"
    assert unbroken.content.path == "fast"
    assert record.scores.miou == pytest.approx(unbroken.scores.miou, abs=2e-3)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_lack_of_memory_fails_the_run_and_says_what_to_do(dataset, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("aims.engine.train.Trainer._step", fail)
    job = toys.job(dataset, tmp_path)
    with pytest.raises(AimsError, match="out of memory on cpu with batches of 3: try a smaller"):
        run(job)
    assert json.loads((job.folder / "run.json").read_text())["status"] == "failed"


def test_two_processes_do_not_work_on_one_run(dataset, tmp_path):
    from filelock import FileLock

    job = toys.job(dataset, tmp_path)
    with (
        FileLock(tmp_path / f".{job.folder.name}.lock"),
        pytest.raises(InputError, match="another process"),
    ):
        run(job)


def test_a_refused_run_leaves_no_folder(dataset, tmp_path):
    job = toys.job(dataset, tmp_path, train_images=99)
    with pytest.raises(InputError, match="--train-images 99"):
        run(job)
    assert [path.name for path in tmp_path.iterdir()] == [f".{job.folder.name}.lock"]


def test_a_damaged_checkpoint_is_named(dataset, tmp_path):
    job = toys.job(dataset, tmp_path)
    job.folder.mkdir(parents=True)
    (job.folder / "resume.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(AimsError, match=r"resume\.safetensors: not readable"):
        run(job)
    assert run(job, fresh=True)[0].scores.instances > 0


def test_bf16_runs(dataset, tmp_path):
    assert run(toys.job(dataset, tmp_path, precision="bf16", epochs=1))[0].scores.instances > 0


@pytest.mark.thorough
def test_workers_do_not_change_the_numbers(dataset, tmp_path):
    one, two = (toys.job(dataset, tmp_path / name, epochs=1) for name in ("none", "one"))
    same_result(run(one)[0], run(replace(two, workers=1))[0])


def test_a_disk_that_is_full_costs_nothing_that_was_saved(dataset, unbroken, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class FullFrom(RunObserver):
        def epoch(self, line):
            if line.epoch == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    job = toys.job(dataset, tmp_path, epochs=6)
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            run(job, observer=FullFrom())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = explain(caught.value)
    assert said.startswith(f"{job.folder / 'resume.safetensors'}: File too large; make room: ")
    # The last good checkpoint is there, nothing half-written is, and the run is not a failed one.
    assert (job.folder / "resume.safetensors").stat().st_size > 100_000
    assert not list(job.folder.glob(".*"))
    assert json.loads((job.folder / "run.json").read_text())["status"] == "running"
    same_result(unbroken, run(job)[0])


def test_a_dataset_that_has_vanished_is_named(tmp_path):
    dataset = toys.made_up_set(tmp_path / "made-up")
    job = toys.job(dataset, tmp_path / "runs")
    shards = sorted(dataset.folder.rglob("*.parquet"))
    for shard in shards:
        shard.rename(shard.with_suffix(".away"))
    with pytest.raises(InputError, match=r"made-up: data/.*\.parquet: listed in the manifest but missing"):
        run(job)
    with pytest.raises(AimsError, match=r"made-up/.*\.parquet: no longer there; bring it back"):
        run(replace(job, trust=True))
    for shard in shards:
        shard.with_suffix(".away").rename(shard)
    assert run(job)[0].scores.instances > 0
