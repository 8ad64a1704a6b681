"""Work that is spread over processes gives what one process gives."""

import os
import signal
from multiprocessing import parent_process
from pathlib import Path

import pytest
from made_runs import AddRun

from aims.core.errors import AimsError
from aims.reports import report
from aims.reports.runs import workers
from aims.reports.runs.load import load_runs
from aims.reports.runs.workers import Workers


def process_of(number: int) -> tuple[int, int]:
    return number, os.getpid()


def dies(number: int) -> None:
    if parent_process():
        os.kill(os.getpid(), signal.SIGKILL)


def fails(number: int) -> int:
    raise OSError(f"cannot read {number}")


@pytest.mark.thorough
def test_only_much_work_is_spread() -> None:
    with Workers(2) as two:
        assert {process for _, process in two.map(process_of, range(499))} == {os.getpid()}
        found = [*two.map(process_of, range(500))]
        assert [number for number, _ in found] == [*range(500)]
        (other,) = {process for _, process in found}
        assert other != os.getpid()
        # The process is there already, but a few small things are not worth a message.
        assert {process for _, process in two.map(process_of, range(3))} == {os.getpid()}
        assert {process for _, process in two.map(process_of, range(3), weight=200)} == {other}
        with pytest.raises(OSError, match="cannot read 0"):
            [*two.map(fails, range(500))]
        last = two.map(process_of, range(500))
        two.end()
        assert [number for number, _ in last] == [*range(500)]
    for spread in (Workers.map, Workers.share):
        with Workers(2) as two, pytest.raises(AimsError, match="was killed, perhaps for want of memory"):
            [*spread(two, dies, range(500))]
    with Workers() as one:
        assert {process for _, process in one.map(process_of, range(1000))} == {os.getpid()}


@pytest.mark.thorough
def test_this_process_shares_the_work() -> None:
    with Workers(2) as two:
        found = [*two.share(process_of, range(50_000))]
        assert [number for number, _ in found] == [*range(50_000)]
        processes = {process for _, process in found}
        assert len(processes) == 2
        assert os.getpid() in processes


@pytest.mark.thorough
def test_a_report_by_several_processes_is_the_same(
    runs: Path, tmp_path: Path, add_run: AddRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        add_run(0.5, seed=seed)
        add_run(0.4, seed=seed, method="linear", modality="depth")
    (runs / "broken").mkdir()
    alone = report.write_report(runs, tmp_path / "alone")
    monkeypatch.setattr(workers, "_WORTH_IT", 2)
    monkeypatch.setattr(workers, "_TOGETHER", 2)
    together = report.write_report(runs, tmp_path / "together", jobs=2)
    assert together.left_out == alone.left_out
    assert [path.name for path in together.written] == [path.name for path in alone.written]
    for one, other in zip(alone.written, together.written, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    with Workers(2) as two:
        assert len(load_runs(runs, two)[0]) == 6
