"""What nobody expected is one line and a file for a report; a reader that goes away is no error."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import pytest

from aims.cli import list as listing
from aims.version import __version__


def broken(number):
    return 1 // number


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Lets `aims list datasets` raise an exception."""
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SECRET_TOKEN", "hf_never_shown")
    monkeypatch.setattr(sys, "argv", ["aims", "list", "datasets", "--data", "a b"])

    def arrange(error):
        def fail(*_):
            raise error

        monkeypatch.setattr(listing, "installed_converters", fail)
        return "list", "datasets"

    return arrange


def test_a_fault_is_one_line_and_a_file(aims, failing, monkeypatch, tmp_path):
    failing(None)
    monkeypatch.setattr(listing, "installed_converters", lambda: broken(0))
    code, out, err = aims("list", "datasets")
    assert (code, out) == (os.EX_SOFTWARE, "") == (70, "")
    said = re.fullmatch(
        r"error: ZeroDivisionError: integer division or modulo by zero \((aims\.cli\.list:\d+)\); "
        r"this is a fault of AIMS: send (.*\.txt) with a report\n",
        err,
    )
    assert said, err
    path = Path(said[2])
    assert path.parent == tmp_path / "cache" / "faults"
    assert path.stat().st_mode & 0o77 == 0
    text = path.read_text("utf-8")
    for part in (
        "ZeroDivisionError: integer division or modulo by zero\n",
        "Traceback (most recent call last):",
        "in broken",
        "command: aims list datasets --data 'a b'",
        f"aims {__version__}, Python {sys.version.split()[0]}",
        "\ntorch 2.",
    ):
        assert part in text
    assert "hf_never_shown" not in text


def test_the_traceback_at_once(aims, failing, monkeypatch):
    command = failing(KeyError("x"))
    assert "Traceback" not in aims(*command)[2]
    monkeypatch.setenv("AIMS_DEBUG", "1")
    code, _, err = aims(*command)
    assert code == 70
    assert err.startswith("Traceback (most recent call last):")
    assert "KeyError: 'x' (aims.cli.list:" in err.splitlines()[-1]


def test_a_message_of_many_lines_and_control_characters(aims, failing):
    line = aims(*failing(RuntimeError("a\nb\x1b[2J" + "c" * 5000)))[2]
    assert line.count("\n") == 1
    assert "RuntimeError: a b\\u001b[2Jccc" in line
    assert len(line) < 600


def test_where_no_file_can_be_written(aims, failing, monkeypatch, tmp_path):
    command = failing(ValueError("v"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert f"send {tmp_path}/aims-fault-" in aims(*command)[2]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert "this is a fault of AIMS: AIMS_DEBUG=1 shows where it comes from" in aims(*command)[2]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted; what was finished is kept"),
        (MemoryError(), 1, "error: out of memory; what was finished is kept"),
        (OSError(errno.ENOSPC, "No space left on device", "x.png"), 1, "error: x.png: No space left on dev"),
        (EOFError("marshal data too short"), 70, "error: EOFError: marshal data too short (aims.cli"),
        (OSError("cannot identify image file"), 70, "error: OSError: cannot identify image file (aims.cli"),
    ],
)
def test_what_is_expected_keeps_its_code(aims, failing, error, code, said):
    found, out, err = aims(*failing(error))
    assert (found, out) == (code, "")
    assert err.lstrip().startswith(said)


def test_a_fault_in_a_run_of_a_sweep(monkeypatch, tmp_path):
    from aims.suites.tasks import Task, perform

    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))
    kind, line = perform(lambda task, tell: broken(0), Task(name="a", arguments={}, threads=1), print)
    assert kind == "failed"
    assert re.match(r"ZeroDivisionError: .* \(aims\.suites\.tasks:\d+\); this is a fault of AIMS: send", line)


def test_an_interruption_before_the_command_begins_is_one_line(aims, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("aims.cli.tolerate_any_text", interrupted)
    assert aims("list", "datasets") == (130, "", "error: interrupted; what was finished is kept\n")
