"""`aims sweep`: what is missing is made, what fails is told, what is stopped goes on."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import toys

from aims.core.records import INSTANCES, RECORD, RESUME, WEIGHTS
from aims.engine.plan import plan
from aims.engine.run import run
from aims.suites.tasks import Outcome, SweepObserver, Task

HEAD = 'title = "Try"\nquestion = "?"\nfound = ""\ncost = "seconds"\ncommand = "aims sweep try.toml"\n'
DEFAULTS = """
[defaults]
dataset = "made-up"
modality = "signal"
backbone = "sam-toy"
weights = "none"
epochs = 2
batch-size = 3
"""
#: At most what names and shapes take in a file of the toy's tensors.
HEADER = 20_000


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "data"
    toys.made_up_set(folder / "made-up")
    return folder


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The toy backbone as an installed package."""
    toys.install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def write(folder: Path, text: str) -> Path:
    path = folder / "try.toml"
    path.write_text(HEAD + DEFAULTS + text, encoding="utf-8")
    return path


def iou(folder: Path) -> list[tuple[str, int, float]]:
    table = pq.read_table(folder / INSTANCES, columns=["image_id", "instance_id", "iou"])
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.thorough
@pytest.mark.usefixtures("site")
def test_a_sweep(aims, data, tmp_path):
    """Two at a time, the first of which fails; then again."""
    text = '[[grid]]\nmethod = "simcmf"\ntuning = "full"\nlr = [1e30, 1e-3]\n'
    runs = tmp_path / "runs"
    common = ("sweep", write(tmp_path, text), "--data", data, "--runs", runs, "--device", "cpu")

    code, out, err = aims(*common, "--dry-run")
    assert (code, runs.exists()) == (0, False)
    assert "Try: 2 runs, 0 finished already" in err
    *lines, last = out.splitlines()
    states, names = zip(*((line.split()[0], line.split()[-1]) for line in lines), strict=True)
    assert states == ("missing", "missing")
    assert [name[:-11] for name in names] == ["made-up-signal-simcmf-full-strict-2-s0"] * 2
    # No run is finished: nothing tells the time, and the parameters alone tell the disk.
    assert all("time unknown" in line for line in lines)
    assert last.startswith("2 runs missing: time unknown, as no run of the kind is finished yet; at least ")

    code, out, err = aims(*common, "--jobs", "2")
    assert code == 1
    assert "Try: 2 runs, 0 finished already" in err
    assert "simcmf full, signal of made-up, lr 0.001, seed 0: mIoU " in err
    assert "simcmf full, signal of made-up, lr 1e+30, seed 0: failed: the loss is " in err
    assert err.splitlines()[-1] == "error: 1 of 2 runs failed; the same command tries again"
    head, failed, command, tables = out.splitlines()
    assert head == "2 runs: 1 failed, 1 finished"
    assert failed.startswith("failed: the loss is ")
    assert "try a lower --lr than 1e+30" in failed
    assert command.strip().startswith("aims run --dataset made-up --modality signal --backbone sam-toy ")
    assert command.endswith(f"--lr 1e+30 --data {data} --runs {runs}")
    assert tables == f"tables: aims report --runs {runs}"

    # The same numbers as one run alone gives, in this process.
    settings = {"method": "simcmf", "tuning": "full", "modality": "signal", "backbone": "sam-toy"}
    settings |= {"weights": "none", "epochs": 2, "batch_size": 3, "lr": 1e-3, "device": "cpu"}
    alone, _ = run(plan(data=data, runs=tmp_path / "alone", **settings))
    assert alone.path.name == names[1]
    assert iou(alone.path) == iou(runs / names[1])
    ours = json.loads((runs / names[1] / "run.json").read_text())
    there = json.loads((alone.path / RECORD).read_text())
    for key in ("config", "images", "parameters", "flops", "preprocessing", "scores", "selected_on"):
        assert ours[key] == there[key], key

    # What is finished is not made again.
    stamp = (runs / names[1] / "run.json").stat().st_mtime_ns
    code, out, err = aims(*common, "--only", "lr=0.001", "--only", "seed=1")
    assert (code, "none of the 2 runs is like that" in err) == (2, True)
    code, out, err = aims(*common, "--only", "lr=0.001", "--json")
    assert (code, "Try: 1 run, 1 finished already" in err) == (0, True)
    (line,) = json.loads(out)["runs"]
    assert (line["run"], line["status"], line["before"]) == (names[1], "finished", True)
    assert (line["miou"], line["seconds"]) == (ours["scores"]["miou"], ours["seconds"])
    assert (runs / names[1] / "run.json").stat().st_mtime_ns == stamp
    code, out, err = aims(*common, "--dry-run", "--json")
    assert (code, "Try: 2 runs, 1 finished already" in err) == (0, True)
    content = json.loads(out)
    missing, finished = content["runs"]
    assert (missing["status"], finished["status"]) == ("missing", "finished")
    assert finished["expected"] is None
    # The rate alone is different: time and disk are those of the one that is finished.
    size = sum(path.stat().st_size for path in (runs / names[1]).rglob("*"))
    trained = ours["parameters"]["trainable"]["total"]
    assert missing["expected"] == {
        "seconds": ours["seconds"],
        "disk_bytes": size,
        "resume_bytes": 12 * trained,
        "finished": 1,
    }
    assert content["total"] == {
        "runs": 1,
        "seconds": ours["seconds"],
        "unknown": 0,
        "disk_bytes": size,
        "resume_bytes": 24 * trained,
    }
    assert 0 <= (runs / names[1] / WEIGHTS).stat().st_size - 4 * trained < HEADER


class Clock:
    """Goes where it is put."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def ends(monkeypatch):
    """Lets runs end in given ways after 90 seconds each, without making them."""
    clock = Clock()

    def set_ends(*ends):
        def run_here(runs, *, jobs, retries, observer):
            tasks = [Task(name=name, arguments=arguments, threads=1) for name, arguments in runs]
            outcomes = [Outcome(task=task, **end) for task, end in zip(tasks, ends, strict=False)]
            for outcome in outcomes:
                observer.started(outcome.task)
                clock.now += 90
                if outcome.tries > 1:
                    observer.retrying(outcome.task, "its process was killed")
                    observer.started(outcome.task)
                observer.ended(outcome)
            return outcomes

        monkeypatch.setattr("aims.suites.local.run_here", run_here)
        monkeypatch.setattr("aims.cli._sweep_display.time", clock)

    return set_ends


RECORDED = SimpleNamespace(scores=SimpleNamespace(miou=0.25), content=SimpleNamespace(seconds=90.4))
FINISHED = {"status": "finished", "record": RECORDED}
FAILED = {"status": "failed", "reason": "the loss is nan"}
STOPPED = {"status": "stopped", "reason": "saved"}
CRASHED = {"status": "failed", "reason": "its process was killed (begun 2 times)", "tries": 2}


def test_what_is_said_of_runs(aims, ends, data, tmp_path):
    path = write(tmp_path, '[[grid]]\nmethod = "scratch"\nseed = [0, 1, 2]\n')
    common = ("sweep", path, "--data", data, "--runs", tmp_path / "runs", "--device", "cpu")
    ends(FINISHED, FAILED, FINISHED)
    code, out, err = aims(*common)
    assert code == 1
    # The last could take as long as the first has taken, with what has failed in between.
    assert err.splitlines()[1:] == [
        "1/3  scratch full, signal of made-up, seed 0: mIoU 25.00 %, 90 s  (3 min left)",
        "2/3  scratch full, signal of made-up, seed 1: failed: the loss is nan  (1 failed, 3 min left)",
        "3/3  scratch full, signal of made-up, seed 2: mIoU 25.00 %, 90 s  (1 failed)",
        "error: 1 of 3 runs failed; the same command tries again",
    ]
    assert out.splitlines()[:2] == ["3 runs: 1 failed, 2 finished", "failed: the loss is nan"]

    ends(CRASHED, FINISHED, FINISHED)
    code, out, err = aims(*common, "--json")
    assert (code, [line["tries"] for line in json.loads(out)["runs"]]) == (1, [2, 1, 1])
    assert err.splitlines()[1:3] == [
        "scratch full, signal of made-up, seed 0: its process was killed; it is tried again",
        "1/3  scratch full, signal of made-up, seed 0: failed: its process was killed (begun 2 times)"
        "  (1 failed, 1 tried again)",
    ]

    ends(FAILED, STOPPED)
    code, out, err = aims(*common)
    assert code == 130
    assert out.splitlines()[0] == "3 runs: 1 failed, 1 missing, 1 stopped"
    assert err.splitlines()[-1].startswith("error: stopped; 2 runs to go, ")

    ends(FINISHED, FAILED, STOPPED)
    code, out, _ = aims(*common, "--json")
    assert code == 130
    lines = json.loads(out)["runs"]
    keys = ("status", "before", "miou", "seconds", "reason")
    assert [tuple(line[key] for key in keys) for line in lines] == [
        ("finished", False, 0.25, 90.4, None),
        ("failed", False, None, None, "the loss is nan"),
        ("stopped", False, None, None, "saved"),
    ]
    assert [line["run"].split("-")[-2] for line in lines] == ["s0", "s1", "s2"]
    assert lines[1]["command"].endswith(f"--method scratch --seed 1 --data {data} --runs {tmp_path / 'runs'}")


@pytest.mark.thorough
@pytest.mark.usefixtures("site")
def test_ctrl_c_saves_and_the_same_command_goes_on(aims, data, tmp_path, monkeypatch):
    class CtrlC(SweepObserver):
        def progress(self, task, progress):
            if progress.epoch == 2:
                signal.raise_signal(signal.SIGINT)

    text = '[[grid]]\nmethod = "simcmf"\ntuning = "full"\nepochs = 12\n'
    options = ("--data", data, "--runs", tmp_path / "runs", "--device", "cpu")
    command = ("sweep", write(tmp_path, text), *options)
    with monkeypatch.context() as patched:
        patched.setattr("aims.cli.sweep.sweep_display", lambda runs: nullcontext(CtrlC()))
        code, _, err = aims(*command)
    assert code == 130
    assert err.splitlines()[-1] == (
        "error: stopped; 1 run to go, nothing is lost: the same command goes on from here"
    )
    (metrics,) = (tmp_path / "runs").glob("*/metrics.jsonl")
    first = metrics.read_text()
    # The start is a line, too.
    assert 2 <= len(first.splitlines()) < 13
    # The checkpoint is as large as --dry-run says.
    trained = json.loads((metrics.parent / RECORD).read_text())["parameters"]["trainable"]["total"]
    assert 0 <= (metrics.parent / RESUME).stat().st_size - 12 * trained < 3 * HEADER

    code, out, err = aims(*command)
    assert code == 0, err
    assert out.splitlines()[0] == "1 run: 1 finished"
    # It has gone on: the epochs from before are there as they were.
    assert metrics.read_text().startswith(first)
    assert len(metrics.read_text().splitlines()) == 13


RECIPE = """
[[data]]
dataset = "made-up-ivrg-nir"
images = { train = 2, test = 1 }
make = [
    "aims synth ivrg-nir --out {made}/nir --scenes 3 --size 32x40",
    "aims convert ivrg-nir --raw {made}/nir --out {data}/nir",
]
[[grid]]
method = "oracle-disc"
dataset = "made-up-ivrg-nir"
modality = "nir"
"""


@pytest.mark.thorough
def test_data_are_made_once(aims, ends, tmp_path):
    ends(FINISHED)
    suite, data = write(tmp_path, RECIPE), tmp_path / "a b" / "aims"
    common = ("sweep", suite, "--data", data, "--runs", tmp_path / "runs")
    made = tmp_path / "a b" / "made" / "nir"
    for more in ((), ("--dry-run", "--make-data")):
        code, out, err = aims(*common, *more)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert (
            f"dataset 'made-up-ivrg-nir' is not in {data}; `aims sweep {suite} --make-data` makes it: " in err
        )
        assert f"`aims synth ivrg-nir --out '{made}' --scenes 3 --size 32x40`, then `aims convert " in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["try.toml"]

    made.mkdir(parents=True)
    (made / "mine.txt").touch()
    code, out, err = aims(*common, "--make-data")
    assert (code, out) == (1, "")
    assert "dataset 'made-up-ivrg-nir' could not be made: `aims synth ivrg-nir --out " in err
    assert "ended with exit code 2" in err
    (made / "mine.txt").unlink()

    code, out, _ = aims(*common, "--make-data", "--dry-run")
    assert code == 2
    code, out, err = aims(*common, "--make-data")
    assert code == 0, err
    assert out.splitlines()[0] == "1 run: 1 finished"
    code, out, err = aims(*common, "--make-data")
    assert (code, "$ aims" in err) == (0, False)

    suite.write_text(suite.read_text().replace("train = 2", "train = 4"))
    code, _, err = aims(*common)
    assert code == 2
    assert f"{data / 'nir'}: holds 2 images in 'train', {suite} wants 4" in err


ON_RAY = ("try.toml", "--engine", "ray")


def test_without_ray_one_line_says_how_it_is_installed(aims, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, err = aims("sweep", write(tmp_path, '[[grid]]\nmethod = "disc"\n'), "--engine", "ray")
    assert (code, out, err) == (2, "", "error: --engine ray needs Ray: pip install 'aims-bench[ray]'\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("smok",), "unknown suite 'smok'; did you mean 'smoke'?"),
        (("gone.toml",), "gone.toml: no such file"),
        (("try.toml", "--only", "method"), "--only 'method': write key=value"),
        (("try.toml", "--only", "method=disk"), "--only: unknown method 'disk'; did you mean 'disc'?"),
        (("try.toml", "--only", "seed=3"), "--only seed=3: none of the 1 run is like that"),
        (("try.toml", "--jobs", "0"), "Invalid value for '--jobs'"),
        (("try.toml", "--retries", "-1"), "Invalid value for '--retries'"),
        (("try.toml", "--engine", "slurm"), "Invalid value for '--engine'"),
        (("try.toml", "--address", "auto"), "--address goes with --engine ray alone; leave it out"),
        (("try.toml", "--gpus-per-run", "1"), "--gpus-per-run goes with --engine ray alone; leave it out"),
        ((*ON_RAY, "--jobs", "2"), "--jobs does not go with --engine ray, which fills the cluster"),
        ((*ON_RAY, "--device", "cuda:1"), "--device cuda:1 does not go with --engine ray, which deals out"),
        ((*ON_RAY, "--gpus-per-run", "1.5"), "--gpus-per-run 1.5: give a whole number, or a part of one"),
        (
            (*ON_RAY, "--device", "cpu", "--gpus-per-run", "1"),
            "--gpus-per-run 1 does not go with --device cpu",
        ),
        (("try.toml",), "try.toml: dataset 'made-up' is not in data/aims; `aims convert` makes datasets"),
        ((), "Missing argument 'SUITE'"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(aims, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, '[[grid]]\nmethod = "disc"\n')
    code, out, err = aims("sweep", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["try.toml"]
