"""Computing runs on a Ray cluster, each in its own process on any node with free resources.

The folders of data and runs have to be on storage that all nodes share: a run resumes from its checkpoint on
another node if its first node is lost.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aims.core.errors import AimsError, InputError
from aims.core.records import RunRecord
from aims.engine.stopping import StopRequest
from aims.suites.tasks import (
    Ending,
    Message,
    Outcome,
    SweepObserver,
    Task,
    Tell,
    Work,
    outcome_of,
    perform,
    train_and_evaluate,
)

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.3
_CONNECT_SECONDS = 10.0


def require_ray() -> None:
    """Raises InputError if Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise InputError("--engine ray needs Ray: pip install 'aims-bench[ray]'") from None


def run_on_ray(
    runs: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    address: str = "local",
    cpus: int = 1,
    gpus: float = 0,
    retries: int = 0,
    observer: SweepObserver | None = None,
    work: Work = train_and_evaluate,
) -> list[Outcome]:
    """Computes runs as tasks of a Ray cluster; a failed run does not stop the others.

    A run whose process or node is lost is restarted and resumes from its checkpoint. All nodes must see the
    working directory, data and runs under the same paths, and have AIMS installed. A run that another process
    works on is submitted when that process has ended.

    On Ctrl-C or SIGTERM running runs save their state and no other starts. A second Ctrl-C ends everything at
    once.

    Args:
        runs: name and keyword arguments of each run.
        address: address of the cluster as for `ray.init`; "local" starts one on this machine.
        cpus: number of CPUs, and of threads, per run.
        gpus: number of GPUs per run; with a fraction several runs share one.
        retries: largest number of restarts of a run.
        observer: receives the progress.
        work: function that each process calls.

    Returns:
        Outcomes of the runs in order of ending; runs that were not started are left out.

    Raises:
        InputError: Ray is not installed, or no cluster answers at the address.
    """
    require_ray()
    tasks = [Task(name=name, arguments=arguments, threads=max(1, cpus)) for name, arguments in runs]
    with _connected(address):
        _warn_of_lack(cpus, gpus)
        return _Cluster(tasks, cpus, gpus, retries, observer or SweepObserver(), work).run()


@contextmanager
def _connected(address: str) -> Iterator[None]:
    import ray

    if ray.is_initialized():
        yield
        return
    _require_answer(address)
    try:
        # No logs of workers on the driver: messages of runs come through the mailbox.
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--address {address}: no Ray cluster to use there ({reason})") from None
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raises if no server listens at the address, which Ray itself would try to reach for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--address {address}: nobody answers there ({error})") from None


def _warn_of_lack(cpus: int, gpus: float) -> None:
    """Warns if no node has the requested resources; it is no error, because nodes may join later."""
    import ray

    # Any: Ray's type hints vary between versions, and type checks must pass without Ray.
    list_nodes: Any = ray.nodes
    there = [node["Resources"] for node in list_nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in there):
        wanted = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        log.warning("no node of the cluster has %s: runs wait until one joins", wanted)


class _Mailbox:
    """A Ray actor that holds messages of runs until the sweep takes them."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, Message | None]] = []

    def put(self, name: str, message: Message | None) -> None:
        """Stores a message of a run; None means that the run has started."""
        self.letters.append((name, message))

    def take(self) -> list[tuple[str, Message | None]]:
        """Returns all messages since the last call."""
        letters, self.letters = self.letters, []
        return letters


class _Cluster:
    """The tasks of one sweep on Ray, and their outcomes."""

    def __init__(
        self,
        tasks: Sequence[Task],
        cpus: int,
        gpus: float,
        retries: int,
        observer: SweepObserver,
        work: Work,
    ) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # max_calls=1: one process per run, whose memory is freed with it. This class counts retries, not Ray,
        # so that the observer hears of them.
        self.remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(_run_on_node)
        # The mailbox stays on the node of the sweep.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor: Any = ray.remote(num_cpus=0)(_Mailbox)
        self.mailbox: Any = actor.options(scheduling_strategy=here).remote()
        self.tasks = {task.name: task for task in tasks}
        self.waiting, self.busy = [*tasks], set[str]()
        self.retries, self.observer, self.work = retries, observer, work
        self.pending: dict[Any, Task] = {}
        self.begun: set[str] = set()
        self.tries = Counter[str]()
        self.outcomes: list[Outcome] = []
        self.stopping = False

    def run(self) -> list[Outcome]:
        import ray

        stop = StopRequest()
        with stop.listening():
            try:
                while self.pending or (self.waiting and not self.stopping):
                    if stop.signal is not None and not self.stopping:
                        self._stop()
                    self._submit_free()
                    if not self.pending:
                        time.sleep(_POLL_SECONDS)
                        continue
                    ended, _ = ray.wait([*self.pending], timeout=_POLL_SECONDS)
                    self._read_mail()
                    for reference in ended:
                        self._end(self.pending.pop(reference), _ending(reference))
            except BaseException:
                for reference in self.pending:
                    ray.cancel(reference, force=True)
                raise
        return self.outcomes

    def _submit_free(self) -> None:
        """Submits the waiting tasks that no other process works on."""
        for task in [] if self.stopping else [*self.waiting]:
            if task.is_busy():
                self._wait_for(task)
            else:
                self.waiting.remove(task)
                self._submit(task)

    def _wait_for(self, task: Task) -> None:
        if task.name not in self.busy:
            self.busy.add(task.name)
            self.observer.waiting(task)

    def _submit(self, task: Task) -> None:
        self.tries[task.name] += 1
        self.busy.discard(task.name)
        remote = self.remote.options(name=task.name)
        self.pending[remote.remote(self.work, task, str(Path.cwd()), self.mailbox)] = task

    def _stop(self) -> None:
        import ray

        self._read_mail()
        self.stopping = True
        running = {task.name for task in self.pending.values()} & self.begun
        self.observer.stopping(len(running))
        for reference in self.pending:
            # Raises KeyboardInterrupt in running tasks; tasks that wait for a node are dropped.
            ray.cancel(reference)

    def _read_mail(self) -> None:
        import ray

        running = {task.name for task in self.pending.values()}
        # A lost mailbox loses messages, but no results.
        with suppress(ray.exceptions.RayError):
            for name, message in ray.get(self.mailbox.take.remote()):
                if name not in running:
                    continue
                if message is None:
                    self.begun.add(name)
                    self.observer.started(self.tasks[name])
                else:
                    self.observer.hear(self.tasks[name], message)

    def _end(self, task: Task, ending: Ending) -> None:
        kind, content = ending
        if kind == "busy":
            # Another process has come first, or that of a lost node, or its lock, still lives for a moment.
            self.tries[task.name] -= 1
            self.begun.discard(task.name)
            self.waiting.append(task)
            self._wait_for(task)
            return
        if self.stopping and kind in ("died", "stopped"):
            if task.name not in self.begun:
                return
            ending = "stopped", content
        elif kind in ("died", "stopped"):
            # The sweep has not asked it to stop, so its node was lost or is shutting down.
            if self.tries[task.name] <= self.retries:
                self.observer.retrying(task, content)
                self._submit(task)
                return
            ending = "died", content
        outcome = outcome_of(task, ending, self.tries[task.name])
        self.outcomes.append(outcome)
        self.observer.ended(outcome)


def _ending(reference: Any) -> Ending:
    """Returns how a task of Ray ended, translating Ray's exceptions."""
    import ray
    from ray import exceptions

    try:
        ending: Ending = ray.get(reference)
    except exceptions.TaskCancelledError:
        return "stopped", "stopped"
    except exceptions.RayTaskError as error:
        # Raised before `perform`, for example if a node has no AIMS or another version.
        cause = error.cause if isinstance(error.cause, Exception) else error
        return "failed", f"{type(cause).__name__}: {' '.join(str(cause).split())}"
    except (exceptions.RuntimeEnvSetupError, exceptions.TaskUnschedulableError) as error:
        return "failed", " ".join(str(error).split())
    except exceptions.OutOfMemoryError:
        return "died", "its process was killed: its node was out of memory; try more --cpus-per-run"
    except exceptions.NodeDiedError:
        return "died", "its node was lost"
    except exceptions.RayError as error:
        log.debug("%s", error)
        return "died", "its process was killed or its node was lost"
    return ending


def _run_on_node(work: Work, task: Task, place: str, mailbox: Any) -> Ending:
    """Performs a task in a process on a node, in the working directory of the sweep."""

    def tell(message: Message | None) -> None:
        mailbox.put.remote(task.name, message)

    def in_place(task: Task, tell: Tell) -> RunRecord:
        try:
            os.chdir(place)
        except OSError:
            raise AimsError(
                f"node {socket.gethostname()} has no folder {place}; a Ray cluster needs the working "
                "directory, data and runs on storage that all nodes share"
            ) from None
        return work(task, tell)

    tell(None)
    return perform(in_place, task, tell)
