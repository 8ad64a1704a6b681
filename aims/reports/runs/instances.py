"""Reads the scored instances of runs, checks and identifies them, and picks some to show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aims.core.errors import InputError
from aims.core.instance_files import read_batches, unreadable
from aims.core.records import INSTANCE_SCHEMA, INSTANCES
from aims.reports.statistics.intervals import FloatArray

#: Identifies an instance: (image_id, instance_id).
Key = tuple[str, int]
#: Rows of `instances.parquet` by instance.
Scored = Mapping[Key, Mapping[str, Any]]

# Only the columns that scores need: the predicted masks in the same file are many times larger.
_NAMES = ("image_id", "group", "instance_id", "iou", "area")
# Files of earlier versions lack the first of these, and the second can stand for it.
_PIXELS, _CLICK_SIZE = "pixels", "click_size"
# Size of the cache of `sort_names`: a report reads thousands of runs, but of few test sets.
_TEST_SETS = 32


def read_columns(
    folder: Path, *, clicked: bool, most: int
) -> tuple[list[str], list[str], list[int], FloatArray, np.ndarray, np.ndarray | None]:
    """Reads image id, group, instance id, IoU and area of every instance, and the size of its image.

    Args:
        folder: the run's folder.
        clicked: whether `click_size` is the size of the image, so that it can replace a missing `pixels`.
        most: largest number of rows, checked before any is read.

    Returns:
        Three lists and three arrays of shape (instances,); an instance without a group has its image id as
        the group. The last is the number of pixels of the instance's image, or None where it is unknown.

    Raises:
        InputError: the file is missing, unreadable or empty, or lacks a column or a value.
    """
    path = folder / INSTANCES
    table = _read_table(path, _NAMES, optional=[_PIXELS], most=most)
    if not len(table):
        raise InputError(f"{path}: holds no instances")
    if any(table[name].null_count for name in _NAMES if name != "group"):
        raise InputError(f"{path}: a value is missing that only group may lack")
    image_ids, group_ids = (table[name].to_pylist() for name in ("image_id", "group"))
    if table["group"].null_count:
        group_ids = [
            name if group is None else group for name, group in zip(image_ids, group_ids, strict=True)
        ]
    instance_ids, iou, areas = (_numbers(table[name]) for name in ("instance_id", "iou", "area"))
    # The comparisons are false for NaN, so that it is refused too.
    if not bool(((iou >= 0) & (iou <= 1)).all()):
        raise InputError(f"{path}: an iou is not a number from 0 to 1")
    pixels: np.ndarray | None = None
    if _PIXELS in table.column_names and not table[_PIXELS].null_count:
        pixels = _numbers(table[_PIXELS])
        if pixels.min() < 1:
            raise InputError(f"{path}: {_PIXELS} is not a number of pixels")
    elif clicked:
        pixels = _image_sizes(path, len(table))
    return image_ids, group_ids, instance_ids.tolist(), iou, areas, pixels


def _read_table(path: Path, names: Sequence[str], *, optional: Sequence[str] = (), most: int) -> pa.Table:
    """Reads columns with the types of `INSTANCE_SCHEMA`, those of `optional` where they exist."""
    batches = [*read_batches(path, names, optional=optional, most=most)]
    try:
        table = pa.Table.from_batches(batches)
        wanted = pa.schema([INSTANCE_SCHEMA.field(name) for name in table.column_names])
        # Skip a cast that changes nothing: it takes half as long as reading the table.
        return table if table.schema.types == wanted.types else table.cast(wanted)
    except (ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The values of a column of numbers without nulls. Arrow's `to_numpy` imports pandas, this does not."""
    values: np.ndarray = np.from_dlpack(column.combine_chunks())
    return values


def _image_sizes(path: Path, instances: int) -> np.ndarray:
    """Number of pixels of every instance's image, shape (instances,), where clicks lie on the image."""
    column = _read_table(path, [_CLICK_SIZE], most=instances)[_CLICK_SIZE].combine_chunks()
    sides = column.flatten()
    whole = not column.null_count and not sides.null_count and len(sides) == 2 * instances
    sizes = np.from_dlpack(sides).reshape(instances, 2) if whole else np.zeros((1, 2), int)
    if sizes.min() < 1:
        raise InputError(f"{path}: a {_CLICK_SIZE} is not a height and a width")
    pixels: np.ndarray = sizes.prod(axis=1)
    return pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredNames:
    """Identity of the scored instances, without their scores: equal for all runs on one test set.

    Attributes:
        groups: sorted names of the groups.
        index: (instances,) index into `groups` of each instance.
        counts: (groups,) number of instances of each group.
        images: number of images, repeated ones counted as often as they occur.
        digest: SHA-256 over the sorted image ids, instance ids and groups.
    """

    groups: tuple[str, ...]
    index: np.ndarray
    counts: FloatArray
    images: int
    digest: str


@lru_cache(maxsize=_TEST_SETS)
def sort_names(
    image_ids: tuple[str, ...],
    group_ids: tuple[str, ...],
    instance_ids: tuple[int, ...],
    standing_in: tuple[str, ...],
) -> ScoredNames:
    """Groups the scored instances and checks that each occurs as often as it may.

    The arguments are tuples because the result is cached by them.

    Args:
        image_ids: image id of each instance.
        group_ids: group of each instance.
        instance_ids: id of each instance within its image.
        standing_in: images that replace a broken one; each mention allows one more copy of the image.

    Raises:
        InputError: an instance occurs too often; the caller puts the file's name before the message.
    """
    keys = sorted(zip(image_ids, instance_ids, group_ids, strict=True))
    often = Counter(key[:2] for key in keys)
    places: Counter[str] = Counter()
    for (image_id, _), times in often.items():
        places[image_id] = max(times, places[image_id])
    # An image that replaces broken ones is repeated with all its instances (docs/protocols.md).
    stands_in = Counter(standing_in)
    for (image_id, instance_id), times in often.items():
        if times != min(places[image_id], 1 + stands_in[image_id]):
            how = {1: "once, others more often", 2: "twice"}.get(times, f"{times} times")
            raise InputError(f"holds instance {instance_id} of image {image_id!r} {how}")
    groups, index = np.unique(np.array(group_ids, dtype=object), return_inverse=True)
    return ScoredNames(
        groups=tuple(groups.tolist()),
        index=index,
        counts=np.bincount(index).astype(np.float64),
        images=places.total(),
        digest=sha256(json.dumps(keys).encode()).hexdigest(),
    )


def read_instances(path: Path, columns: Sequence[str] | None = None, key: Key | None = None) -> pa.Table:
    """Reads the instances of a run.

    Args:
        path: `instances.parquet` of a run.
        columns: the columns to read; None for all, masks included.
        key: the only instance to read; None for all.

    Raises:
        InputError: the file cannot be read.
    """
    names = INSTANCE_SCHEMA.names if columns is None else columns
    # Who draws a mask that a row lacks says of which instance it is.
    required, optional = ([name for name in names if (name in _NAMES) is kind] for kind in (True, False))
    batches = read_batches(path, required, optional=optional)
    if key is not None:
        # Imported here: it takes as long as reading forty runs, and a table of scores needs none of it.
        import pyarrow.compute as pc

        only = (pc.field("image_id") == key[0]) & (pc.field("instance_id") == key[1])
        batches = (batch.filter(only) for batch in batches)
    return pa.Table.from_batches(batches)


def read_scored(path: Path, columns: Sequence[str] | None = None) -> dict[Key, dict[str, Any]]:
    """Reads instances with `read_instances` into a dict by key; `times` is how often each occurs."""
    scored: dict[Key, dict[str, Any]] = {}
    for line in read_instances(path, columns).to_pylist():
        key = (line["image_id"], line["instance_id"])
        line["times"] = scored[key]["times"] + 1 if key in scored else 1
        scored[key] = line
    return scored


def pick_instances(scored: Scored, keys: Iterable[Key], places: Sequence[float]) -> list[Key]:
    """Picks instances at quantiles of their IoU, among the larger half: small ones show little.

    Args:
        scored: rows with area and IoU.
        keys: the instances to pick from.
        places: quantiles, 0 = lowest IoU, 1 = highest.

    Returns:
        One key per quantile; keys repeat where there are few instances. Empty if `keys` is.
    """
    by_area = sorted(keys, key=lambda key: (-scored[key]["area"], key))
    larger = by_area[: max(len(places), (len(by_area) + 1) // 2)]
    order = sorted(larger, key=lambda key: (scored[key]["iou"], key))
    return [order[round(place * (len(order) - 1))] for place in places] if order else []
