"""`aims watch`: the state of runs from their files alone, and how it is shown."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import toys
from filelock import FileLock
from rich.console import Console

from aims.cli import main
from aims.cli._watch_display import Overview
from aims.core.config import RunConfig
from aims.core.curve import EpochLine
from aims.core.errors import AimsError
from aims.core.records import RunContent
from aims.engine import train
from aims.engine.run import run
from aims.engine.stopping import Stopped
from aims.engine.train import RunObserver
from aims.engine.watching import Watched, Watcher
from helpers import file_digests


class StopAfter(RunObserver):
    """Asks for a stop after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def advance(self, count=1, *, loss=None):
        if loss is not None:
            self.steps -= 1
            if self.steps == 0:
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, one that was stopped in the third of six epochs, and one whose loss was not finite."""
    folder = tmp_path_factory.mktemp("watched")
    dataset = toys.made_up_set(folder / "made-up")
    job = toys.job(dataset, folder / "runs", epochs=2)
    run(job)
    with pytest.raises(Stopped):
        run(
            toys.job(dataset, folder / "runs", epochs=6, seed=1, score_every=1),
            observer=StopAfter(5),
        )
    losses = dict(train.LOSSES.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "LOSSES", {name: lambda *_: _infinite(*_) for name in losses})
        with pytest.raises(AimsError, match="the loss is"):
            run(toys.job(dataset, folder / "runs", epochs=2, seed=2))
    return folder / "runs"


def _infinite(mask_logits, masks, iou):
    return mask_logits.sum() * float("inf")


def by_seed(runs):
    return {run.config.seed: run for run in Watcher(runs).look() if run.config}


def test_states(runs):
    before = file_digests(runs)
    found = by_seed(runs)
    assert {seed: run.state for seed, run in found.items()} == {0: "finished", 1: "stopped", 2: "failed"}
    assert found[0].score[0] == "test"
    assert found[0].epochs == 2
    # Two steps an epoch: five steps are two epochs and a half.
    assert found[1].epochs == 2.5
    assert found[1].score == ("val", max(line.val_miou for line in found[1].lines[1:]))
    assert found[1].peak_bytes > 0
    assert found[1].seconds > 0
    assert found[1].seconds_left is None
    assert found[2].reason.startswith("the loss is")
    assert file_digests(runs) == before


def test_a_lock_means_running(runs):
    stopped = by_seed(runs)[1]
    watcher = Watcher(runs)
    assert "running" not in {run.state for run in watcher.look()}
    with FileLock(runs / f".{stopped.path.name}.lock"):
        first = watcher.look()[0]
        assert (first.path, first.state) == (stopped.path, "running")
        assert first.seconds_left == pytest.approx(first.seconds / 2.5 * 3.5)
        (runs / "begun").mkdir()
        with FileLock(runs / ".begun.lock"):
            assert {run.path.name: run.state for run in watcher.look()}["begun"] == "starting"
    # A folder without a record and a process is no run.
    assert "begun" not in {run.path.name for run in watcher.look()}
    (runs / "begun").rmdir()


def test_a_damaged_record(runs, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    (only,) = Watcher(tmp_path).look()
    assert only.state == "unreadable"
    assert "run.json" in only.reason


@pytest.mark.parametrize("width", [40, 60, 99, 100, 120, 200])
def test_it_fits(runs, width):
    console = Console(width=width, file=io.StringIO())
    console.print(Overview(Watcher(runs).look()))
    text = console.file.getvalue()
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0] == "1 stopped, 1 failed, 1 finished, signal of made-up"[:width]
    assert all(word in text for word in ("2/6", "2/2", "simcmf full"))


CONFIG = RunConfig(
    method="simcmf",
    tuning="lora",
    modality="thermal",
    dataset="shapes",
    fingerprint="f" * 64,
    backbone="sam-vit-b",
    weights="random",
    epochs=12,
    lr=1e-3,
    batch_size=4,
    seed=0,
    protocol="strict-2",
    precision="float32",
    loss="dice-ce",
)


def shown(runs, width):
    console = Console(width=width, file=io.StringIO())
    console.print(Overview(runs))
    return console.file.getvalue()


def watched(number, **changes):
    run = Watched(path=Path(f"runs/{number}"), state="running", epochs=2.0, seconds=90.0, peak_bytes=10**10)
    config = dataclasses.replace(CONFIG, **changes)
    lines = tuple(EpochLine(epoch=k, loss=1 / k, lr=1e-3, val_miou=0.5) for k in range(1, 13))
    content = RunContent(version=1, status="running", config=config)
    return dataclasses.replace(run, content=content, lines=lines)


@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize("width", [60, 120])
def test_runs_are_told_apart_and_nothing_is_cut(count, width):
    """What their names need to differ is shown, and what they share is said once."""
    kinds = ["click", "clicks", "box", "mixed"]
    runs = [watched(k, prompts=kinds[k % 4], seed=k // 4) for k in range(count)]
    text = shown(runs, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    assert text.count("thermal of shapes") == 1
    if count > 1:
        for k in range(count):
            assert text.count(f"simcmf lora (prompts {kinds[k % 4]}), seed {k // 4}") == 1
        assert lines[0] == f"{count} running, thermal of shapes"
    # In two lines or in a column, how long each still takes.
    assert text.count("8 min") == count


def test_protocols_backbones_and_unset_settings_tell_apart():
    runs = [watched(0), watched(1, protocol="strict"), watched(2, backbone="sam-vit-l", train_images=8)]
    text = shown(runs, 60)
    for part in (
        "None",
        "(all images, strict-2, sam-vit-b)",
        "(all images, strict, sam-vit-b)",
        "(8 images, strict-2, sam-vit-l)",
    ):
        assert (part in text) is (part != "None")


def test_few_lines(runs):
    """With little height the first runs are shown, and how many are not."""
    console = Console(width=60, file=io.StringIO())
    console.print(Overview(Watcher(runs).look(), height=9))
    assert "and 2 more" in console.file.getvalue()


def test_the_command(runs, capsys):
    with pytest.raises(SystemExit) as end:
        main(["watch", str(runs), "--json"])
    assert not end.value.code
    lines = json.loads(capsys.readouterr().out)["runs"]
    assert [line["state"] for line in lines] == ["stopped", "failed", "finished"]
    assert lines[0]["epoch"] == 2.5
    assert lines[2]["samples"].endswith("samples.png")
    with pytest.raises(SystemExit):
        main(["watch", str(runs), "--once"])
    assert "1 stopped, 1 failed, 1 finished" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["watch", str(runs / "none")])
    assert end.value.code == 2
    assert "no such folder" in capsys.readouterr().err


def test_it_needs_no_torch(runs):
    code = "import sys; from aims.engine.watching import Watcher; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
