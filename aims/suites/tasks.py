"""The interface between a sweep and the processes of its runs: tasks, messages, outcomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aims.core.errors import AimsError, Busy, explain
from aims.core.faults import describe_fault
from aims.core.processes import share_cores
from aims.core.records import RunRecord
from aims.engine.lock import is_locked
from aims.engine.stopping import Stopped

#: Default number of restarts of a crashed run within a sweep.
RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class Task:
    """The work of one process: a run.

    Attributes:
        name: name of the run's folder.
        arguments: keyword arguments of `aims.engine.plan.plan`.
        threads: largest number of threads for PyTorch.
    """

    name: str
    arguments: Mapping[str, Any]
    threads: int

    def is_busy(self) -> bool:
        """Returns whether a process works on the run."""
        return is_locked(Path(self.arguments.get("runs", "runs")) / self.name)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a task ended.

    Attributes:
        task: the task.
        status: "finished", "failed", or "stopped" with its state saved.
        reason: one line; empty if the run finished.
        record: record of the run; None unless it finished.
        tries: number of starts; above 1 after crashes.
    """

    task: Task
    status: Literal["finished", "failed", "stopped"]
    reason: str = ""
    record: RunRecord | None = None
    tries: int = 1


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """The current stage of a task.

    Attributes:
        stage: "train", or another stage of a run.
        epoch: current epoch, from 1; None outside training.
        epochs: number of epochs of the training.
    """

    stage: str
    epoch: int | None = None
    epochs: int | None = None

    @property
    def words(self) -> str:
        """The progress as text, e.g. "epoch 3/50"."""
        return self.stage if self.epoch is None else f"epoch {self.epoch}/{self.epochs}"


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A warning that a task has logged, as one line."""

    text: str


#: A message of a running task.
Message = RunProgress | Warned
Tell = Callable[[Message], None]
Work = Callable[[Task, Tell], RunRecord]
#: How a task ended: "finished" with its record; "failed", "stopped", "died", or "busy" if another process
#: works on the run, with a line of reason.
Ending = tuple[str, Any]


class SweepObserver:
    """Receives the progress of a sweep. This base class ignores it."""

    def started(self, task: Task) -> None:
        """Called when a task starts."""

    def waiting(self, task: Task) -> None:
        """Called when a task waits for another process, which works on its run."""

    def progress(self, task: Task, progress: RunProgress) -> None:
        """Called when a task enters a stage or an epoch."""

    def warning(self, task: Task, text: str) -> None:
        """Called when a task has logged a warning."""

    def retrying(self, task: Task, reason: str) -> None:
        """Called when a task has crashed and will be restarted."""

    def ended(self, outcome: Outcome) -> None:
        """Called when a task has ended for good."""

    def stopping(self, running: int) -> None:
        """Called when the sweep stops; `running` tasks are saving their state."""

    def hear(self, task: Task, message: Message) -> None:
        """Dispatches a message of a task to `progress` or `warning`."""
        if isinstance(message, RunProgress):
            self.progress(task, message)
        else:
            self.warning(task, message.text)


def train_and_evaluate(task: Task, tell: Tell) -> RunRecord:
    """Computes or resumes a run, and returns its record."""
    # Imported here because the parent process may not need torch.
    import torch

    from aims.engine.plan import plan
    from aims.engine.run import run
    from aims.engine.train import RunObserver

    class Teller(RunObserver):
        def stage(self, name: str, total: int, done: int = 0) -> None:
            epochs = job.config.epochs
            epoch = done * epochs // total + 1 if name == "train" else None
            tell(RunProgress(stage=name, epoch=epoch, epochs=epochs))

    # A smaller number in the environment (OMP_NUM_THREADS) prevails.
    torch.set_num_threads(min(task.threads, torch.get_num_threads()))
    job = plan(**task.arguments)
    record, _ = run(job, observer=Teller())
    return record


def perform(work: Work, task: Task, tell: Tell) -> Ending:
    """Performs a task in its own process, and turns exceptions into an ending with a reason.

    Raises:
        BrokenPipeError: the sweep has ended.
    """
    share_cores()
    logging.basicConfig(level=logging.WARNING, handlers=[_Warnings(tell)], force=True)
    try:
        return "finished", work(task, tell)
    except Stopped as error:
        return "stopped", str(error)
    except Busy as error:
        return "busy", str(error)
    except AimsError as error:
        return "failed", str(error)
    except BrokenPipeError:
        raise
    except MemoryError:
        return "failed", "out of memory; try fewer runs at a time"
    except OSError as error:
        return "failed", explain(error)
    except Exception as error:
        return "failed", describe_fault(error)


def outcome_of(task: Task, ending: Ending, tries: int) -> Outcome:
    """Returns the outcome of a task after `tries` starts; a task that "died" has failed."""
    kind, content = ending
    if kind == "finished":
        return Outcome(task=task, status="finished", record=content, tries=tries)
    if kind == "died" and tries > 1:
        content = f"{content} (begun {tries} times)"
    return Outcome(
        task=task, status="stopped" if kind == "stopped" else "failed", reason=content, tries=tries
    )


class _Warnings(logging.Handler):
    """A logging handler that sends warnings to the sweep."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(Warned(text=record.getMessage()))
