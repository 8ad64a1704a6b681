"""The folder of a report: no empty report over a full one, and no files left of an earlier one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_runs import AddRun

from aims.core.errors import InputError
from aims.reports.folder import MANIFEST
from aims.reports.report import write_report

pytestmark = pytest.mark.usefixtures("no_cost_figures")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "of an earlier version"])
def test_a_report_without_runs_overwrites_none_with_some(
    runs: Path, add_run: AddRun, tmp_path: Path, listed: bool
) -> None:
    add_run()
    write_report(runs, tmp_path / "out")
    if not listed:
        (tmp_path / "out" / MANIFEST).unlink()
    before = contents(tmp_path / "out")
    (tmp_path / "wrong").mkdir()
    with pytest.raises(InputError, match=r"wrong: holds no finished run, and .*out holds a report"):
        write_report(tmp_path / "wrong", tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_report_without_runs_may_be_written_again(runs: Path, tmp_path: Path) -> None:
    for _ in range(2):
        write_report(runs, tmp_path / "out", against="paper")
    assert (tmp_path / "out" / "paper" / "against.md").is_file()


def test_what_an_earlier_report_wrote_is_removed_and_nothing_else(
    runs: Path, add_run: AddRun, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_report(runs, out, against="paper")
    assert (out / "paper").is_dir()
    (out / "README.md").write_text("mine")
    add_run(dataset="another")
    write_report(runs, out)
    found = contents(out)
    listed = json.loads(found.pop(MANIFEST))
    assert not (out / "paper").exists()
    assert found.pop("README.md") == b"mine"
    assert sorted(found) == listed["files"]
    assert listed["runs"] == 1


def test_nothing_outside_of_the_folder_is_removed(runs: Path, add_run: AddRun, tmp_path: Path) -> None:
    add_run()
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    write_report(runs, out)
    (out / "link").symlink_to(outside)
    manifest = {"runs": 1, "files": ["link/mine.txt"]}
    (out / MANIFEST).write_text(json.dumps(manifest))
    write_report(runs, out)
    assert (outside / "mine.txt").exists()
    (out / MANIFEST).write_text(json.dumps({**manifest, "files": ["../outside/mine.txt"]}))
    with pytest.raises(InputError, match="leaves its folder"):
        write_report(runs, out)
    assert (outside / "mine.txt").exists()
    shutil.rmtree(out)
