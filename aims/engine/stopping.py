"""Stopping a training on a signal, once its state is saved."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from aims.core.errors import AimsError


class Stopped(AimsError):
    """Raised when a run was asked to stop and has saved its state."""

    # What a shell reports after Ctrl-C: 128 plus SIGINT.
    exit_code = 130


class StopRequest:
    """Records Ctrl-C, SIGTERM and SIGHUP until the current step ends. A second signal interrupts at once.

    SIGHUP says that the terminal was closed; under `nohup` it stays ignored.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catches the signals inside the `with` block, if it runs in the main thread."""
        # Python allows signal handlers in the main thread only.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signals.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._set) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _set(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        if number == signal.SIGHUP:
            _leave_terminal()


def _leave_terminal() -> None:
    """Sends what is written to a terminal from now on nowhere: writing to a closed one fails."""
    with open(os.devnull, "wb") as nowhere:
        for stream in (1, 2):
            with suppress(OSError):
                if stat.S_ISCHR(os.fstat(stream).st_mode):
                    os.dup2(nowhere.fileno(), stream)
