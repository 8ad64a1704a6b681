"""Settings of all tests."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile

# Thread pools cost more than they give on tiny arrays, and worker processes inherit these. Whatever the shell
# says: with more threads sums have another order, and a pixel on the border of a mask may fall either way.
os.environ["OMP_NUM_THREADS"] = "1"
# The many processes that are started need not compile AIMS anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What is fetched and remembered stays out of the user's own cache.
os.environ["AIMS_CACHE"] = tempfile.mkdtemp(prefix="aims-tests-")
# Nothing here may reach a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"

# A shell starts jobs in its background with Ctrl-C ignored, and Python and its children keep to that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# And `nohup` starts them with SIGHUP ignored.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

import pytest
from hypothesis import settings

settings.register_profile("aims", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("aims")


def pytest_configure() -> None:
    """Lets pytest keep the tests that it has compiled: a third of the time before the first."""
    sys.dont_write_bytecode = False


def pytest_unconfigure() -> None:
    """Removes the cache folder of the tests."""
    shutil.rmtree(os.environ["AIMS_CACHE"], ignore_errors=True)


def pytest_collection_finish() -> None:
    """Spares the garbage collector what all tests have imported: each run collects (`PeakMemory`)."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """A test draws the same numbers in every run, alone or after others."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def raw(tmp_path):
    """An empty raw folder for `helpers.MadeUp`."""
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder
