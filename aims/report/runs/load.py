"""Reads run folders for a report: each is checked against its own instances, or left out with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from msgspec import UNSET

from aims.core.config import NO_TUNING, RANDOM_WEIGHTS, RunConfig
from aims.core.errors import AimsError, InputError
from aims.core.records import INSTANCES, RunContent, RunRecord, run_folders
from aims.core.sizes import LARGE_CLASSES, sums_by_size
from aims.core.vocabulary import BROKEN_IMAGES, PROTOCOLS
from aims.report.runs.curves import Curves, read_curves
from aims.report.runs.instances import read_columns, sort_names
from aims.report.runs.workers import Workers
from aims.report.statistics.intervals import FloatArray

_TOLERANCE = 1e-9


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
        size_sums: per class of `aims.core.sizes.SIZES`, the sum of its instances' IoU; None for a run of an
            earlier version under `paper`, whose rows do not tell the size of the picture.
        size_counts: per class, the number of its instances; None likewise.
        instances_digest: tells whether two runs scored the same instances of the same images.
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
    content: RunContent = field(repr=False)
    curves: Curves = field(default=(), repr=False)

    @property
    def rates(self) -> frozenset[float]:
        """Its learning rate, and those that `--lr sweep` tried beside it; none where nothing is trained."""
        if self.config.tuning == NO_TUNING:
            return frozenset()
        beside = self.content.learning_rates.scores if self.content.learning_rates else {}
        return frozenset({self.config.lr, *map(float, beside)})

    @property
    def miou_large(self) -> float | None:
        """Mean IoU over large instances (`aims.core.sizes.LARGE`); None where none is, or sizes unknown."""
        if self.size_sums is None or self.size_counts is None:
            return None
        number = self.size_counts[LARGE_CLASSES].sum()
        return float(self.size_sums[LARGE_CLASSES].sum() / number) if number else None

    @property
    def trained(self) -> int | None:
        """Number of trained parameters, where the record knows it."""
        return self.content.parameters.trainable.total if self.content.parameters else None

    @property
    def trained_of_sam(self) -> int | None:
        """Of those, how many are in SAM's encoder and decoder."""
        counts = self.content.parameters and self.content.parameters.trainable
        return counts.encoder + counts.decoder if counts else None

    @property
    def train_images(self) -> int | None:
        """Number of images that were trained on, where the record knows it."""
        return (self.content.images or {}).get("train")

    @property
    def seconds(self) -> float | None:
        """Time of training and evaluation, where the record knows it."""
        return self.content.seconds

    @property
    def flops(self) -> float | None:
        """Operations for one image with one click; a multiplication with its addition counts as two."""
        forward = self.content.flops.forward if self.content.flops else UNSET
        return None if forward is UNSET else forward

    @property
    def peak_bytes(self) -> float | None:
        """The most memory that its first process held, on the GPU where there was one."""
        return self.content.peak_memory_bytes or None

    @property
    def device(self) -> str | None:
        """Kind of the device: "cpu", "cuda" or another of torch's."""
        return self.content.hardware.device if self.content.hardware else None

    @property
    def hours(self) -> float | None:
        """Hours of one device: its time on all its GPUs, or on all its CPU cores."""
        hardware, seconds = self.content.hardware, self.content.seconds
        cores = hardware and (hardware.threads if hardware.device == "cpu" else 1)
        if not cores or seconds is None:
            return None
        # A record from before runs could have several processes does not say how many.
        return seconds * (self.content.processes or 1) * cores / 3600


def load_runs(runs: Path, workers: Workers | None = None) -> tuple[list[Run], list[LeftOut]]:
    """Reads every run folder below `runs`; what cannot be used comes back with its reason.

    Args:
        runs: folder of run folders.
        workers: who reads them; None reads one after the other.

    Raises:
        InputError: the folder does not exist.
    """
    found = [*(workers or Workers()).map(_load_or_leave, run_folders(runs))]
    kept, doubles = _without_doubles([item for item in found if isinstance(item, Run)])
    left_out = [item for item in found if isinstance(item, LeftOut)]
    return kept, sorted([*left_out, *doubles], key=lambda item: item.folder)


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
    protocol = PROTOCOLS[record.config.protocol]
    # Before rows told the picture's pixels, a click was given in the picture itself, but on the paper's grid.
    clicked = protocol.click == "deepest"
    image_ids, group_ids, instance_ids, iou, areas, pixels = read_columns(folder, clicked=clicked)
    if len(iou) != scores.instances:
        raise InputError(
            f"{folder}: {INSTANCES} holds {len(iou)} instances, run.json says {scores.instances}"
        )
    if not abs(float(iou.mean()) - scores.miou) <= _TOLERANCE:
        raise InputError(
            f"{folder}: the mean IoU of {INSTANCES} is {iou.mean():.9f}, run.json says {scores.miou:.9f}"
        )
    broken = BROKEN_IMAGES.get(record.config.dataset, {}) if protocol.replaces_broken else {}
    try:
        names = sort_names(
            tuple(image_ids.tolist()),
            tuple(group_ids.tolist()),
            tuple(instance_ids.tolist()),
            tuple(broken.values()),
        )
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
        content=record.content,
        curves=read_curves(folder),
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
