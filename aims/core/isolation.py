"""Calls of C libraries that a damaged file can crash, made in a child process.

The first call starts the child, which serves all later ones, so that a call costs a round trip through a
pipe. If the child dies, that call raises `Crashed`, and the next one starts another child.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from aims.core.errors import AimsError

P = ParamSpec("P")
R = TypeVar("R")


class Crashed(AimsError):
    """Raised for a call during which the child process died; the message says of what."""


def isolated(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls a function in the child process; returns its result or raises its exception.

    Args:
        function: function at the top level of a module. The child imports that module and, unlike a pool of
            `multiprocessing`, never the main program.
        args: its arguments; they are pickled, as the result is.
        kwargs: its keyword arguments.

    Raises:
        Crashed: the child died.
    """
    return _CHILD.call(function, args, kwargs)  # type: ignore[no-any-return]


class _Child:
    """The child process of this process; requests and answers are pickles on its standard streams."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.end)
        os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        """Gives up the child in a fork of its parent, which would otherwise share its pipes."""
        self._lock = threading.Lock()
        if self._process is not None:
            self._process.returncode = 0  # not this process's to wait for
            self.end()

    def call(self, *request: Any) -> Any:
        with self._lock:
            self._process = process = self._process or _start()
            try:
                pickle.dump(request, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)  # type: ignore[arg-type]
                process.stdin.flush()  # type: ignore[union-attr]
                result, error = pickle.load(process.stdout)  # type: ignore[arg-type]
            except (OSError, EOFError, pickle.UnpicklingError):
                raise Crashed(_reason(self.end())) from None
            except BaseException:
                # Interrupted: the answer that is still to come belongs to no later request.
                process.kill()
                self.end()
                raise
        if error is not None:
            raise error
        return result

    def end(self) -> int:
        """Ends the process, which stops when its input is closed; returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # a dead process does not read the rest of a request
                pipe.close()  # type: ignore[union-attr]
        return process.wait()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: modules in the working directory must not stand in for those of libraries.
        [sys.executable, "-P", "-c", f"from {__name__} import _serve; _serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A crash is reported in one line of our own; "malloc(): corrupted" would be another.
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _reason(code: int) -> str:
    if code >= 0:
        return f"its reader ended with exit code {code}"
    memory = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"its reader crashed with {signal.Signals(-code).name}{memory}"


def _serve() -> None:
    """Answers requests until the input is closed; runs in the child."""
    # Ctrl-C reaches all processes of a terminal; the parent reports it and ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a library prints must not get between the answers.
    os.dup2(2, 1)
    while True:
        try:
            function, args, kwargs = pickle.load(requests)
        except EOFError:
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = function(*args, **kwargs), None
        except Exception as error:
            answer = None, error
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()
        # Not kept while waiting for the next request.
        del function, args, kwargs, answer


_CHILD = _Child()
