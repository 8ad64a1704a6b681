"""The level of check of a run: kept beside it by who checked it, and of its very files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from aims.core.checks import LEVELS, UNKNOWN, Check, find_check, keep_check, lowest

OWN, DATASET = Check(level="own run"), Check(level="dataset", not_checked=("seconds",))


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "a-run"
    folder.mkdir(parents=True)
    for name in ("run.json", "instances.parquet", "metrics.jsonl"):
        (folder / name).write_text(f"the {name}")
    return folder


def test_nothing_is_kept_of_an_unknown_run(run):
    assert find_check(run) == UNKNOWN
    assert UNKNOWN.level == next(iter(LEVELS)) == "files"
    assert "seconds" in UNKNOWN.not_checked


def test_what_is_kept_comes_back(run, monkeypatch):
    assert keep_check(run, DATASET) == DATASET == find_check(run)
    monkeypatch.chdir(run)
    assert find_check(run.relative_to(run)) == DATASET


def test_a_lower_level_replaces_no_higher_one(run):
    keep_check(run, OWN)
    assert keep_check(run, DATASET) == OWN == find_check(run)


@pytest.mark.parametrize("name", ["run.json", "instances.parquet", "metrics.jsonl"])
def test_it_holds_for_these_files_only(run, name):
    keep_check(run, OWN)
    content = (run / name).read_text()
    (run / name).write_text("another")
    assert find_check(run) == UNKNOWN
    (run / name).unlink()
    assert find_check(run) == UNKNOWN
    (run / name).write_text(content)
    assert find_check(run) == OWN
    (run / name).write_text("another")
    assert keep_check(run, DATASET) == DATASET == find_check(run)


def test_a_copy_of_the_runs_keeps_their_checks(run, tmp_path):
    """Its files have other times and numbers, and the same content."""
    keep_check(run, OWN)
    copied = shutil.copytree(run.parent, tmp_path / "copied")
    assert find_check(copied / run.name) == OWN


def test_files_of_the_same_size_and_time_are_told_apart(run):
    keep_check(run, OWN)
    path = run / "metrics.jsonl"
    before = path.stat()
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find_check(run) == UNKNOWN


def test_unchanged_files_are_not_read_again(run, monkeypatch):
    keep_check(run, OWN)
    monkeypatch.setattr("aims.core.checks.sha256_file", None)
    assert find_check(run) == OWN


def test_nothing_is_kept_in_a_cache_of_the_hub(tmp_path):
    snapshot = tmp_path / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    assert keep_check(snapshot, OWN) == UNKNOWN
    assert [path.name for path in snapshot.parent.iterdir()] == ["c0ffee"]


def test_what_a_run_brings_with_it_says_nothing(run, tmp_path):
    """Whatever lies in the run's own folder is the submitter's."""
    keep_check(run, OWN)
    theirs = shutil.copytree(run, tmp_path / "theirs" / run.name)
    for name in (".a-run.check.json", "check.json"):
        shutil.copy(run.parent / ".a-run.check.json", theirs / name)
    assert find_check(theirs) == UNKNOWN


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(version=99),
        lambda content: content["check"].update(level="perfect"),
        lambda content: content["files"].clear(),
        lambda content: content.pop("files"),
        lambda content: content.update(filler="x" * 100_000),
    ],
)
def test_a_damaged_file_says_nothing(run, change):
    keep_check(run, OWN)
    path = run.parent / ".a-run.check.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert find_check(run) == UNKNOWN


def test_where_nothing_can_be_written_the_check_is_not_kept(run, caplog):
    # As root writes everywhere, a folder in place of the file stands for one that may not be written.
    (run.parent / ".a-run.check.json").mkdir()
    assert keep_check(run, OWN) == UNKNOWN
    assert "that its check is 'own run' is not kept" in caplog.text


def test_a_link_out_of_the_folder_says_nothing(run, tmp_path):
    keep_check(run, OWN)
    path = run.parent / ".a-run.check.json"
    path.rename(tmp_path / "elsewhere.json")
    os.symlink(tmp_path / "elsewhere.json", path)
    assert find_check(run) == UNKNOWN


def test_the_documentation_lists_the_levels():
    text = (Path(__file__).parents[3] / "docs" / "submissions.md").read_text("utf-8")
    table = text.partition("## Levels of check")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")]
    assert rows == ["level", "---", *LEVELS]


def test_of_several_runs_the_lowest_holds():
    both = lowest([OWN, DATASET, Check(level="rerun", not_checked=("device",))])
    assert both == Check(level="dataset", not_checked=("seconds", "device"))
    assert lowest([OWN]) == OWN
