"""Folders that appear when they are complete."""

from __future__ import annotations

import pytest
from filelock import FileLock
from refusals import refused

from aims.core.errors import Busy, InputError
from aims.core.staging import held, new_folder


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "out"
    with new_folder(out) as folder:
        (folder / "one").touch()
        assert not out.exists()
    assert [path.name for path in out.parent.rglob("*")] == ["out", "one"]
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "stopped"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_of_two_processes_the_second_is_refused(tmp_path):
    out = tmp_path / "out"
    with new_folder(out) as folder:
        (folder / "one").touch()
        with refused(Busy, "out.partial: another process is writing it; wait for it"), new_folder(out):
            pass
    assert (out / "one").exists()


def test_what_another_process_made_meanwhile_is_kept(tmp_path):
    out = tmp_path / "out"
    with refused(InputError, "out: exists already", "--out"), new_folder(out) as folder:
        (folder / "one").touch()
        out.mkdir()
        (out / "theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


def test_a_lock_is_released_after_an_error(tmp_path):
    lock = FileLock(tmp_path / "lock", timeout=0)
    with pytest.raises(ValueError, match="wrong"), held(lock, tmp_path, "working"):
        raise ValueError("wrong")
    with (
        held(lock, tmp_path, "working"),
        refused(Busy, f"{tmp_path}: another process is working"),
        held(FileLock(tmp_path / "lock", timeout=0), tmp_path, "working"),
    ):
        pass
