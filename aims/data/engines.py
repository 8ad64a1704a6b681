"""Engines that write the shards of a conversion: in this process, in several, or on a Ray cluster.

All engines write the same bytes: a shard depends only on its images and is renamed when it is complete.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from aims.core.errors import AimsError, InputError
from aims.core.processes import process_pool
from aims.data.shards import Engine, Finished, Progress, Shard, ShardRecord, Write

log = logging.getLogger(__name__)

#: Number of retries in a row after a worker process was killed.
RETRIES = 3


def choose_engine(name: str, jobs: int | None) -> Engine:
    """Returns the engine "local", with `jobs` processes, or "ray".

    Raises:
        InputError: the name is unknown, Ray is not installed, or `jobs` is given with "ray".
    """
    if name == "local":
        return one_by_one if jobs in (None, 1) else partial(in_processes, jobs=jobs)
    if name != "ray":
        raise InputError(f'engine {name!r}: use "local" or "ray"')
    if jobs is not None:
        raise InputError(
            "--jobs does not go with --engine ray, which uses the CPUs of the cluster; leave it out"
        )
    try:
        import ray  # noqa: F401
    except ImportError:
        raise InputError("--engine ray needs Ray: pip install 'aims-bench[ray]'") from None
    return on_ray


def one_by_one(write: Write, shards: Sequence[Shard], on_progress: Progress) -> Finished:
    """Writes the shards in this process."""
    for shard in shards:
        yield shard, write(shard, on_progress)


def in_processes(write: Write, shards: Sequence[Shard], on_progress: Progress, *, jobs: int) -> Finished:
    """Writes the shards in `jobs` processes.

    Raises:
        AimsError: processes were killed `RETRIES` + 1 times in a row without finishing a shard.
    """
    pending, deaths = list(shards), 0
    while pending:
        try:
            for shard, record in _in_pool(write, pending, min(jobs, len(pending))):
                pending.remove(shard)
                deaths = 0
                on_progress(len(shard.image_ids))
                yield shard, record
        except BrokenProcessPool:
            deaths += 1
            if deaths > RETRIES:
                raise _gave_up(pending[0]) from None
            # The first shards were being written: they are retried last, after all others.
            pending = pending[jobs:] + pending[:jobs]
            # The usual cause is a lack of memory, so fewer processes may succeed.
            jobs = max(1, jobs // 2)
            log.warning("a worker process was killed (out of memory?); its images are read again")


def _in_pool(write: Write, shards: Sequence[Shard], jobs: int) -> Finished:
    pool = process_pool(jobs)
    try:
        futures = {pool.submit(write, shard): shard for shard in shards}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _gave_up(shard: Shard) -> AimsError:
    images = f" (images {shard.image_ids[0]!r} to {shard.image_ids[-1]!r})" if shard.image_ids else ""
    return AimsError(
        f"worker processes were killed {RETRIES + 1} times in a row (out of memory?), last over "
        f"{shard.file}{images}; finished shards are kept: free some memory and run the same command again"
    )


def on_ray(write: Write, shards: Sequence[Shard], on_progress: Progress) -> Finished:
    """Writes the shards as tasks of the Ray cluster that `ray.init()` finds, or starts on this machine.

    All nodes must see the raw data, the target folder and the working directory under the same paths, and
    have AIMS installed. Ray itself reschedules the tasks of a dead worker or node.

    Raises:
        AimsError: a node does not see the working directory, or workers died repeatedly.
    """
    import ray

    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    try:
        task = ray.remote(max_retries=RETRIES)(_write_at).remote
        place = str(Path.cwd())
        pending = {task(write, shard, place): shard for shard in shards}
        try:
            while pending:
                (done, *_), _ = ray.wait(list(pending))
                shard = pending.pop(done)
                try:
                    record = ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    # RayTaskError wraps the remote traceback; its cause is the original exception.
                    raise error.cause from None
                except ray.exceptions.RayError as error:
                    log.debug("%s: %s", shard.file, error)
                    raise _gave_up(shard) from None
                on_progress(len(shard.image_ids))
                yield shard, record
        finally:
            for rest in pending:
                ray.cancel(rest)
    finally:
        if started:
            ray.shutdown()


def _write_at(write: Write, shard: Shard, place: str) -> ShardRecord:
    """Writes a shard from the working directory of the caller, so that relative paths resolve."""
    try:
        os.chdir(place)
    except OSError:
        raise AimsError(
            f"node {socket.gethostname()} has no folder {place}; a Ray cluster needs the working directory, "
            "the raw data and the target on a file system that all nodes share"
        ) from None
    return write(shard)
