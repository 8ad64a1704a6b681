"""Pools of processes: their processes end with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from aims.core.files import temporary_folder
from aims.core.processes import held_signals, interrupted_by_signals, process_pool


def gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has."""
    for _ in range(200):
        try:
            with open(f"/proc/{process}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_tasks_are_computed():
    with process_pool(2) as pool:
        assert [*pool.map(abs, [-1, -2, 3])] == [1, 2, 3]


def test_end_waits_for_no_task():
    pool = process_pool(1)
    process = pool.submit(os.getpid).result()
    running = pool.submit(time.sleep, 600)
    pool.end()
    assert gone(process)
    with pytest.raises((BrokenProcessPool, CancelledError)):
        running.result(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_made_the_pool(number):
    code = (
        "import os, time\n"
        "from aims.core.processes import held_signals, interrupted_by_signals, process_pool\n"
        "if __name__ == '__main__':\n"
        "    pool = process_pool(1)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600)\n"
        "    time.sleep(600)\n"
    )
    main = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert main.stdout is not None
    process = int(main.stdout.readline())
    main.send_signal(number)
    main.wait()
    main.stdout.close()
    assert gone(process)


@pytest.mark.parametrize(
    ("asked", "waiting"),
    [
        ({}, "OMP_WAIT_POLICY = 'PASSIVE'"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "OMP_WAIT_POLICY = 'ACTIVE'"),
        ({"GOMP_SPINCOUNT": "1234"}, "GOMP_SPINCOUNT = '1234'"),
    ],
)
def test_threads_that_wait_leave_their_cores_to_others(asked, waiting):
    """As torch's OpenMP says itself when it is loaded; what the user sets prevails."""
    others = {name: value for name, value in os.environ.items() if "SPINCOUNT" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "aims", "info", "--method", "simcmf", "--modality", "nir"],
        env={**others, "OMP_DISPLAY_ENV": "VERBOSE", **asked},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert waiting in done.stderr


def test_a_terminated_command_closes_its_pools():
    """Python's resource tracker complains of pools that are not."""
    code = (
        "import os, time\n"
        "from aims import cli\n"
        "from aims.core.processes import held_signals, interrupted_by_signals, process_pool\n"
        "def work(*_, **__):\n"
        "    pool = process_pool(1)\n"
        "    try:\n"
        "        print(pool.submit(os.getpid).result(), flush=True)\n"
        "        time.sleep(600)\n"
        "    finally:\n"
        "        pool.end()\n"
        "if __name__ == '__main__':\n"
        "    cli.cli.main = work\n"
        "    cli.main([])\n"
    )
    pipe = subprocess.PIPE
    main = subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)
    assert main.stdout is not None
    main.stdout.readline()
    main.terminate()
    _, err = main.communicate()
    assert (main.returncode, err) == (130, "error: interrupted; what was finished is kept\n")


LEAVES = """
import pathlib, sys, time
from aims.core.files import temporary_folder
from aims.core.processes import interrupted_by_signals
with interrupted_by_signals(), temporary_folder(pathlib.Path(sys.argv[1]), "unpacked") as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_temporary_folder_goes_however_its_process_ends(tmp_path, number):
    with subprocess.Popen(
        [sys.executable, "-c", LEAVES, tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as main:
        assert main.stdout is not None
        folder = Path(main.stdout.readline().strip())
        assert (folder / "file").exists()
        # That of a living process stays.
        with temporary_folder(tmp_path, "unpacked"):
            assert folder.exists()
        main.send_signal(number)
    assert folder.exists() == (number == signal.SIGKILL)
    with temporary_folder(tmp_path, "unpacked"):
        assert not folder.exists()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_until_a_process_has_started(number):
    """Even where another thread, which does not block it, takes it."""
    begun, ended = threading.Event(), threading.Event()
    other = threading.Thread(target=ended.wait)

    def start() -> None:
        with held_signals():
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            begun.set()
        raise AssertionError("the signal is lost")

    other.start()
    try:
        with pytest.raises(KeyboardInterrupt), interrupted_by_signals():
            start()
    finally:
        ended.set()
        other.join()
    assert begun.is_set()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_signals_reach_the_processes_of_a_pool():
    with process_pool(1) as pool:
        assert pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result() == set()
