"""What a signal does to a training: it is noted, a second one ends it, and a closed terminal is no error."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from aims.engine.stopping import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_a_second_one_ends_it(number):
    before, stop = signal.getsignal(number), StopRequest()
    with stop.listening():
        signal.raise_signal(number)
        assert stop.signal == number
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_under_nohup_a_closed_terminal_is_no_reason_to_stop():
    before, stop = signal.signal(signal.SIGHUP, signal.SIG_IGN), StopRequest()
    try:
        with stop.listening():
            signal.raise_signal(signal.SIGHUP)
            assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


CHILD = """
import signal, sys, time
from aims.engine.stopping import StopRequest
stop = StopRequest()
with stop.listening():
    print("ready", flush=True)
    while stop.signal is None:
        time.sleep(0.01)
    # To a terminal that is gone.
    print("saving", flush=True)
    print("saving", file=sys.stderr, flush=True)
    open(sys.argv[1], "w").write(signal.Signals(stop.signal).name)
"""


def test_a_closed_terminal_is_a_signal_and_no_error_of_writing(tmp_path):
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        # A session of its own, whose terminal this is: it is told when the terminal goes.
        ["setsid", "--ctty", sys.executable, "-c", CHILD, str(tmp_path / "saved")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    assert os.read(ours, 5) == b"ready"
    os.close(ours)
    assert child.wait(30) == 0
    assert (tmp_path / "saved").read_text() == "SIGHUP"
