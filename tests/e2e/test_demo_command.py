"""`aims demo`: what it refuses, what it says, and that it goes on. `make demo` is run in test_install.py."""

from __future__ import annotations

import pytest

from aims.cli import demo, report, sweep
from aims.core.errors import AimsError


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
        ["aims", "convert"],
        ["aims", "run"],
        ["aims", "report"],
    ]


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
