"""Work for processes of a sweep that needs no torch: it begins in a moment."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from aims.core.errors import AimsError, Busy
from aims.engine.stopping import Stopped
from aims.suites.tasks import RunProgress


def act(task, tell):
    """Does what the task's arguments say, and leaves a file that says that it was begun."""
    what, folder = task.arguments["what"], Path(task.arguments["folder"])
    begun = folder / f"{task.name}.begun"
    again = begun.exists()
    begun.write_text(str(os.getpid()))
    if what == "fail":
        raise AimsError("the loss is nan")
    if what == "busy-once" and not again:
        raise Busy("another process is working on this run")
    if what == "bug":
        raise ZeroDivisionError("two\nlines")
    if what == "die" or (what == "die-once" and not again):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "leave":
        os._exit(7)
    if what == "warn":
        logging.getLogger("aims").warning("a channel is constant")
    if what == "save":
        signal.signal(signal.SIGTERM, lambda number, frame: (_ for _ in ()).throw(Stopped("saved")))
        tell(RunProgress(stage="ready"))
        time.sleep(60)
    if what == "wait":
        tell(RunProgress(stage="ready"))
        time.sleep(60)
    if what == "meet":
        # Goes on once another process is at work too.
        while len(list(folder.glob("*.begun"))) < 2:
            time.sleep(0.01)
    tell(RunProgress(stage="done"))
    return {"threads": task.threads, "group": os.getpgrp(), "pid": os.getpid()}
