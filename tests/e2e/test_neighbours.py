"""Commands beside each other on the same folders, as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import toys
from test_sweep_command import DEFAULTS, HEAD

from helpers import file_digests

pytestmark = pytest.mark.thorough

SUITE = """
[[data]]
dataset = "made-up-ivrg-nir"
make = [
    "aims synth ivrg-nir --out {made}/nir --scenes 12 --size 96x128",
    "aims convert ivrg-nir --raw {made}/nir --out {data}/nir",
]
[[grid]]
method = "simcmf"
tuning = "full"
dataset = "made-up-ivrg-nir"
modality = "nir"
seed = [0, 1]
"""
RUN = ("--method", "simcmf", "--tuning", "full", "--modality", "signal", "--backbone", "sam-toy")
RUN += ("--weights", "none", "--batch-size", "3", "--epochs")


@pytest.fixture
def start(tmp_path):
    """Starts `aims` with some words in a folder; ends what still runs after the test."""
    toys.install(tmp_path / "site")
    begun: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}

    def start(*words: object, folder: Path = tmp_path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "aims", *map(str, words)]
        pipe = subprocess.PIPE
        begun.append(
            subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)
        )
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not what():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_two_sweeps_share_the_work_and_both_finish(start, tmp_path):
    (tmp_path / "try.toml").write_text(HEAD + DEFAULTS + SUITE, encoding="utf-8")
    command = ("sweep", "try.toml", "--make-data", "--data", "data", "--device", "cpu", "--runs")
    both = [start(*command, "runs") for _ in range(2)]
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert out.splitlines()[0] == "2 runs: 2 finished"
    out, err = start(*command, "alone").communicate()
    names = {path.name for path in (tmp_path / "alone").glob("*/")}
    assert len(names) == 2, err
    for name in names:
        ours, alone = (file_digests(tmp_path / runs / name) for runs in ("runs", "alone"))
        assert ours.keys() == alone.keys()
        assert ours["instances.parquet"] == alone["instances.parquet"]
        assert ours.get("weights.safetensors") == alone.get("weights.safetensors")


def test_a_run_whose_process_dies_is_taken_over(start, tmp_path):
    toys.made_up_set(tmp_path / "data" / "made-up")
    epochs = 40
    suite = HEAD + DEFAULTS.replace("epochs = 2", f"epochs = {epochs}")
    suite += '[[grid]]\nmethod = "simcmf"\ntuning = "full"\n'
    (tmp_path / "try.toml").write_text(suite, encoding="utf-8")
    folders = ("--data", "data", "--runs", "runs", "--device", "cpu")
    other = start("run", *RUN, epochs, *folders)
    wait_for(lambda: [*tmp_path.glob("runs/*/metrics.jsonl")], other)
    (metrics,) = tmp_path.glob("runs/*/metrics.jsonl")

    # Alone, a command refuses in one line.
    os.kill(other.pid, signal.SIGSTOP)
    alone = start("run", *RUN, epochs, *folders)
    _, err = alone.communicate()
    refusal = f"error: {metrics.relative_to(tmp_path).parent}: another process is working on this run"
    assert (alone.returncode, err.splitlines()[1:]) == (2, [refusal])

    # A sweep waits: until Ctrl-C, or until the other one dies.
    for end in ("ctrl-c", "death"):
        sweep = start("sweep", "try.toml", *folders)
        assert sweep.stderr.readline() == "Try: 1 run, 0 finished already\n"
        assert sweep.stderr.readline().endswith(": waiting for another process, which makes it\n")
        if end == "ctrl-c":
            sweep.send_signal(signal.SIGINT)
        else:
            before = metrics.read_text()
            other.kill()
        out, err = sweep.communicate()
        if end == "ctrl-c":
            assert sweep.returncode == 130
            assert err == "error: stopped; 1 run to go, nothing is lost: the same command goes on from here\n"
    assert (sweep.returncode, out.splitlines()[0]) == (0, "1 run: 1 finished"), err
    after = metrics.read_text()
    assert after.startswith(before)
    assert [json.loads(line)["epoch"] for line in after.splitlines()] == [*range(epochs + 1)]


def test_ten_random_pairs_leave_what_they_leave_one_after_the_other(tmp_path):
    script = Path(__file__).parents[1] / "pairs.py"
    command = [sys.executable, script, "--pairs", "10", "--seed", "0", "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 10
