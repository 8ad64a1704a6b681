from functools import partial
from pathlib import Path

import pytest
from made_runs import AddRun, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def add_run(runs: Path) -> AddRun:
    """Writes a finished run below `runs`."""
    return partial(write_run, runs)
