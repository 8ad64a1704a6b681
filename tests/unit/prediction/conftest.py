from __future__ import annotations

import pytest
import toys

from aims.engine.run import run


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", channels=2)


@pytest.fixture(scope="session")
def run_folder(made_up, tmp_path_factory):
    """A finished run of the toy on two channels."""
    record, _ = run(toys.job(made_up, tmp_path_factory.mktemp("runs"), epochs=1, protocol="strict-2"))
    return record.path
