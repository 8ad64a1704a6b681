"""Verification of a dataset before a run, done once and remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from aims.core.errors import InputError, explain
from aims.core.files import cache_folder, sha256_json, write_text
from aims.data.format import CARD, DROPPED
from aims.data.manifest import MANIFEST
from aims.data.read import Dataset
from aims.data.verify import find_problems
from aims.version import __version__

log = logging.getLogger(__name__)


def require_verified(
    dataset: Dataset,
    *,
    on_total: Callable[[int], None] = lambda images: None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> None:
    """Checks a dataset as `aims.data.verify.verify_dataset` does, unless it passed before and is unchanged.

    What passed is remembered in the cache folder, as the dataset may lie where nothing can be written: by the
    sizes, times and numbers of its files, as Git does it.

    Args:
        dataset: the dataset.
        on_total: called with the number of images, if they have to be read.
        on_progress: called with the number of images checked since the last call.

    Raises:
        InputError: the dataset violates the format; the message names the first problem.
    """
    folder = dataset.folder.resolve()
    memory = cache_folder() / "verified" / sha256_json(str(folder))
    # Before the files are read: what changes meanwhile has not passed.
    state = _state(folder)
    if memory.is_file() and memory.read_text("utf-8") == state:
        return
    on_total(dataset.manifest.images)
    for problem in find_problems(dataset, on_progress):
        raise InputError(
            f"{dataset.folder}: {problem}; `aims verify {dataset.folder}` lists all, and --trust takes the "
            "set as it is"
        )
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text(memory, state)
    except OSError as error:
        log.warning("%s is verified for each run anew: %s", dataset.folder, explain(error))


def _state(folder: Path) -> str:
    """Returns a digest of the sizes, times and numbers of a dataset's files, and of the version of AIMS."""
    stats = {}
    for path in (*(folder / name for name in (MANIFEST, CARD, DROPPED)), *sorted(folder.glob("data/*"))):
        if path.is_file():
            stat = path.stat()
            stats[path.name] = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return sha256_json([__version__, stats])
