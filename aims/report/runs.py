"""Reads run folders for a report: each is checked against its own instances, or left out with a reason."""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aims.core.config import NO_TUNING, RANDOM_WEIGHTS, RunConfig
from aims.core.errors import AimsError, InputError
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, RunRecord, run_folders
from aims.core.sizes import sums_by_size
from aims.core.vocabulary import BROKEN_IMAGES, PROTOCOLS
from aims.report.curves import Curves, read_curves
from aims.report.intervals import FloatArray
from aims.report.workers import Workers

# The predicted masks in the same file are many times larger and are not needed.
_NAMES = ("image_id", "group", "instance_id", "iou", "area", "click_size")
_COLUMNS = pa.schema([INSTANCE_SCHEMA.field(name) for name in _NAMES])
_TOLERANCE = 1e-9
_SMALL_BYTES = 200_000
# Names of so many test sets are kept; there are thousands of runs, but few sets.
_TEST_SETS = 32

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A run folder that is not in the tables, or not where one would look for it.

    Attributes:
        folder: name of the run's folder.
        reason: what was wrong, for people.
    """

    folder: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A finished run whose scores agree with its instances.

    Attributes:
        folder: name of the run's folder.
        path: the folder.
        config: its configuration.
        miou: mean IoU over all instances, 0..1.
        val_miou: mean IoU on the validation part, where there was one.
        images: number of test images that hold instances.
        groups: names of the groups of these images in order; an image without one is its own.
        sums: per group, the sum of its instances' IoU.
        counts: per group, the number of its instances.
        size_sums: per class of `aims.core.sizes.SIZES`, the sum of its instances' IoU; None under `paper`,
            whose rows do not tell the size of the picture.
        size_counts: per class, the number of its instances; None likewise.
        instances_digest: tells whether two runs scored the same instances of the same images.
        trained: number of trained parameters, where the record knows it.
        trained_of_sam: of those, how many are in SAM's encoder and decoder, likewise.
        train_images: number of images that were trained on, likewise.
        seconds: time of training and evaluation, where the record knows it.
        commit: of the program that made the run, where the record knows it.
        hardware: what it ran on, where the record knows it.
        curves: of its training.
        content: the whole record.
    """

    folder: str
    path: Path
    config: RunConfig
    miou: float
    val_miou: float | None
    images: int
    groups: tuple[str, ...]
    sums: FloatArray
    counts: FloatArray
    size_sums: FloatArray | None
    size_counts: FloatArray | None
    instances_digest: str
    trained: int | None
    trained_of_sam: int | None
    train_images: int | None
    seconds: float | None
    commit: str
    hardware: str
    curves: Curves = field(default=(), repr=False)
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def said(self, kind: type[T], *keys: str) -> T | None:
        """What the record says under these keys, where it says something of that type."""
        return _found(self.content, kind, *keys)

    def amount(self, *keys: str) -> float | None:
        """The number that the record says under these keys; None where it is no amount of anything."""
        number = self.said(float, *keys)
        return number if number is not None and 0 <= number <= sys.float_info.max else None

    @property
    def rates(self) -> frozenset[float]:
        """Its learning rate, and those that `--lr sweep` tried beside it; none where nothing is trained."""
        if self.config.tuning == NO_TUNING:
            return frozenset()
        beside = self.said(dict, "learning_rates", "scores") or {}
        with suppress(TypeError, ValueError):
            return frozenset({self.config.lr, *map(float, beside)})
        return frozenset({self.config.lr})

    @cached_property
    def flops(self) -> float | None:
        """Operations for one image with one click; a multiplication with its addition counts as two."""
        return self.amount("flops", "forward")

    @cached_property
    def peak_bytes(self) -> float | None:
        """The most memory that its first process held, on the GPU where there was one."""
        return self.amount("peak_memory_bytes")

    @cached_property
    def device(self) -> str | None:
        """Kind of the device: "cpu", "cuda" or another of torch's."""
        return self.said(str, "hardware", "device")

    @cached_property
    def hours(self) -> float | None:
        """Hours of one device: its time on all its GPUs, or on all its CPU cores."""
        # A record from before runs could have several processes does not say how many.
        processes = 1 if "processes" not in self.content else self.amount("processes")
        cores = self.amount("hardware", "threads") if self.device == "cpu" else 1
        seconds = self.amount("seconds")
        if self.device is None or seconds is None or processes is None or cores is None:
            return None
        return seconds * processes * cores / 3600


def load_runs(runs: Path, workers: Workers | None = None) -> tuple[list[Run], list[LeftOut]]:
    """Reads every run folder below `runs`; what cannot be used comes back with its reason.

    Args:
        runs: folder of run folders.
        workers: who reads them; None reads one after the other.

    Raises:
        InputError: the folder does not exist.
    """
    with _without_collecting():
        found = [*(workers or Workers()).map(_load_or_leave, run_folders(runs))]
    kept, doubles = _without_doubles([item for item in found if isinstance(item, Run)])
    left_out = [item for item in found if isinstance(item, LeftOut)]
    return kept, sorted([*left_out, *doubles], key=lambda item: item.folder)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """What is read stays: the garbage collector would look through all of it again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _load_or_leave(folder: Path) -> Run | LeftOut:
    try:
        return load_run(folder)
    except AimsError as error:
        return LeftOut(folder=_printable(folder.name), reason=_printable(str(error)))


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def load_run(folder: Path) -> Run:
    """Reads one run folder.

    Raises:
        InputError: it is of no finished run, a file is missing or damaged, or its score does not follow from
            its instances.
    """
    record = RunRecord.load(folder)
    if record.config.method == "scratch" and record.config.weights != RANDOM_WEIGHTS:
        raise InputError(
            f"{folder}: a scratch run starts from random weights, this one from {record.config.weights}"
        )
    scores = record.scores
    miou = _score(folder, scores, "miou")
    image_ids, group_ids, instance_ids, iou, areas, pixels = _read_instances(folder)
    if len(iou) != scores.get("instances"):
        raise InputError(
            f"{folder}: {INSTANCES} holds {len(iou)} instances, run.json says {scores.get('instances')}"
        )
    if not abs(float(iou.mean()) - miou) <= _TOLERANCE:
        raise InputError(
            f"{folder}: the mean IoU of {INSTANCES} is {iou.mean():.9f}, run.json says {miou:.9f}"
        )
    broken = (
        BROKEN_IMAGES.get(record.config.dataset, {})
        if PROTOCOLS[record.config.protocol].replaces_broken
        else {}
    )
    try:
        who = _who(
            tuple(image_ids.tolist()),
            tuple(group_ids.tolist()),
            tuple(instance_ids.tolist()),
            tuple(broken.values()),
        )
    except InputError as error:
        raise InputError(f"{folder}: {INSTANCES} {error}") from None
    native = PROTOCOLS[record.config.protocol].at_native
    size_sums, size_counts = sums_by_size(iou, areas, pixels) if native else (None, None)
    content = record.content
    return Run(
        folder=_printable(folder.name),
        path=folder,
        config=record.config,
        miou=miou,
        val_miou=None if scores.get("val_miou") is None else _score(folder, scores, "val_miou"),
        images=who.images,
        groups=who.groups,
        sums=np.bincount(who.index, weights=iou).astype(np.float64),
        counts=who.counts,
        size_sums=size_sums,
        size_counts=size_counts,
        instances_digest=who.digest,
        trained=_found(content, int, "parameters", "trainable", "total"),
        trained_of_sam=_of_sam(content),
        train_images=_found(content, int, "images", "train"),
        seconds=_found(content, float, "seconds"),
        commit=_found(content, str, "code", "commit") or "",
        hardware=_found(content, str, "hardware", "name") or "",
        curves=read_curves(folder),
        content=content,
    )


def _found(content: Any, kind: type[T], *keys: str) -> T | None:
    """What a record says beside its scores, if it does: a table can do without."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    # To Python True is a number.
    if isinstance(content, bool):
        return None
    # JSON's integers have no bound.
    if kind is float and isinstance(content, int) and abs(content) <= sys.float_info.max:
        content = float(content)
    return content if isinstance(content, kind) else None


def _of_sam(content: Any) -> int | None:
    parts = [_found(content, int, "parameters", "trainable", part) for part in ("encoder", "decoder")]
    return sum(part for part in parts if part is not None) if None not in parts else None


def _score(folder: Path, scores: Any, name: str) -> float:
    value = scores.get(name) if isinstance(scores, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{folder}: run.json's score {name} is {value!r}, not a number from 0 to 1")
    return float(value)


def _read_instances(
    folder: Path,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, FloatArray, np.ndarray, np.ndarray]:
    """Image, group, id, IoU and area of every instance, and the pixels of what its click is given in."""
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
            table = file.read(columns=_COLUMNS.names, use_threads=False)
        # A cast to what is there already takes half as long as reading it.
        if any(table.schema.field(column.name).type != column.type for column in _COLUMNS):
            table = table.select(_COLUMNS.names).cast(_COLUMNS)
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
    return image_ids, group_ids, instance_ids, iou, areas, sides.reshape(-1, 2).prod(axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Who:
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
def _who(
    image_ids: tuple[str, ...],
    group_ids: tuple[str, ...],
    instance_ids: tuple[int, ...],
    standing_in: tuple[str, ...],
) -> _Who:
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
    return _Who(
        groups=tuple(groups.tolist()),
        index=index,
        counts=np.bincount(index).astype(np.float64),
        images=places.total(),
        digest=sha256(json.dumps(keys).encode()).hexdigest(),
    )


def _without_doubles(loaded: list[Run]) -> tuple[list[Run], list[LeftOut]]:
    """Keeps one folder a configuration: the one `aims run` would have named, else the first in order."""
    kept: dict[RunConfig, Run] = {}
    doubles = []
    for run in sorted(loaded, key=lambda run: (run.folder != run.config.run_name, run.folder)):
        first = kept.setdefault(run.config, run)
        if first is not run:
            reason = f"same configuration as {first.folder}, which is in the tables"
            doubles.append(LeftOut(folder=run.folder, reason=reason))
    return sorted(kept.values(), key=lambda run: run.folder), doubles
