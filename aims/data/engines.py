"""Where the shards of a conversion are written: in this process, in several, or on a Ray cluster.

All give the same bytes: a shard depends on its images alone, and is renamed when it is whole.
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

#: How often in a row a shard whose worker process was killed is given to another one.
RETRIES = 3


def choose_engine(name: str, jobs: int | None) -> Engine:
    """The engine "local", in `jobs` processes, or "ray".

    Raises:
        InputError: there is none of that name, it is not installed, or it takes no number of jobs.
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
        AimsError: processes were killed again and again without finishing a shard.
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
            # The first shards were being written: they come last now, so that the others are finished.
            pending = pending[jobs:] + pending[:jobs]
            # Mostly memory was short, so that fewer processes may succeed.
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
    have AIMS installed. Ray itself gives the work of a dead worker or node to another one.

    Raises:
        AimsError: a node does not see the folders, or workers died again and again.
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
                    # Ray's error is a traceback; its cause is the error itself.
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
    """Writes a shard from the folder in which the command was called, so that relative paths hold."""
    try:
        os.chdir(place)
    except OSError:
        raise AimsError(
            f"node {socket.gethostname()} has no folder {place}; a Ray cluster needs the working directory, "
            "the raw data and the target on a file system that all nodes share"
        ) from None
    return write(shard)
