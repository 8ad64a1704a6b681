"""What a sweep and those that make its runs agree on: tasks, how they end, what is told meanwhile."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aims.core.errors import AimsError, explain
from aims.core.records import RunRecord

#: How often a run that crashed is begun again in one sweep, unless something else is asked for.
RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a process is given.

    Attributes:
        name: of the run's folder.
        arguments: keyword arguments of `aims.engine.plan.plan`.
        threads: how many threads torch may use.
    """

    name: str
    arguments: Mapping[str, Any]
    threads: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended.

    Attributes:
        task: the task.
        status: "finished"; "failed"; "stopped", saved as far as it was.
        reason: one line, unless it finished.
        record: the run's record, if it finished.
        tries: how often it was begun; more than once where it crashed.
    """

    task: Task
    status: Literal["finished", "failed", "stopped"]
    reason: str = ""
    record: RunRecord | None = None
    tries: int = 1


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """What a task does now.

    Attributes:
        stage: "train", or another stage of a run.
        epoch: the epoch of a training that has begun, from 1; None where the stage has none.
        epochs: of the training.
    """

    stage: str
    epoch: int | None = None
    epochs: int | None = None

    @property
    def words(self) -> str:
        """The same for people."""
        return self.stage if self.epoch is None else f"epoch {self.epoch}/{self.epochs}"


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A line that a task has logged as a warning."""

    text: str


#: What a task sends while it works.
Message = RunProgress | Warned
Tell = Callable[[Message], None]
Work = Callable[[Task, Tell], RunRecord]
#: How work ended: "finished" with its record, "failed" or "stopped" with a line that says why.
Ending = tuple[str, Any]


class SweepObserver:
    """What a sweep reports while it works; this one keeps quiet."""

    def started(self, task: Task) -> None:
        """A task begins."""

    def progress(self, task: Task, progress: RunProgress) -> None:
        """A task enters a stage, or an epoch."""

    def warning(self, task: Task, text: str) -> None:
        """A task has warned of something."""

    def retrying(self, task: Task, reason: str) -> None:
        """A task has crashed and will be begun again."""

    def ended(self, outcome: Outcome) -> None:
        """A task has ended."""

    def stopping(self, running: int) -> None:
        """All was asked to stop: so many tasks save themselves."""

    def hear(self, task: Task, message: Message) -> None:
        """Passes on what a task has sent."""
        if isinstance(message, RunProgress):
            self.progress(task, message)
        else:
            self.warning(task, message.text)


def train_and_evaluate(task: Task, tell: Tell) -> RunRecord:
    """Makes a run, or goes on with it, and returns its record."""
    # Imported here: the parent may be a program that never needs torch.
    import torch

    from aims.engine.plan import plan
    from aims.engine.run import run
    from aims.engine.train import RunObserver

    class Teller(RunObserver):
        def stage(self, name: str, total: int, done: int = 0) -> None:
            epochs = job.config.epochs
            epoch = done * epochs // total + 1 if name == "train" else None
            tell(RunProgress(stage=name, epoch=epoch, epochs=epochs))

    torch.set_num_threads(min(task.threads, torch.get_num_threads()))
    job = plan(**task.arguments)
    record, _ = run(job, observer=Teller())
    return record


def perform(work: Work, task: Task, tell: Tell) -> Ending:
    """Does a task's work in a process of its own, and puts what it raises into words.

    Raises:
        BrokenPipeError: nobody listens any more.
    """
    logging.basicConfig(level=logging.WARNING, handlers=[_Warnings(tell)], force=True)
    try:
        return "finished", work(task, tell)
    except AimsError as error:
        # As training stops: see aims.engine.train.Stopped.
        return "stopped" if error.exit_code == 128 + signal.SIGINT else "failed", str(error)
    except BrokenPipeError:
        raise
    except MemoryError:
        return "failed", "out of memory; try fewer runs at a time"
    except OSError as error:
        return "failed", explain(error)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"


def outcome_of(task: Task, ending: Ending, tries: int) -> Outcome:
    """How a task ended, after it was begun so many times; one that "died" has failed."""
    kind, content = ending
    if kind == "finished":
        return Outcome(task=task, status="finished", record=content, tries=tries)
    if kind == "died" and tries > 1:
        content = f"{content} (begun {tries} times)"
    return Outcome(
        task=task, status="stopped" if kind == "stopped" else "failed", reason=content, tries=tries
    )


class _Warnings(logging.Handler):
    """Hands log lines to the sweep."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(Warned(text=record.getMessage()))
