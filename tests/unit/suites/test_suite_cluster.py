"""Runs on a Ray cluster: what can be told without one; tests/e2e/test_sweep_ray.py has one."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from aims.core.errors import AimsError, Busy, InputError
from aims.suites import cluster
from aims.suites.tasks import Message, RunProgress, Task


class Mailbox:
    """As the actor: `put.remote` keeps a letter."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, Message | None]] = []
        self.put = self

    def remote(self, *letter: Any) -> None:
        self.letters.append(letter)


@pytest.fixture
def task(tmp_path, monkeypatch):
    # The work changes to the folder of the call, and takes the log of its process.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    return Task(name="a", arguments={}, threads=1)


def on_node(work, task: Task, place: Path):
    mailbox = Mailbox()
    return cluster._run_on_node(work, task, str(place), mailbox), mailbox.letters


def test_work_is_done_in_the_folder_of_the_call(task, tmp_path):
    (tmp_path / "here").mkdir()

    def work(task, tell):
        tell(RunProgress(stage="train", epoch=1, epochs=2))
        return {"folder": str(Path.cwd())}

    ending, letters = on_node(work, task, tmp_path / "here")
    assert ending == ("finished", {"folder": str(tmp_path / "here")})
    assert letters == [("a", None), ("a", RunProgress(stage="train", epoch=1, epochs=2))]


def test_a_node_without_the_folder_says_so(task, tmp_path):
    def work(task, tell):
        raise AssertionError

    (kind, reason), _ = on_node(work, task, tmp_path / "gone")
    assert kind == "failed"
    assert f"has no folder {tmp_path / 'gone'}; a Ray cluster needs the working directory" in reason


def test_a_run_that_another_process_makes_is_busy(task, tmp_path):
    def work(task, tell):
        raise Busy("another process is working on this run")

    assert on_node(work, task, tmp_path)[0] == ("busy", "another process is working on this run")


def test_what_work_raises_is_told(task, tmp_path):
    def work(task, tell):
        raise AimsError("the loss is nan")

    assert on_node(work, task, tmp_path)[0] == ("failed", "the loss is nan")


def test_an_address_where_nobody_listens_is_told_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999999"):
        with pytest.raises(InputError, match=f"--address {address}: nobody answers there"):
            cluster._require_answer(address)
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster._require_answer(f"127.0.0.1:{server.getsockname()[1]}")
    for address in ("local", "auto"):
        cluster._require_answer(address)
