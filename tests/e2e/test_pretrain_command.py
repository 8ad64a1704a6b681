"""`aims pretrain` as a user has it: start, stop, go on, finish, use the weights, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import toys  # noqa: F401  (registers sam-toy)

from aims.models import weights as weights_module
from aims.synth.shapes import write_shapes

SMALL = ("--backbone", "sam-toy", "--held-out", "2", "--batch-size", "2", "--clicks", "3", "--workers", "0")


def test_from_nothing_to_weights_that_run(aims, tmp_path):
    out = tmp_path / "pretrained"
    code, printed, err = aims("pretrain", "--out", out, "--images", "4", "--score-every", "2", *SMALL)
    assert code == 0, err
    assert "sam-toy, 4 images, batches of 2 x 3 clicks" in err
    assert "          2 images" in err
    assert str(out / "weights.safetensors") in printed
    for row in ("wilds", "rooms", "large", "best disc"):
        assert row in printed
    code, printed, _ = aims("pretrain", "--out", out, "--images", "4", "--score-every", "2", *SMALL, "--json")
    assert code == 0
    card = json.loads(printed)
    assert card == json.loads((out / "card.json").read_text())
    toml = write_shapes(tmp_path / "raw", scenes=9, size=(48, 64), seed=0)
    assert aims("convert", "folder", toml, "--out", tmp_path / "data" / "shapes")[0] == 0
    options = ("--modality", "thermal", "--data", tmp_path / "data", "--runs", tmp_path / "runs", "--json")
    chosen = ("--backbone", "sam-toy", "--method", "zero-shot", "--weights", out / "weights.safetensors")
    code, printed, err = aims("run", *options, *chosen)
    assert code == 0, err
    assert json.loads(printed)["config"]["weights"] == card["weights"]["sha256"]


def test_weights_that_come_with_aims_are_found(aims, tmp_path, monkeypatch):
    """None come with AIMS for the toy; this stands for `pretrained/sam-tiny@1` among the package's files."""
    out = tmp_path / "pretrained"
    code, _, err = aims("pretrain", "--out", out, "--images", "2", *SMALL)
    assert code == 0, err
    monkeypatch.setattr(weights_module, "PACKAGED", tmp_path)
    toml = write_shapes(tmp_path / "raw", scenes=9, size=(48, 64), seed=0)
    assert aims("convert", "folder", toml, "--out", tmp_path / "data" / "shapes")[0] == 0
    options = ("--modality", "thermal", "--data", tmp_path / "data", "--runs", tmp_path / "runs", "--json")
    chosen = ("--backbone", "sam-toy", "--method", "zero-shot")
    code, _, err = aims("run", *options, *chosen)
    assert code == 2
    assert "no pretrained weights of sam-toy come with AIMS" in err
    out.rename(tmp_path / "sam-toy@1")
    code, printed, err = aims("run", *options, *chosen)
    assert code == 0, err
    assert json.loads(printed)["config"]["weights"] == weights_module.sha256_file(
        tmp_path / "sam-toy@1" / "weights.safetensors"
    )


@contextmanager
def running(out, *options, until):
    """`aims pretrain` as a process of its own, with one that makes scenes ahead, once it has come so far."""
    start = (
        "import sys; sys.path.insert(0, 'tests'); import toys; from aims.cli import main; main(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, "pretrain", "--out", str(out), *SMALL[:-1], "1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    try:
        latest = time.monotonic() + 120
        while not until(process):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < latest
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def saved(out):
    return (out / "checkpoint.safetensors.index.json").is_file()


@pytest.mark.thorough
def test_interrupts_save_and_the_same_command_goes_on(aims, tmp_path):
    """Ctrl-C reaches all processes. The first score is followed by a save."""
    out = tmp_path / "pretrained"
    length = ("--images", "100000", "--score-every", "2")
    with running(out, *length, until=lambda process: saved(out)) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on from here" in err
    assert "Traceback" not in err
    code, printed, err = aims("pretrain", "--out", out, *SMALL, *length, "--finish", "--json")
    assert code == 0, err
    assert 0 < json.loads(printed)["images_seen"] < 100_000


@pytest.mark.thorough
def test_a_worker_that_is_killed_is_named_in_one_line(tmp_path):
    out = tmp_path / "pretrained"
    length = ("--images", "100000", "--score-every", "2")
    with running(out, *length, until=lambda process: saved(out) and workers(process)) as process:
        for worker in workers(process):
            os.kill(worker, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert err.splitlines()[-1].startswith("error: a process that reads ahead died")
    assert "Traceback" not in err
    assert saved(out)


def workers(process):
    """Numbers of the processes that make scenes ahead (another one of Python's counts what they share)."""
    children = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(maxsplit=1) for line in children.stdout.splitlines()]
    return [int(pid) for pid, command in lines if "spawn_main" in command]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "say how long: with --images or with --hours"),
        (("--images", "4", "--hours", "1"), "say how long"),
        (("--images", "0"), "--images must be at least 1, not 0"),
        (("--images", "4", "--backbone", "sam-tinny"), "did you mean 'sam-tiny'?"),
        (("--images", "4", "--photos", "nowhere"), "nowhere: no photographs in images/train/*.jpg"),
        (("--images", "4", "--bsds", "nowhere"), "nowhere: no photographs in images/train/*.jpg"),
        (("--images", "4", "--share-of-photos", "0.5"), "--share-of-photos needs --photos"),
        (("--images", "4", "--device", "gpu"), "use auto, cpu, cuda or cuda:N"),
        (("--images", "4", "--seconds", "0"), "--seconds must be a positive number"),
        (("--images", "4", "--finish"), "no pretraining to finish here"),
        (("--images", "4", "--seed", "2026"), "that of the held-out scenes"),
    ],
)
def test_mistakes_get_one_line_and_make_nothing(aims, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, printed, err = aims("pretrain", "--out", "out", *options)
    assert (code, printed) == (2, "")
    assert message in err
    assert err.splitlines()[-1].startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_another_folder_is_left_alone(aims, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    code, _, err = aims("pretrain", "--out", tmp_path, "--images", "4", *SMALL)
    assert code == 2
    assert "holds something else" in err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
