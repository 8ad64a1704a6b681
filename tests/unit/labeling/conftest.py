from __future__ import annotations

import pytest
import toys

import aims
from aims.engine.run import run


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", channels=2)


@pytest.fixture(scope="session")
def model(made_up, tmp_path_factory):
    """The toy on two channels, trained for an epoch."""
    record, _ = run(toys.job(made_up, tmp_path_factory.mktemp("runs"), epochs=1, protocol="strict-2"))
    return aims.load(record.path, device="cpu")
