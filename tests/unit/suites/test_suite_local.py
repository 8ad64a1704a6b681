"""Processes of a sweep: failures, deaths, warnings, stops."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest
import suite_work
from filelock import FileLock

from aims.engine.lock import is_locked, run_lock
from aims.suites.local import run_here
from aims.suites.tasks import Outcome, RunProgress, SweepObserver, Task


class Told(SweepObserver):
    """Keeps what it was told, and sends signals where it is asked to."""

    def __init__(self, *signals: int) -> None:
        self.log: list[tuple[str, ...]] = []
        self.signals = list(signals)

    def started(self, task: Task) -> None:
        self.log.append(("started", task.name))

    def waiting(self, task: Task) -> None:
        self.log.append(("waiting", task.name))
        if self.signals:
            os.kill(os.getpid(), self.signals.pop(0))

    def progress(self, task: Task, progress: RunProgress) -> None:
        self.log.append(("progress", task.name, progress.words))
        if progress.stage == "ready" and self.signals:
            os.kill(os.getpid(), self.signals.pop(0))

    def warning(self, task: Task, text: str) -> None:
        self.log.append(("warning", task.name, text))

    def retrying(self, task: Task, reason: str) -> None:
        self.log.append(("retrying", task.name, reason))

    def ended(self, outcome: Outcome) -> None:
        self.log.append(("ended", outcome.task.name, outcome.status))

    def stopping(self, running: int) -> None:
        self.log.append(("stopping", str(running)))
        if self.signals:
            os.kill(os.getpid(), self.signals.pop(0))


def sweep(
    folder: Path, *what: str, jobs: int = 1, retries: int = 0, told: SweepObserver | None = None
) -> dict[str, Outcome]:
    arguments = {"folder": str(folder), "runs": folder}
    tasks = [(f"{k}-{name}", {"what": name, **arguments}) for k, name in enumerate(what)]
    outcomes = run_here(tasks, jobs=jobs, retries=retries, observer=told, work=suite_work.act)
    return {outcome.task.name: outcome for outcome in outcomes}


def test_one_after_the_other(tmp_path):
    told = Told()
    outcomes = sweep(tmp_path, "good", "warn", told=told)
    assert told.log == [
        *(("started", "0-good"), ("progress", "0-good", "done"), ("ended", "0-good", "finished")),
        *(("started", "1-warn"), ("warning", "1-warn", "a channel is constant")),
        *(("progress", "1-warn", "done"), ("ended", "1-warn", "finished")),
    ]
    records = [outcome.record for outcome in outcomes.values()]
    assert records[0]["threads"] == os.cpu_count()
    # Each has a process of its own, out of reach of the terminal's Ctrl-C.
    assert all(record["group"] == record["pid"] for record in records)
    assert len({record["pid"] for record in records} | {os.getpid()}) == 3


def test_a_run_that_fails_stops_no_other(tmp_path):
    outcomes = sweep(tmp_path, "fail", "bug", "die", "leave", "good", jobs=2)
    # A fault goes on with where it happened and the file of its traceback.
    assert {
        name: (outcome.status, outcome.reason.partition(" (aims.")[0]) for name, outcome in outcomes.items()
    } == {
        "0-fail": ("failed", "the loss is nan"),
        "1-bug": ("failed", "ZeroDivisionError: two lines"),
        "2-die": ("failed", "its process was killed: out of memory, most often; try fewer --jobs"),
        "3-leave": ("failed", "its process ended without a word (exit code 7)"),
        "4-good": ("finished", ""),
    }


KILLED = "its process was killed: out of memory, most often; try fewer --jobs"


def test_what_crashed_is_tried_again_last_and_alone(tmp_path):
    told = Told()
    outcomes = sweep(tmp_path, "die-once", "die-once", "good", jobs=2, retries=1, told=told)
    assert {name: (o.status, o.tries) for name, o in outcomes.items()} == {
        "0-die-once": ("finished", 2),
        "1-die-once": ("finished", 2),
        "2-good": ("finished", 1),
    }
    last = told.log.index(("ended", "2-good", "finished")) + 1
    crashes = [entry for entry in told.log if entry[0] == "retrying"]
    assert sorted(crashes) == [("retrying", f"{k}-die-once", KILLED) for k in (0, 1)]
    # One after the other, once nothing else is to do: both may crash before or after the good one ends.
    ends = [entry for entry in told.log if entry[0] in ("started", "ended")][-4:]
    first, second = crashes[0][1], crashes[1][1]
    assert ends == [
        *(("started", first), ("ended", first, "finished")),
        *(("started", second), ("ended", second, "finished")),
    ]
    assert told.log.index(("started", first), told.log.index(crashes[0])) >= last


def test_what_crashes_again_and_again_has_failed(tmp_path):
    told = Told()
    (outcome,) = sweep(tmp_path, "die", retries=2, told=told).values()
    assert (outcome.status, outcome.reason, outcome.tries) == ("failed", f"{KILLED} (begun 3 times)", 3)
    assert [entry[0] for entry in told.log] == [*(["started", "retrying"] * 2), "started", "ended"]


def test_an_error_of_its_own_is_not_tried_again(tmp_path):
    told = Told()
    outcomes = sweep(tmp_path, "fail", "bug", retries=2, told=told)
    assert [outcome.tries for outcome in outcomes.values()] == [1, 1]
    assert "retrying" not in [entry[0] for entry in told.log]


def test_two_at_a_time_share_the_cores(tmp_path):
    outcomes = sweep(tmp_path, "meet", "meet", jobs=2)
    assert [outcome.record["threads"] for outcome in outcomes.values()] == [max(1, os.cpu_count() // 2)] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_lets_runs_save_themselves(tmp_path, number):
    told = Told(number)
    outcomes = sweep(tmp_path, "save", "good", told=told)
    assert {name: (o.status, o.reason) for name, o in outcomes.items()} == {"0-save": ("stopped", "saved")}
    assert told.log[-2:] == [("stopping", "1"), ("ended", "0-save", "stopped")]
    assert not (tmp_path / "1-good.begun").exists()


def test_a_stop_ends_runs_that_do_not_listen(tmp_path):
    outcomes = sweep(tmp_path, "wait", told=Told(signal.SIGTERM))
    assert [outcome.status for outcome in outcomes.values()] == ["stopped"]


def test_a_second_ctrl_c_ends_all_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, "save", told=Told(signal.SIGINT, signal.SIGINT))
    pid = int((tmp_path / "0-save.begun").read_text())
    # A child that has ended and was not waited for still has its number.
    assert os.waitid(os.P_PID, pid, os.WEXITED).si_status == signal.SIGKILL


class Releasing(Told):
    """Lets go of a lock when a run has ended."""

    def __init__(self, lock: FileLock) -> None:
        super().__init__()
        self.lock = lock

    def ended(self, outcome: Outcome) -> None:
        super().ended(outcome)
        self.lock.release()


def test_a_run_that_another_process_makes_is_waited_for_while_others_are_made(tmp_path):
    lock = run_lock(tmp_path / "0-good")
    with lock:
        told = Releasing(lock)
        outcomes = sweep(tmp_path, "good", "good", told=told)
    assert [(o.status, o.tries) for o in outcomes.values()] == [("finished", 1)] * 2
    assert [entry[:2] for entry in told.log if entry[0] != "progress"] == [
        *(("waiting", "0-good"), ("started", "1-good"), ("ended", "1-good")),
        *(("started", "0-good"), ("ended", "0-good")),
    ]


def test_another_process_that_comes_first_in_the_last_moment_is_waited_for(tmp_path):
    told = Told()
    (outcome,) = sweep(tmp_path, "busy-once", told=told).values()
    assert (outcome.status, outcome.tries) == ("finished", 1)
    assert [entry[0] for entry in told.log] == ["started", "waiting", "started", "progress", "ended"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_waiting(tmp_path, number):
    with run_lock(tmp_path / "0-good"):
        told = Told(number)
        assert sweep(tmp_path, "good", told=told) == {}
    assert told.log == [("waiting", "0-good"), ("stopping", "0")]


def test_looking_at_a_lock_keeps_no_run_from_starting(tmp_path):
    """Who looks shares the lock for a moment."""
    lock = run_lock(tmp_path / "run")
    lock.acquire()
    lock.release()
    with (tmp_path / ".run.lock").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with lock:
            assert is_locked(tmp_path / "run")


def test_nothing_to_do():
    assert run_here([], jobs=2) == []
