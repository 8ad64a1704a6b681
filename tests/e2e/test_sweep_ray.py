"""A sweep on a Ray cluster of two nodes, which are processes on this machine; one of them is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import toys
from safetensors.torch import load_file
from test_sweep_command import DEFAULTS, HEAD

from aims.core.records import INSTANCES, METRICS, RESUME, WEIGHTS
from aims.engine.run import run

pytestmark = pytest.mark.slow

EPOCHS = 25
SUITE = f"""
[[grid]]
method = "simcmf"
tuning = "lora"
seed = [0, 1]
epochs = {EPOCHS}
"""

# In a process of its own: Ray leaves threads, handlers and warnings behind.
PROGRAM = """
import json, signal, sys
from contextlib import nullcontext
from ray.cluster_utils import Cluster
from aims.cli import main, sweep
from aims.suites.tasks import SweepObserver

# A lost node is noticed after seconds, not after half a minute; a busy one is not taken for lost.
quick = dict(initial_delay_ms=0, period_ms=500, failure_threshold=16)
quick = {f"health_check_{name}": value for name, value in quick.items()}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": quick})
node = cluster.add_node(num_cpus=1)

class Told(SweepObserver):
    def __init__(self, what):
        self.what, self.begun, self.log = what, set(), []

    def started(self, task):
        self.log.append(("started", task.name))

    def progress(self, task, progress):
        if progress.epoch in (2, 20):
            self.begun.add(task.name)
        if self.what == "stop" and self.begun:
            self.what = ""
            signal.raise_signal(signal.SIGINT)
        # Both nodes are at work, or one of them has fallen far behind.
        if self.what == "kill" and (len(self.begun) == 2 or progress.epoch == 20):
            self.what = ""
            cluster.remove_node(node, allow_graceful=False)

    def retrying(self, task, reason):
        self.log.append(("retrying", task.name, reason))

def call(what, *more):
    told = Told(what)
    sweep.sweep_display = lambda runs: nullcontext(told)
    try:
        main(["sweep", *sys.argv[1:], "--engine", "ray", "--address", cluster.address, *more])
    except SystemExit as end:
        print("TOLD", json.dumps([what, end.code or 0, told.log]), flush=True)

call("stop", "--only", "seed=1")
call("kill")
cluster.shutdown()
"""


def test_a_node_is_lost_and_all_runs_are_made(tmp_path):
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    site, data = tmp_path / "site", tmp_path / "data"
    toys.install(site)
    dataset = toys.made_up_set(data / "made-up")
    (tmp_path / "try.toml").write_text(HEAD + DEFAULTS.replace("epochs = 2\n", "") + SUITE)
    (tmp_path / "program.py").write_text(PROGRAM)

    # Relative paths, which every node resolves from the folder of the call.
    done = subprocess.run(
        [sys.executable, "program.py", "try.toml", "--data", "data", "--runs", "runs", "--device", "cpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(site), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    # Beside them stands what Ray's own nodes print.
    told = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("TOLD ")]
    (_, code, log), (_, after, later) = told
    assert (code, [entry[0] for entry in log]) == (130, ["started"])
    assert "error: stopped; 1 run to go, nothing is lost" in done.stderr
    lost = [entry for entry in later if entry[0] == "retrying"]
    assert (after, len(lost)) == (0, 1), later
    assert lost[0][2] in ("its node was lost", "its process was killed or its node was lost")
    # Both, and the lost one again.
    assert len([entry for entry in later if entry[0] == "started"]) == 3
    assert "2 runs: 2 finished" in done.stdout

    # To the bit what one process makes without a break: see test_sweep_command for the local engine.
    for seed in (0, 1):
        settings = {"method": "simcmf", "tuning": "lora", "protocol": "strict-2", "epochs": EPOCHS}
        alone, _ = run(toys.job(dataset, tmp_path / "alone", **settings, lr=3e-4, seed=seed))
        made = tmp_path / "runs" / alone.path.name
        assert (made / INSTANCES).read_bytes() == (alone.path / INSTANCES).read_bytes()
        # Bit by bit; safetensors writes its header's metadata in any order.
        ours, theirs = (load_file(path / WEIGHTS) for path in (made, alone.path))
        assert ours.keys() == theirs.keys()
        assert all(ours[name].numpy().tobytes() == theirs[name].numpy().tobytes() for name in ours)
        epochs = [json.loads(line)["epoch"] for line in (made / METRICS).read_text().splitlines()]
        assert epochs == [*range(EPOCHS + 1)]
        assert not (made / RESUME).exists()
