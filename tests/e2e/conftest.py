from __future__ import annotations

import pytest
from earlier_runs import earlier_run

from aims import api
from aims.cli import main


@pytest.fixture
def aims(capsys):
    """Runs a command line; returns exit code, stdout, stderr."""

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


@pytest.fixture(scope="session")
def thermal_run(tmp_path_factory):
    """A made-up thermal set, and an untrained model of it whose backbone every process knows.

    Returns a folder with `raw` and `set`, the run, and the recordings.
    """
    folder = tmp_path_factory.mktemp("thermal")
    with pytest.raises(SystemExit):
        main(["synth", "folder", "--out", f"{folder}/raw", "--scenes", "12", "--size", "48x64"])
    api.convert("folder", config=folder / "raw" / "shapes.toml", out=folder / "set")
    record = api.run(
        "zero-shot", "thermal", data=folder / "set", runs=folder / "runs", backbone="sam-tiny", device="cpu"
    )
    return folder, record.path, sorted((folder / "raw").glob("thermal/*"))


@pytest.fixture(scope="session")
def earlier(tmp_path_factory):
    """A run of an earlier version, which tests leave as it is."""
    return earlier_run(tmp_path_factory.mktemp("earlier"))
