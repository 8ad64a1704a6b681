"""`--track` with the trackers themselves, each where its package is installed (the extra `tracking`)."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from aims.core.vocabulary import TRACKERS

pytestmark = pytest.mark.thorough

#: Stops after the third of six steps, and goes on in the same process.
SCRIPT = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path

import toys

from aims.engine.run import run
from aims.engine.trackers import require_tracker
from aims.engine.stopping import Stopped
from aims.engine.train import RunObserver

class StopAt(RunObserver):
    steps = 0

    def advance(self, count=1, *, loss=None):
        self.steps += loss is not None
        if self.steps == 3 and loss is not None:
            os.kill(os.getpid(), signal.SIGTERM)

if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    require_tracker(name)
    job = replace(toys.job(toys.made_up_set(folder / "made-up"), folder / "runs", score_every=1), track=name)
    try:
        run(job, observer=StopAt())
    except Stopped:
        print(run(job)[0].path)
"""


def tensorboard(run: Path, folder: Path) -> dict[str, list[float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert len(events.Images("samples")) == 1
    return {name: [each.value for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


def mlflow(run: Path, folder: Path) -> dict[str, list[float]]:
    assert len([*(run.parent / ".mlflow").rglob("samples.png")]) == 1
    database = sqlite3.connect(run.parent / ".mlflow" / "mlflow.db")
    assert database.execute("select name, status from runs").fetchall() == [(run.name, "FINISHED")]
    found: dict[str, list[float]] = {}
    for name, value in database.execute("select key, value from metrics order by step"):
        found.setdefault(name, []).append(value)
    database.close()
    return found


def trackio(run: Path, folder: Path) -> dict[str, list[float]]:
    assert len([*folder.rglob("*.png")]) == 2  # and the run's own
    database = sqlite3.connect(folder / "trackio" / "aims.db")
    names = database.execute("select distinct run_name from metrics").fetchall()
    assert len(names) == 1
    found: dict[str, list[float]] = {}
    for (line,) in database.execute("select metrics from metrics order by step"):
        for name, value in json.loads(line).items():
            found.setdefault(name, []).append(value)
    database.close()
    return found


def wandb(run: Path, folder: Path) -> None:
    # Its offline format is its own; both parts belong to one run, and the second holds the picture.
    parts = sorted((run / "wandb").glob("offline-run-*"))
    assert len({part.name.rpartition("-")[2] for part in parts}) == 1
    assert len(parts) == 2
    assert len([*parts[1].rglob("samples_*.png")]) == 1


READERS: dict[str, Callable[[Path, Path], dict[str, list[float]] | None]] = {
    reader.__name__: reader for reader in (tensorboard, mlflow, trackio, wandb)
}


@pytest.mark.parametrize("name", TRACKERS)
def test_a_run_that_was_stopped_is_one_run(name, tmp_path):
    if find_spec(name) is None:
        pytest.skip("the extra 'tracking' is not installed")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    environment |= {"TRACKIO_DIR": str(tmp_path / "trackio"), "WANDB_MODE": "offline"}
    call = [sys.executable, str(script), name, str(tmp_path)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # What trackers print is not on stdout.
    run = Path(done.stdout.strip())
    assert run.is_dir()
    found = READERS[name](run, tmp_path)
    if found is not None:
        record = json.loads((run / "run.json").read_text())
        assert found["final/miou"] == [pytest.approx(record["scores"]["miou"])]
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert found["train/epoch_loss"] == pytest.approx([line["loss"] for line in lines[1:]])
        assert found["val/miou"] == pytest.approx([line["val_miou"] for line in lines])
        assert lines[0]["epoch"] == 0
        # Two steps an epoch, each of them once: the stop saved its state.
        assert len(found["train/loss"]) == 2 * len(lines[1:])
