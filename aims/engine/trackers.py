"""The experiment trackers of `--track`: accelerate's own, with what a run of AIMS needs beside them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image
from requests.utils import get_netrc_auth

from aims.core.errors import InputError, unknown_name
from aims.core.vocabulary import TRACKERS

#: Name under which trackers list all runs: a project of W&B and Trackio, an experiment of MLflow.
PROJECT = "aims"


class Tracker:
    """One run in an experiment tracker; made by `find_tracker`.

    Subclasses say how their tracker is started, shown a picture, and left.

    Args:
        folder: folder of the run.
    """

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inner: Any = None

    def start(self, known: str | None, step: int) -> str:
        """Opens the run.

        Args:
            known: what an earlier call returned, to go on in that run; None for a new run.
            step: first step that will be logged.

        Returns:
            The tracker's identifier of the run.
        """
        raise NotImplementedError

    def configure(self, values: Mapping[str, Any]) -> None:
        """Stores the settings of a new run."""
        self.inner.store_init_configuration(dict(values))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Logs numbers by name."""
        self.inner.log(dict(values), step=step)

    def picture(self, path: Path, step: int) -> None:
        """Logs a PNG file as "samples"."""
        raise NotImplementedError

    def finish(self, *, ok: bool) -> None:
        """Closes the run; `ok` is False if its training failed."""
        self.inner.finish()

    def _begin(self, **arguments: Any) -> Any:
        # Imported here because it takes a second, and most runs have no tracker.
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        # accelerate's trackers write to its log, which wants to know its process.
        PartialState()
        self.inner = LOGGER_TYPE_TO_CLASS[self.name](**arguments)
        self.inner.start()
        return self.inner.tracker


class _TensorBoard(Tracker):
    name = "tensorboard"

    def start(self, known: str | None, step: int) -> str:
        # Steps that are computed again after a crash replace those that were logged before it.
        purge = None if known is None else step
        self._begin(run_name=self.name, logging_dir=self.folder, purge_step=purge)
        return self.folder.name

    def picture(self, path: Path, step: int) -> None:
        pixels = np.asarray(Image.open(path))[None]
        self.inner.log_images({"samples": pixels}, step=step, dataformats="NHWC")


class _WandB(Tracker):
    name = "wandb"

    def start(self, known: str | None, step: int) -> str:
        import wandb

        found = wandb.setup().settings
        # `wandb login` keeps its key in .netrc. Without one W&B would ask for it at the terminal.
        has_key = found.api_key or get_netrc_auth(found.base_url)
        mode = os.environ.get("WANDB_MODE") or (found.mode if has_key else "offline")
        known = known or uuid.uuid4().hex[:16]
        self._begin(
            run_name=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self.folder.name,
            id=known,
            # W&B's server decides what to go on with when an offline run is synced.
            resume="allow" if mode == "online" else None,
            dir=os.environ.get("WANDB_DIR", str(self.folder)),
            mode=mode,
            settings=wandb.Settings(silent=True, console="off"),
        )
        return known

    def picture(self, path: Path, step: int) -> None:
        self.inner.log_images({"samples": [Image.open(path)]}, step=step)

    def finish(self, *, ok: bool) -> None:
        self.inner.tracker.finish(exit_code=0 if ok else 1)


class _MLflow(Tracker):
    name = "mlflow"

    def start(self, known: str | None, step: int) -> str:
        import mlflow

        artifacts = None
        if "MLFLOW_TRACKING_URI" not in os.environ:
            store = (self.folder.parent / ".mlflow").resolve()
            store.mkdir(exist_ok=True)
            mlflow.set_tracking_uri(f"sqlite:///{store / 'mlflow.db'}")
            artifacts = (store / "artifacts").as_uri()
        # Runs of a sweep may start at once: the first makes the store and the experiment.
        with FileLock(self.folder.parent / ".mlflow.lock"):
            run = self._begin(
                experiment_name=PROJECT, logging_dir=artifacts, run_id=known, run_name=self.folder.name
            )
        found: str = run.info.run_id
        return found

    def picture(self, path: Path, step: int) -> None:
        import mlflow

        mlflow.log_artifact(str(path))

    def finish(self, *, ok: bool) -> None:
        import mlflow

        mlflow.end_run("FINISHED" if ok else "FAILED")


class _Trackio(Tracker):
    name = "trackio"

    def start(self, known: str | None, step: int) -> str:
        # Trackio knows runs by name, and a run that is made afresh is another one.
        known = known or f"{self.folder.name}-{uuid.uuid4().hex[:8]}"
        self._begin(
            run_name=os.environ.get("TRACKIO_PROJECT", PROJECT), name=known, resume="allow", embed=False
        )
        return known

    def picture(self, path: Path, step: int) -> None:
        import trackio

        self.inner.log({"samples": trackio.Image(str(path))}, step=step)

    def finish(self, *, ok: bool) -> None:
        import trackio

        # The run's own `finish` would be called once more, with its message, when the program ends.
        trackio.finish()


_KINDS: tuple[type[Tracker], ...] = (_TensorBoard, _WandB, _MLflow, _Trackio)
_BY_NAME = {kind.name: kind for kind in _KINDS}


def require_tracker(name: str) -> None:
    """Checks that a tracker can be used.

    Raises:
        InputError: no tracker has that name, or its package is not installed.
    """
    if name not in TRACKERS:
        raise unknown_name("tracker", name, TRACKERS)
    from accelerate.tracking import get_available_trackers

    if name not in map(str, get_available_trackers()):
        raise InputError(f"--track {name} needs the package {name}: pip install 'aims-bench[tracking]'")


def find_tracker(name: str, folder: Path) -> Tracker:
    """Returns the tracker of that name for the run in a folder; it is not started yet."""
    return _BY_NAME[name](folder)
