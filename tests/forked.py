"""Commands of AIMS as forked processes: importing torch takes longer than most of them do."""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aims.cli

#: Exit codes that `aims --help` names, less that of a fault.
DOCUMENTED = (0, 1, 2, 130)
#: Imported before processes are forked.
PACKAGES = tuple(
    f"aims.{name}" for name in ("api", "cli", "converters", "data", "engine", "prediction", "reports")
)
#: Seconds after which a command hangs.
LONGEST = 300
#: Seconds that a process may go on after the command that began it.
_FAREWELL = 20
_PAUSE = 0.002


def prepare() -> None:
    """Imports what every command would import, and registers the backbone of `toys.py`."""
    import datasets  # noqa: F401
    import torch
    import toys  # noqa: F401

    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            importlib.import_module(module.name)
    # No thread may exist in a process that is forked.
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (128 + number of a signal), output, and seconds."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    left_behind: bool = False

    @property
    def wrongs(self) -> list[str]:
        """What no command may do, whatever befell it."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error: ")]
        found = {
            "a traceback": "Traceback" in self.stdout + self.stderr,
            "a refusal that is not one line": self.code in (1, 2) and errors != lines[-1:],
            "an error with exit code 0": self.code == 0 and bool(errors),
            "a process is left behind": self.left_behind,
        }
        return [wrong for wrong, happened in found.items() if happened]


class Process:
    """Arguments given to AIMS in a forked process.

    Args:
        arguments: of the command line.
        size: bytes that a file may have.
    """

    def __init__(self, arguments: Sequence[str], size: int | None = None) -> None:
        pipes = [os.pipe(), os.pipe()]
        sys.stdout.flush()
        self._began = time.perf_counter()
        self._process = os.fork()
        if self._process == 0:
            _become([*arguments], [end for _, end in pipes], size)
        for end, other in pipes:
            os.close(other)
            os.set_blocking(end, False)
        self._open = {end: bytearray() for end, _ in pipes}
        self._texts = [*self._open.values()]

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._began

    def send(self, number: int) -> None:
        """Sends a signal."""
        os.kill(self._process, number)

    def wait(self, each: Callable[[], None] = lambda: None) -> Ended:
        """Waits until it ends, and calls `each` all the while."""
        status = None
        while status is None:
            each()
            self.drain()
            done, found = os.waitpid(self._process, os.WNOHANG)
            if done:
                status = found
            elif self.seconds > LONGEST:
                self.send(signal.SIGKILL)
                status = os.waitpid(self._process, 0)[1]
                self._texts[1] += b"\nTraceback: the command did not end\n"
            time.sleep(_PAUSE)
        seconds = end = self.seconds
        # Whoever is left holds the pipes open; all are in the group of the command.
        while self._open and end - seconds < _FAREWELL:
            self.drain()
            time.sleep(_PAUSE)
            end = self.seconds
        left_behind = bool(self._open)
        if left_behind:
            os.killpg(self._process, signal.SIGKILL)
            for pipe in self._open:
                os.close(pipe)
        code = os.waitstatus_to_exitcode(status)
        outputs = [text.decode(errors="replace") for text in self._texts]
        return Ended(code if code >= 0 else 128 - code, *outputs, seconds, left_behind)

    def drain(self) -> None:
        """Takes what it has printed: a pipe that is full would hold it up."""
        for end, text in [*self._open.items()]:
            try:
                part = os.read(end, 1 << 16)
            except BlockingIOError:
                continue
            text += part
            if not part:
                os.close(end)
                del self._open[end]


def _become(arguments: list[str], ends: list[int], size: int | None) -> None:
    """Turns this process into the command; never returns."""
    code = 99
    try:
        os.setpgid(0, 0)
        for number, end in enumerate(ends, start=1):
            os.dup2(end, number)
        os.closerange(3, 256)
        # As at the start of a program, whatever this one's output is.
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        if size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        sys.argv = ["aims", *arguments]
        aims.cli.main(arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
