"""Kills runs at random moments, for `unit/engine/test_run.py`: python killed_runs.py DATASET OUT KILLS SEED.

Runs of the toy backbone are made one after the other, in OUT/0, OUT/1, ... Each is killed with SIGKILL a few
times - at a moment of the clock, or in the middle of writing a file - and begun again, and ends in its own
time. Prints one line of JSON: how often each kind of kill came, at least once each and KILLS times in all.

A process that has imported all is forked for each attempt: importing torch takes longer than these runs.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import toys

from aims.core import files
from aims.data.read import Dataset
from aims.engine import checkpoint
from aims.engine import run as making
from aims.methods import build_model

#: How often a run is killed before it may end.
KILLS_EACH = 10
#: How it is killed: by the clock most often.
KINDS = ("clock", "clock", "half written", "before renaming", "just renamed")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_written(save: Callable[..., None]) -> Callable[..., None]:
    """A save that dies with half of the bytes on the disk."""

    def half(tensors: Any, path: Path, metadata: Any) -> None:
        save(tensors, path, metadata)
        os.truncate(path, path.stat().st_size // 2)
        die()

    return half


def dies_at(nth: int, work: Callable[..., None], last: Callable[..., None]) -> Callable[..., None]:
    """`work`, of which the nth call is `last`."""
    calls = 0

    def call(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        (last if calls == nth else work)(*arguments)

    return call


def before_renaming(*_: Any) -> None:
    die()


def just_renamed(*paths: Any) -> None:
    os.rename(*paths)
    die()


def attempt(dataset: Path, runs: Path, prepare: Callable[[], None], seconds: float | None) -> bool:
    """Goes on with a run in a process of its own; whether it was killed before it ended."""
    child = os.fork()
    if child == 0:
        prepare()
        making.run(toys.job(Dataset.open(dataset), runs, epochs=6))
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, f"an attempt ended with status {status}"
    return False


def main(dataset: Path, out: Path, kills: int, seed: int) -> Counter[str]:
    # No thread may exist in a process that is forked.
    torch.set_num_threads(1)
    # What torch imports when it counts for the first time would be imported by every child.
    making.count_flops(
        build_model(method="simcmf", tuning="full", backbone="sam-toy", channels=2, weights=None, seed=0)
    )
    rng = random.Random(seed)
    began = time.perf_counter()
    attempt(dataset, out / "unbroken", lambda: None, None)
    whole = time.perf_counter() - began
    save, replace = checkpoint.save_file, os.replace
    came: Counter[str] = Counter()

    def enough() -> bool:
        return came.total() >= kills and came.keys() >= set(KINDS)

    for runs in map(str, itertools.count()):
        for _ in range(KILLS_EACH):
            kind = rng.choice(KINDS)
            nth = rng.randint(1, 4)

            def prepare(kind: str = kind, nth: int = nth) -> None:
                if kind == "half written":
                    checkpoint.save_file = dies_at(nth, save, half_written(save))
                elif kind in ("before renaming", "just renamed"):
                    last = before_renaming if kind == "before renaming" else just_renamed
                    files.os.replace = dies_at(nth, replace, last)

            if not attempt(dataset, out / runs, prepare, rng.uniform(0, whole) if kind == "clock" else None):
                break
            came[kind] += 1
            if enough():
                break
        attempt(dataset, out / runs, lambda: None, None)
        if enough():
            break
    return came


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
