"""`aims demo`: what it refuses, what it says, and that it goes on. `make demo` is run in test_install.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from aims.cli import demo, report, sweep
from aims.core.errors import AimsError
from aims.data.read import Dataset
from aims.suites import suite as suites

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def steps(monkeypatch):
    """The commands that the demo calls; nothing is run."""
    called = []
    for module in (sweep, report):
        monkeypatch.setattr(
            module.command, "main", lambda args, prog_name, standalone_mode: called.append((prog_name, args))
        )
    return called


@pytest.mark.parametrize(
    ("options", "suite", "folder"), [((), "demo", "demo"), (("--quick",), "smoke", "demo-quick")]
)
def test_the_steps_are_commands_that_are_shown(aims, steps, tmp_path, monkeypatch, options, suite, folder):
    monkeypatch.chdir(tmp_path)
    code, out, err = aims("demo", *options, "--jobs", "3")
    assert code == 0
    where = ["--data", f"{folder}/aims", "--runs", f"{folder}/runs"]
    assert steps == [
        ("aims sweep", [suite, "--make-data", "--jobs", "3", *where]),
        ("aims report", ["--runs", where[3], "--data", where[1], "--out", folder, "--title", "AIMS demo"]),
    ]
    shown = [line for line in err.splitlines() if line.startswith("$ ")]
    assert shown == [
        f"$ aims sweep {suite} --make-data --jobs 3 --data {folder}/aims --runs {folder}/runs",
        f"$ aims report --runs {folder}/runs --data {folder}/aims --out {folder} --title 'AIMS demo'",
    ]
    lines = out.splitlines()
    assert lines[1] == f"Open {folder}/index.html in a browser. To go on with a sensor of your own:"
    assert [line.split()[:2] for line in lines[2:]] == [
        ["aims", "init"],
        ["aims", "convert"],
        ["aims", "run"],
        ["aims", "report"],
    ]


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """The folder of the packaged suites, with a stand-in for the recordings that come with AIMS."""
    folder = tmp_path / "benchmarks"
    shutil.copytree(BENCHMARKS, folder, ignore=shutil.ignore_patterns("candidates", "speed", "recordings"))
    rows, columns = np.mgrid[0:64, 0:64]
    for split, count in (("train", 4), ("test", 2)):
        for number in range(count):
            nuclei = (((rows - 20) ** 2 + (columns - 16 - number) ** 2) < 64).astype(np.uint16)
            nuclei[40:50, 30:44] = 2
            for kind, picture in (("images", 90 * nuclei.astype(np.uint8) + 7), ("instances", nuclei)):
                path = folder / "demo_data" / "recordings" / kind / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture)
    monkeypatch.setattr(suites, "packaged_suites", lambda: sorted(folder.glob("*.toml")))
    return folder / "demo_data"


@pytest.mark.parametrize(("options", "suite"), [((), "demo"), (("--quick",), "smoke")])
def test_the_recordings_that_come_with_aims_are_used(aims, steps, recordings, tmp_path, options, suite):
    assert aims("demo", *options, "--out", tmp_path / "out")[0] == 0
    assert steps[0][1][0] == str(recordings / f"{suite}.toml")


def test_the_recordings_are_converted_by_the_suites_own_command(aims, recordings, tmp_path):
    read = [
        suites.read_suite(recordings / f"{name}.toml", sweep.suite_fields()) for name in ("demo", "smoke")
    ]
    assert read[0].recipes == read[1].recipes
    folders = {"data": tmp_path / "data", "made": tmp_path / "made", "suite": recordings}
    (command,) = read[0].recipes[1].commands(raw=tmp_path, **folders)
    assert aims(*command[1:])[0] == 0
    dataset = Dataset.open(tmp_path / "data" / "nuclei")
    assert {split: len(refs) for split, refs in dataset.index.items()} == {"train": 4, "test": 2}
    assert (dataset.spec.license, dataset.streams["fluorescence"].channels) == ("CC0", 1)
    image = dataset.read(dataset.index["test"][0], ("fluorescence",))
    assert len(image.objects) == 2


def test_both_sensors_are_run_with_the_same_methods():
    read = suites.read_suite(BENCHMARKS / "demo_data" / "demo.toml", sweep.suite_fields())
    methods = {}
    for entry in read.entries:
        methods.setdefault(entry.fields["dataset"], []).append(entry.fields["method"])
    wanted = ["disc", "zero-shot", "scratch", "random-embed", "linear", "simcmf"]
    assert methods == {"made-up-nyuv2": wanted, "nuclei": wanted}


def test_a_step_that_fails_ends_it(aims, steps, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise AimsError("2 of 8 runs failed; the same command tries again")

    monkeypatch.setattr(sweep.command, "main", fail)
    code, out, err = aims("demo", "--out", tmp_path / "demo")
    assert (code, out) == (1, "")
    assert err.endswith("error: 2 of 8 runs failed; the same command tries again\n")
    assert steps == []


def test_folders_of_something_else_are_refused(aims, steps, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    code, _, err = aims("demo", "--out", tmp_path)
    assert (code, err) == (2, f"error: {tmp_path}: holds something else; give a new folder with --out\n")
    code, _, err = aims("demo", "--out", tmp_path / "index.html")
    assert (code, err) == (2, f"error: {tmp_path / 'index.html'}: is a file; give a folder with --out\n")
    assert steps == []
    (tmp_path / "made").mkdir()
    assert aims("demo", "--out", tmp_path)[0] == 0


def test_the_help_names_what_is_trained():
    for name in ("scratch", "random-embed", "linear", "simcmf"):
        assert name in demo.command.help
