"""Processes of a sweep: failures, deaths, warnings, stops."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import suite_work

from aims.suites.local import Outcome, SweepObserver, Task, run_here


class Told(SweepObserver):
    """Keeps what it was told, and sends signals where it is asked to."""

    def __init__(self, *signals: int) -> None:
        self.log: list[tuple[str, ...]] = []
        self.signals = list(signals)

    def started(self, task: Task) -> None:
        self.log.append(("started", task.name))

    def progress(self, task: Task, text: str) -> None:
        self.log.append(("progress", task.name, text))
        if text == "ready" and self.signals:
            os.kill(os.getpid(), self.signals.pop(0))

    def warning(self, task: Task, text: str) -> None:
        self.log.append(("warning", task.name, text))

    def ended(self, outcome: Outcome) -> None:
        self.log.append(("ended", outcome.task.name, outcome.status))

    def stopping(self, running: int) -> None:
        self.log.append(("stopping", str(running)))
        if self.signals:
            os.kill(os.getpid(), self.signals.pop(0))


def sweep(folder: Path, *what: str, jobs: int = 1, told: SweepObserver | None = None) -> dict[str, Outcome]:
    tasks = [(f"{k}-{name}", {"what": name, "folder": str(folder)}) for k, name in enumerate(what)]
    outcomes = run_here(tasks, jobs=jobs, observer=told, work=suite_work.act)
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
    assert {name: (outcome.status, outcome.reason) for name, outcome in outcomes.items()} == {
        "0-fail": ("failed", "the loss is nan"),
        "1-bug": ("failed", "ZeroDivisionError: two lines"),
        "2-die": ("failed", "its process was killed: out of memory, most often; try fewer --jobs"),
        "3-leave": ("failed", "its process ended without a word (exit code 7)"),
        "4-good": ("finished", ""),
    }


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


def test_nothing_to_do():
    assert run_here([], jobs=2) == []
