"""The options of `aims sweep` that select where runs are executed: on this machine or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aims.core.errors import InputError

if TYPE_CHECKING:
    from aims.suites.plan import PlannedRun
    from aims.suites.tasks import Outcome, SweepObserver

ENGINES = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where runs are executed; an option that was not given is None.

    Attributes:
        engine: one of `ENGINES`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        retries: how often a run that crashed is started again.
        jobs: number of concurrent runs on this machine; engine "local" only.
        address: address of the Ray cluster; engine "ray" only.
        cpus_per_run: CPU cores that Ray reserves per run; engine "ray" only.
        gpus_per_run: GPUs that Ray reserves per run, a whole number or a part of one; engine "ray" only.

    Raises:
        InputError: the options contradict each other, or Ray is not installed.
    """

    engine: str
    device: str
    retries: int
    jobs: int | None
    address: str | None
    cpus_per_run: int | None
    gpus_per_run: float | None

    def __post_init__(self) -> None:
        if self.engine == "ray":
            self._check_ray()
            return
        for name in ("address", "cpus_per_run", "gpus_per_run"):
            if getattr(self, name) is not None:
                raise InputError(f"--{name.replace('_', '-')} goes with --engine ray alone; leave it out")

    def _check_ray(self) -> None:
        from aims.suites.cluster import require_ray

        if self.jobs is not None:
            raise InputError(
                "--jobs does not go with --engine ray, which fills the cluster; give --cpus-per-run"
            )
        if self.device not in ("auto", "cpu", "cuda"):
            raise InputError(
                f"--device {self.device} does not go with --engine ray, which deals out the GPUs; give cuda"
            )
        gpus = self.gpus_of_a_run
        if gpus > 1 and gpus % 1:
            raise InputError(f"--gpus-per-run {gpus:g}: give a whole number, or a part of one GPU")
        if (self.device, bool(gpus)) in (("cpu", True), ("cuda", False)):
            raise InputError(f"--gpus-per-run {gpus:g} does not go with --device {self.device}")
        require_ray()

    @property
    def gpus_of_a_run(self) -> float:
        """Number of GPUs of each run on Ray."""
        return float(self.device == "cuda") if self.gpus_per_run is None else self.gpus_per_run

    @property
    def planning_device(self) -> str:
        """Device that runs are planned for: a machine that submits to a cluster may have no GPU."""
        return "cpu" if self.engine == "ray" else self.device

    @property
    def kind(self) -> str:
        """Type of the device that runs are executed on: "cpu" or "cuda"."""
        # Imported here: torch takes seconds.
        from aims.engine.plan import find_device

        if self.engine == "ray":
            return "cuda" if self.gpus_of_a_run else "cpu"
        return find_device(self.device).type

    def at_a_time(self, runs: int) -> int:
        """Returns the maximum number of concurrent runs; on a cluster, whose size is unknown, `runs`."""
        return runs if self.engine == "ray" else self.jobs or 1

    def make(self, runs: Sequence[PlannedRun], observer: SweepObserver) -> list[Outcome]:
        """Executes the runs and returns their outcomes."""
        from aims.suites.cluster import run_on_ray
        from aims.suites.local import run_here

        tasks = [(run.config.run_name, {**run.arguments, "device": self.device}) for run in runs]
        if self.engine == "local":
            return run_here(tasks, jobs=self.jobs or 1, retries=self.retries, observer=observer)
        return run_on_ray(
            tasks,
            address=self.address or "local",
            cpus=self.cpus_per_run or 1,
            gpus=self.gpus_of_a_run,
            retries=self.retries,
            observer=observer,
        )
