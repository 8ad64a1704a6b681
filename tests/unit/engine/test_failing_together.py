"""Several processes of one run: where one fails, no other waits for it."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import toys

from aims.core.errors import AimsError, Busy
from aims.engine.distributed import ProcessGroup
from aims.engine.lock import run_lock
from aims.engine.plan import plan
from aims.engine.run import run

OTHERS = "another process of this run failed; its message says why"


class Pair(ProcessGroup):
    """Two threads as two processes; a wait that does not end raises."""

    world_size = 2

    def __init__(self, rank: int, meeting: threading.Barrier, flags: list[bool]) -> None:
        self.rank, self.meeting, self.flags = rank, meeting, flags

    def any(self, flag: bool) -> bool:
        self.flags[self.rank] = flag
        self.meeting.wait()
        raised = any(self.flags)
        self.meeting.wait()
        return raised

    def barrier(self) -> None:
        self.any(False)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    toys.made_up_set(folder / "data")
    return plan(data=folder / "data", runs=folder / "runs", method="disc", modality="signal")


def run_both(job):
    """Runs a job in both; what each returned or raised."""
    meeting, flags = threading.Barrier(2, timeout=20), [False, False]
    jobs = [dataclasses.replace(job, distributed=Pair(rank, meeting, flags)) for rank in (0, 1)]
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(run, each) for each in jobs]
    return [future.exception() or future.result() for future in futures]


def test_a_floor_that_fails(job, monkeypatch):
    def fail(*_):
        raise AimsError("nothing to fit on")

    with monkeypatch.context() as patched:
        patched.setattr("aims.engine.run.run_floor", fail)
        errors = run_both(job)
    assert [(type(error), str(error)) for error in errors] == [
        (AimsError, "nothing to fit on"),
        (AimsError, OTHERS),
    ]
    # Both have let go of the run.
    (first, made), (second, _) = run_both(job)
    assert (first.scores, made) == (second.scores, False)


def test_a_run_that_others_make(job, tmp_path):
    other = dataclasses.replace(job, runs=tmp_path)
    with run_lock(other.folder):
        errors = run_both(other)
    assert [type(error) for error in errors] == [Busy, AimsError]
    assert str(errors[1]) == OTHERS


def test_a_disk_that_is_full_at_the_end(job, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aims.engine.record.save_contact_sheet", full)
    errors = run_both(dataclasses.replace(job, runs=tmp_path))
    assert [type(error) for error in errors] == [OSError, AimsError]
