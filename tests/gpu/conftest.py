"""Tests of a GPU: `pytest -m gpu`.

With AIMS_GPU_TESTS_DEVICE=cpu the same bodies run on a CPU, so that their code is known to run before a GPU
is at hand. What only CUDA can do is deselected then, and counted as such; without CUDA and without that
variable every test fails. With AIMS_GPU_TESTS_AT_ONCE=1 a failure is printed when it happens, for runs that
may be cut short.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch

DEVICE = os.environ.get("AIMS_GPU_TESTS_DEVICE", "cuda")


def pytest_configure(config):
    config.addinivalue_line("markers", "cuda_only: cannot be rehearsed on a CPU")
    if "AIMS_GPU_TESTS_AT_ONCE" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(FailuresAtOnce(config))


class FailuresAtOnce:
    """Prints failures when they happen; beside xdist in the process that collects the reports."""

    def __init__(self, config):
        self.config = config

    def pytest_runtest_logreport(self, report):
        if report.failed:
            # Asked for here, as it is made after `pytest_configure`.
            reporter = self.config.pluginmanager.get_plugin("terminalreporter")
            reporter.write_line(f"\n{report.longreprtext}", flush=True)


def pytest_collection_modifyitems(config, items):
    here = Path(__file__).parent
    left_out = [item for item in items if here in item.path.parents and item.get_closest_marker("cuda_only")]
    if DEVICE == "cpu" and left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def device():
    """The device under test; float32 is float32 there."""
    if DEVICE != "cpu" and not torch.cuda.is_available():
        pytest.fail("no CUDA device; AIMS_GPU_TESTS_DEVICE=cpu rehearses these tests on a CPU")
    with warnings.catch_warnings():
        # The settings have new names from torch 2.9 on, and the old ones warn.
        warnings.simplefilter("ignore")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    yield torch.device(DEVICE)
    if DEVICE != "cpu":
        torch.cuda.empty_cache()
