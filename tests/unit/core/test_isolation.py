"""Calls in a child process, which may die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from refusals import refused

from aims.core.isolation import Crashed, isolated


def test_a_child_serves_all_calls() -> None:
    child = isolated(os.getpid)
    assert child != os.getpid()
    assert isolated(os.getpid) == child
    np.testing.assert_array_equal(
        isolated(np.arange, 1_000_000).reshape(1000, -1).T[0], np.arange(0, 10**6, 1000)
    )


def test_exceptions_come_back() -> None:
    child = isolated(os.getpid)
    with pytest.raises(ValueError, match="invalid literal"):
        isolated(int, "x")
    assert isolated(os.getpid) == child


def test_what_a_library_prints_is_no_answer() -> None:
    assert isolated(print, "a line", flush=True) is None
    assert isolated(os.write, 1, b"another") == len(b"another")
    assert isolated(abs, -1) == 1


def test_a_dead_child_is_replaced() -> None:
    child = isolated(os.getpid)
    with refused(Crashed, "its reader crashed with SIGABRT"):
        isolated(os.abort)
    with refused(Crashed, "its reader ended with exit code 3"):
        isolated(os._exit, 3)
    isolated(signal.raise_signal, signal.SIGINT)  # Ctrl-C is the parent's to report
    with refused(Crashed, "its reader crashed with SIGKILL (out of memory?)"):
        isolated(signal.raise_signal, signal.SIGKILL)
    # Killed between two calls: the request is larger than what a pipe holds.
    os.kill(isolated(os.getpid), signal.SIGKILL)
    with pytest.raises(Crashed):
        isolated(len, bytes(1_000_000))
    assert isolated(os.getpid) != child


def test_a_fork_has_a_child_of_its_own() -> None:
    program = """
import os
from aims.core.isolation import isolated
child = isolated(os.getpid)
if os.fork() == 0:
    assert isolated(os.getpid) != child
else:
    assert os.wait()[1] == 0
    assert isolated(os.getpid) == child
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
