"""Reads run folders for a report: each is checked against its own instances, or left out with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET

from aims.core.checks import Check, find_check
from aims.core.config import NO_TUNING, RANDOM_WEIGHTS, RunConfig
from aims.core.errors import AimsError, InputError
from aims.core.evaluations import EverythingScores, read_everything
from aims.core.instance_files import MOST_ROWS
from aims.core.records import INSTANCES, RunContent, RunRecord, run_folders
from aims.core.sizes import LARGE_CLASSES, sums_by_size
from aims.core.vocabulary import BROKEN_IMAGES, PROTOCOLS
from aims.reports.runs.curves import Curves, read_curves
from aims.reports.runs.instances import read_columns, sort_names
from aims.reports.runs.workers import Workers
from aims.reports.statistics.intervals import FloatArray

# run.json holds the mean of these very values: only the order of the summation may differ.
_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A run folder that is in no table.

    Attributes:
        folder: name of the run's folder.
        reason: a sentence that says why.
    """

    folder: str
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A finished run whose scores agree with its instances.

    Attributes:
        folder: name of the run's folder.
        path: path of the run's folder.
        config: its configuration.
        miou: mean IoU over all test instances, 0..1.
        val_miou: mean IoU on the validation part, 0..1; None where there was none.
        images: number of test images that hold instances.
        groups: sorted names of the groups of these images; an image without a group is its own.
        sums: (groups,) sum of the IoU of each group's instances.
        counts: (groups,) number of each group's instances.
        size_sums: (sizes,) sum of the IoU of the instances of each class of `aims.core.sizes.SIZES`; None for
            a run of an earlier version under `paper`, whose rows lack the size of the image.
        size_counts: (sizes,) number of instances of each class; None where `size_sums` is.
        instances_digest: equal for two runs if they scored the same instances of the same images.
        curves: training curves.
        everything: scores of all found objects, where `aims evaluate --everything` has made them, and the
            grid and thresholds with which they were found.
        check: the check that it has passed, as far as it is kept here.
        content: the whole content of run.json.
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
    everything: tuple[EverythingScores, Mapping[str, Any]] | None
    check: Check
    content: RunContent = field(repr=False)
    curves: Curves = field(default=(), repr=False)

    @property
    def rates(self) -> frozenset[float]:
        """Its learning rate and those that its `--lr sweep` tried; empty where nothing is trained."""
        if self.config.tuning == NO_TUNING:
            return frozenset()
        beside = self.content.learning_rates.scores if self.content.learning_rates else {}
        return frozenset({self.config.lr, *map(float, beside)})

    @cached_property
    def miou_large(self) -> float | None:
        """Mean IoU over large instances (`aims.core.sizes.LARGE`); None without any or without sizes."""
        if self.size_sums is None or self.size_counts is None:
            return None
        number = self.size_counts[LARGE_CLASSES].sum()
        return float(self.size_sums[LARGE_CLASSES].sum() / number) if number else None

    @property
    def trained(self) -> int | None:
        """Number of trained parameters, or None if the record lacks it."""
        return self.content.parameters.trainable.total if self.content.parameters else None

    @property
    def trained_of_sam(self) -> int | None:
        """Number of trained parameters in SAM's encoder and decoder, or None if the record lacks it."""
        counts = self.content.parameters and self.content.parameters.trainable
        return counts.encoder + counts.decoder if counts else None

    @property
    def train_images(self) -> int | None:
        """Number of training images, or None if the record lacks it."""
        return (self.content.images or {}).get("train")

    @property
    def seconds(self) -> float | None:
        """Wall time of training and evaluation, or None if the record lacks it."""
        return self.content.seconds

    @property
    def flops(self) -> float | None:
        """FLOPs of the forward pass for one image with one click; a multiply-add counts as two."""
        forward = self.content.flops.forward if self.content.flops else UNSET
        return None if forward is UNSET else forward

    @property
    def peak_bytes(self) -> float | None:
        """Peak memory of its first process in bytes: of the GPU where one was used, else of the host."""
        return self.content.peak_memory_bytes or None

    @property
    def device(self) -> str | None:
        """Device type in torch's sense, such as "cpu" or "cuda"; None if the record lacks it."""
        return self.content.hardware.device if self.content.hardware else None

    @property
    def hours(self) -> float | None:
        """Device hours: wall time times the number of GPUs, or on a CPU times the number of cores."""
        hardware, seconds = self.content.hardware, self.content.seconds
        cores = hardware and (hardware.threads if hardware.device == "cpu" else 1)
        if not cores or seconds is None:
            return None
        # Records of versions without multi-process runs lack `processes`.
        return seconds * (self.content.processes or 1) * cores / 3600


def load_runs(runs: Path, workers: Workers | None = None) -> tuple[list[Run], list[LeftOut]]:
    """Reads every run folder below `runs`.

    Args:
        runs: folder of run folders.
        workers: processes that read them; None reads in this process.

    Returns:
        The usable runs, and the other folders with the reason; both sorted by folder name.

    Raises:
        InputError: the folder does not exist.
    """
    return sort_runs(read_runs(runs, workers or Workers()))


def read_runs(runs: Path, workers: Workers) -> Iterator[Run | LeftOut]:
    """Reads every run folder below `runs`, in the order of their names; processes start at once.

    Raises:
        InputError: the folder does not exist.
    """
    return workers.share(_load_or_leave, run_folders(runs))


def sort_runs(read: Iterable[Run | LeftOut]) -> tuple[list[Run], list[LeftOut]]:
    """Returns what `load_runs` returns, given what `read_runs` yields."""
    found = [*read]
    kept, doubles = _without_doubles([item for item in found if isinstance(item, Run)])
    left_out = [item for item in found if isinstance(item, LeftOut)]
    return kept, sorted([*left_out, *doubles], key=lambda item: item.folder)


def _load_or_leave(folder: Path) -> Run | LeftOut:
    try:
        return load_run(folder)
    except AimsError as error:
        return LeftOut(folder=_printable(folder.name), reason=_printable(str(error)))


def _printable(text: str) -> str:
    # A folder's name may hold bytes that are not UTF-8; as surrogates in a str they cannot be written.
    return text.encode("utf-8", "backslashreplace").decode()


def load_run(folder: Path) -> Run:
    """Reads one run folder and recomputes its mIoU from its instances.

    Raises:
        InputError: the run is not finished, a file is missing or damaged, or the mIoU in run.json is not the
            mean IoU of the instances.
    """
    record = RunRecord.load(folder)
    if record.config.method == "scratch" and record.config.weights != RANDOM_WEIGHTS:
        raise InputError(
            f"{folder}: a scratch run starts from random weights, this one from {record.config.weights}"
        )
    scores = record.scores
    protocol = PROTOCOLS[record.config.protocol]
    # Rows of earlier versions lack the size of the image; `click_size` is that size except under protocols
    # that give clicks on the paper's grid.
    clicked = protocol.click == "deepest"
    image_ids, group_ids, instance_ids, iou, areas, pixels = read_columns(
        folder, clicked=clicked, most=min(MOST_ROWS, scores.instances)
    )
    if len(iou) != scores.instances:
        raise InputError(
            f"{folder}: {INSTANCES} holds {len(iou)} instances, run.json says {scores.instances}"
        )
    # `not ... <=` rather than `>`: it also refuses NaN.
    if not abs(float(iou.mean()) - scores.miou) <= _TOLERANCE:
        raise InputError(
            f"{folder}: the mean IoU of {INSTANCES} is {iou.mean():.9f}, run.json says {scores.miou:.9f}"
        )
    broken = BROKEN_IMAGES.get(record.config.dataset, {}) if protocol.replaces_broken else {}
    try:
        names = sort_names(tuple(image_ids), tuple(group_ids), tuple(instance_ids), tuple(broken.values()))
    except InputError as error:
        raise InputError(f"{folder}: {INSTANCES} {error}") from None
    size_sums, size_counts = sums_by_size(iou, areas, pixels) if pixels is not None else (None, None)
    return Run(
        folder=_printable(folder.name),
        path=folder,
        config=record.config,
        miou=scores.miou,
        val_miou=scores.val_miou,
        images=names.images,
        groups=names.groups,
        sums=np.bincount(names.index, weights=iou).astype(np.float64),
        counts=names.counts,
        size_sums=size_sums,
        size_counts=size_counts,
        instances_digest=names.digest,
        everything=read_everything(folder, record.config),
        check=find_check(folder),
        content=record.content,
        curves=read_curves(folder, record.config.epochs),
    )


def _without_doubles(loaded: list[Run]) -> tuple[list[Run], list[LeftOut]]:
    """Keeps one folder per configuration: the one with the name `aims run` gives, else the first by name."""
    folders: dict[RunConfig, list[Run]] = {}
    for run in sorted(loaded, key=lambda run: run.folder):
        folders.setdefault(run.config, []).append(run)
    kept, doubles = [], []
    for config, alike in folders.items():
        # Few configurations have two folders, and a name takes as long to compute as a file to read.
        named = config.run_name if len(alike) > 1 else ""
        first = next((run for run in alike if run.folder == named), alike[0])
        kept.append(first)
        reason = f"same configuration as {first.folder}, which is in the tables"
        doubles += [LeftOut(folder=run.folder, reason=reason) for run in alike if run is not first]
    return sorted(kept, key=lambda run: run.folder), doubles
