"""`aims demo`: what it refuses, what it says, and that it goes on. `make demo` is run in test_install.py."""

from __future__ import annotations

from pathlib import Path

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
        ["aims", "click"],
    ]


def test_the_recordings_that_come_with_aims_are_read_as_ones_own(aims, tmp_path):
    read = [
        suites.read_suite(BENCHMARKS / f"{name}.toml", sweep.suite_fields()) for name in ("demo", "smoke")
    ]
    assert read[0].recipes[1] == read[1].recipes[1]
    folders = {"data": tmp_path / "data", "made": tmp_path / "made", "suite": BENCHMARKS}
    (command,) = read[0].recipes[1].commands(raw=tmp_path, **folders)
    assert aims(*command[1:])[0] == 0
    dataset = Dataset.open(tmp_path / "data" / "nuclei")
    found = {split: len(refs) for split, refs in dataset.index.items()}
    assert found == read[0].recipes[1].images
    assert (dataset.spec.license, dataset.streams["fluorescence"].channels) == ("CC0", 1)
    folder = BENCHMARKS / "demo_data" / "recordings"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 2e6


def test_both_sensors_are_run_with_the_same_methods():
    read = suites.read_suite(BENCHMARKS / "demo.toml", sweep.suite_fields())
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
