"""Reads the scored instances of runs, sorts out which they are, and picks some to show."""

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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aims.core.errors import AimsError, InputError
from aims.core.records import INSTANCE_SCHEMA, INSTANCES
from aims.report.statistics.intervals import FloatArray

#: An instance: its image and its id there.
Key = tuple[str, int]
#: Instances by their key, each a row of the file.
Scored = Mapping[Key, Mapping[str, Any]]

# The predicted masks in the same file are many times larger and are not needed.
_NAMES = ("image_id", "group", "instance_id", "iou", "area", "click_size")
_COLUMNS = pa.schema([INSTANCE_SCHEMA.field(name) for name in _NAMES])
# Rows of earlier versions have none.
_PIXELS = INSTANCE_SCHEMA.field("pixels")
_SMALL_BYTES = 200_000
# Names of so many test sets are kept; there are thousands of runs, but few sets.
_TEST_SETS = 32


def read_columns(
    folder: Path, *, clicked: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, FloatArray, np.ndarray, np.ndarray | None]:
    """Image, group, id, IoU and area of every instance, and the pixels of its picture where they are known.

    Args:
        folder: of the run.
        clicked: whether clicks are given in the picture, whose pixels are then known in any case.
    """
    path = folder / INSTANCES
    if not path.is_file():
        raise InputError(f"{path}: no such file; the run is not complete, run it again")
    try:
        # A small file is read in one piece: Arrow asks the system for every column of it.
        small = path.stat().st_size < _SMALL_BYTES
        with pq.ParquetFile(pa.BufferReader(path.read_bytes()) if small else path) as file:
            names = file.schema_arrow.names
            missing = [name for name in _COLUMNS.names if name not in names]
            if missing:
                raise InputError(f"{path}: column {missing[0]!r} is missing")
            # Arrow's own threads take longer to start than these few columns to read.
            wanted = pa.schema([*_COLUMNS, *([_PIXELS] if _PIXELS.name in names else [])])
            table = file.read(columns=wanted.names, use_threads=False)
        # A cast to what is there already takes half as long as reading it.
        if any(table.schema.field(column.name).type != column.type for column in wanted):
            table = table.select(wanted.names).cast(wanted)
        columns = [table[name].to_numpy(zero_copy_only=False) for name in _NAMES[:5]]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: not readable as Parquet, perhaps cut short ({error})") from None
    if not len(table):
        raise InputError(f"{path}: holds no instances")
    if any(table[name].null_count for name in _NAMES if name != "group"):
        raise InputError(f"{path}: a value is missing that only group may lack")
    image_ids, group_ids, instance_ids, iou, areas = columns
    sides = pc.list_flatten(table["click_size"]).to_numpy()
    if len(sides) != 2 * len(iou) or sides.min() < 1:
        raise InputError(f"{path}: a click_size is not a height and a width")
    if table["group"].null_count:
        group_ids = np.where(group_ids == None, image_ids, group_ids)  # noqa: E711 (elementwise)
    if not bool(((iou >= 0) & (iou <= 1)).all()):
        raise InputError(f"{path}: an iou is not a number from 0 to 1")
    return image_ids, group_ids, instance_ids, iou, areas, _pixels(path, table, sides if clicked else None)


def _pixels(path: Path, table: pa.Table, sides: np.ndarray | None) -> np.ndarray | None:
    """Of every instance, the pixels of its picture; None where they are not known."""
    if _PIXELS.name in table.column_names and not table[_PIXELS.name].null_count:
        pixels: np.ndarray = table[_PIXELS.name].to_numpy()
        if pixels.min() < 1:
            raise InputError(f"{path}: {_PIXELS.name} is not a number of pixels")
        return pixels
    return None if sides is None else sides.reshape(-1, 2).prod(axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredNames:
    """Which instances were scored: what depends on their names alone, the same for all runs of a test set.

    Attributes:
        groups: names of the groups in order.
        index: of each instance, the place of its group.
        counts: per group, the number of its instances.
        images: number of images.
        digest: of all names.
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
    """Sorts the names of instances.

    Args:
        image_ids: of each instance.
        group_ids: likewise.
        instance_ids: likewise.
        standing_in: images that come once more for each time that they are named here.

    Raises:
        InputError: an instance stands there more often than it may; the message goes on behind a file.
    """
    keys = sorted(zip(image_ids, instance_ids, group_ids, strict=True))
    often = Counter(key[:2] for key in keys)
    places: Counter[str] = Counter()
    for (image_id, _), times in often.items():
        places[image_id] = max(times, places[image_id])
    # An image that stands in for broken ones comes again, with all its instances (docs/protocols.md).
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


def read_instances(path: Path, **options: Any) -> pa.Table:
    """Reads the instances of a run with their masks, or what `options` leave of them.

    Args:
        path: `instances.parquet` of a run.
        options: of `pyarrow.parquet.read_table`.

    Raises:
        AimsError: the file cannot be read.
    """
    try:
        return pq.read_table(path, **options)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise AimsError(f"{path}: its masks cannot be read ({error})") from None


def read_scored(path: Path, **options: Any) -> dict[Key, dict[str, Any]]:
    """As `read_instances`, by key; `times` is how often each stands there."""
    scored: dict[Key, dict[str, Any]] = {}
    for line in read_instances(path, **options).to_pylist():
        key = (line["image_id"], line["instance_id"])
        line["times"] = scored[key]["times"] + 1 if key in scored else 1
        scored[key] = line
    return scored


def pick_instances(scored: Scored, keys: Iterable[Key], places: Sequence[float]) -> list[Key]:
    """Picks instances by the order of their IoU, of the larger half: little is seen of small ones.

    Args:
        scored: area and IoU of the instances.
        keys: those among which to pick.
        places: in the order, 0 = worst, 1 = best.

    Returns:
        A key for each place, the same for several where there are few; empty without any.
    """
    by_area = sorted(keys, key=lambda key: (-scored[key]["area"], key))
    larger = by_area[: max(len(places), (len(by_area) + 1) // 2)]
    order = sorted(larger, key=lambda key: (scored[key]["iou"], key))
    return [order[round(place * (len(order) - 1))] for place in places] if order else []
