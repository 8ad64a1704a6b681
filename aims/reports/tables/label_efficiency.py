"""By how many training images pretraining saves labels: what scratch needs to reach another method's score.

There is a line wherever scratch was trained with several numbers of images of one dataset, and all else equal
but for the length of training, which may follow the number of images.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from aims.core.config import NO_TUNING, RunConfig
from aims.reports.runs.conditions import Condition, by_condition
from aims.reports.runs.results import Result
from aims.reports.statistics.label_efficiency import Measured, Needed, images_needed
from aims.reports.tables.captions import condition_title, row_details
from aims.reports.tables.latex import latex_text
from aims.reports.tables.markdown import markdown_lines, markdown_text
from aims.reports.tables.numbers import percent
from aims.reports.tables.results_table import (
    CONDITION_FIELDS,
    SETTING_FIELDS,
    condition_fields,
    setting_fields,
    write_csv,
)
from aims.reports.tables.table import Table, text_table

#: The method that shows what labels give without pretraining.
BASELINE = "scratch"
#: Settings that may differ along a curve.
_ALONG = ("train_images", "epochs", "score_every")
_FIELDS = (
    *(*CONDITION_FIELDS, "dataset", "fingerprint", "modality", *SETTING_FIELDS, "seeds"),
    *("images", "miou", "baseline", "needed", "low", "high", "most_images", "groups"),
)
_CAPTION = (
    "How many training images scratch needs to reach each method's score with its fewest: isotonic "
    "regression of scratch's scores, interpolated in the logarithm of the number of images, and at most a "
    "number whose own score is as high. 95 % intervals by a bootstrap over test images (or groups of them) "
    "and seeds. Of several lengths of training the best on validation."
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A result with the mean number of training images of its seeds."""

    images: float
    result: Result

    @property
    def measured(self) -> Measured:
        """Its scores by seed."""
        sums = np.stack([run.sums for run in self.result.runs], axis=1)
        return Measured(images=self.images, sums=sums, counts=self.result.counts)


@dataclass(frozen=True, kw_only=True)
class LabelEfficiency:
    """How many training images scratch needs to reach the score of a method with its fewest.

    Attributes:
        condition: the settings that both share.
        target: the method with its fewest images.
        baseline: scratch, by ascending number of images.
        needed: the images that scratch needs.
    """

    condition: Condition
    target: Point
    baseline: tuple[Point, ...]
    needed: Needed

    def words(self, images: float) -> str:
        """A number of images that scratch needs, as far as it is known."""
        fewest, most = self.baseline[0].images, self.baseline[-1].images
        if math.isinf(images):
            return f"not reached with {most:.0f}"
        return f"at most {fewest:.0f}" if images <= fewest else f"{images:.0f}"

    @property
    def fields(self) -> dict[str, Any]:
        """The line of a CSV file; scores in percent, numbers that are not reached are "inf"."""
        config, needed = self.target.result.config, self.needed
        low, high = needed.interval or (None, None)
        return {
            **condition_fields(self.condition),
            **{name: getattr(config, name) for name in ("dataset", "fingerprint", "modality")},
            **setting_fields(config),
            "seeds": " ".join(map(str, self.target.result.seeds)),
            "images": f"{self.target.images:g}",
            "miou": percent(self.target.result.miou),
            "baseline": " ".join(f"{each.images:g}:{percent(each.result.miou)}" for each in self.baseline),
            "needed": f"{needed.images:.1f}",
            "low": "" if low is None else f"{low:.1f}",
            "high": "" if high is None else f"{high:.1f}",
            "most_images": f"{self.baseline[-1].images:g}",
            "groups": len(self.target.result.counts),
        }


def label_efficiency(results: Sequence[Result]) -> tuple[LabelEfficiency, ...]:
    """Compares every trained method with scratch, where scratch was trained with several numbers of images.

    Args:
        results: every finished run, pooled over seeds.
    """
    found = []
    for condition, members in by_condition(item for item in results if item.config.tuning != NO_TUNING):
        curves: dict[tuple[str, str, str], list[tuple[Point, ...]]] = {}
        for curve in _curves(members):
            config = curve[0].result.config
            curves.setdefault((config.dataset, config.fingerprint, config.modality), []).append(curve)
        for alike in curves.values():
            found += [
                LabelEfficiency(
                    condition=condition,
                    target=curve[0],
                    baseline=baseline,
                    needed=images_needed([each.measured for each in baseline], curve[0].measured),
                )
                for curve, baseline in _pairs(alike)
            ]
    return tuple(found)


def _curves(results: Sequence[Result]) -> Iterator[tuple[Point, ...]]:
    """Yields the results that differ in the number of images and the length of training alone, ascending."""
    places: dict[Hashable, dict[float, Point]] = {}
    for result in results:
        if result.train_images is None:
            continue
        point = Point(images=result.train_images, result=result)
        key = result.config.apart_from("seed", *_ALONG)
        curve = places.setdefault(key, {})
        if point.images not in curve or _validated(point) > _validated(curve[point.images]):
            curve[point.images] = point
    for curve in places.values():
        yield tuple(curve[images] for images in sorted(curve))


def _pairs(
    curves: Sequence[tuple[Point, ...]],
) -> Iterator[tuple[tuple[Point, ...], tuple[Point, ...]]]:
    """Yields every curve but scratch's, with scratch's on the same test instances and training prompts."""
    scratch = [curve for curve in curves if curve[0].result.config.method == BASELINE and len(curve) > 1]
    for curve in curves:
        first = curve[0].result
        digest, prompts = first.runs[0].instances_digest, first.config.prompts
        fitting = [
            other
            for other in scratch
            if other[0].result.config.prompts == prompts
            and all(point.result.runs[0].instances_digest == digest for point in other)
        ]
        if fitting and first.config.method != BASELINE:
            # Among several settings the best on validation, with all images.
            yield curve, max(fitting, key=lambda other: (len(other), _validated(other[-1])))


def _validated(point: Point) -> float:
    return -1.0 if point.result.val_miou is None else point.result.val_miou


def efficiency_files(found: Sequence[LabelEfficiency]) -> dict[str, str]:
    """The files of the comparisons; none without any."""
    if not found:
        return {}
    tables = [
        _table(condition, list(members)) for condition, members in groupby(found, lambda each: each.condition)
    ]
    lines = [line for table in tables for line in markdown_lines(table)]
    return {
        "label_efficiency.md": markdown_text(["# Label efficiency", "", *lines]),
        "label_efficiency.csv": write_csv(_FIELDS, [each.fields for each in found]),
        "label_efficiency.tex": latex_text(tables),
    }


def _table(condition: Condition, members: Sequence[LabelEfficiency]) -> Table:
    header = (
        "dataset",
        "modality",
        "method",
        "images",
        "its mIoU",
        "scratch",
        "scratch needs",
        "95 % interval",
    )
    names, rows = _names(members), []
    for each, name in zip(members, names, strict=True):
        config, interval = each.target.result.config, each.needed.interval
        rows.append(
            (
                *(config.dataset, config.modality, name),
                *(f"{each.target.images:.0f}", percent(each.target.result.miou)),
                ", ".join(f"{point.images:.0f}: {percent(point.result.miou)}" for point in each.baseline),
                each.words(each.needed.images),
                f"[{', '.join(map(each.words, interval))}]" if interval else "",
            )
        )
    return text_table(condition_title(condition), header, rows, texts=3, caption=_CAPTION)


def _names(members: Sequence[LabelEfficiency]) -> list[str]:
    """Method, tuning and options of each line, with the settings that tell it from others of these."""
    configs = [each.target.result.config for each in members]
    details = row_details(configs, _kind, without=_ALONG)
    return [f"{config.method}, {detail}" for config, detail in zip(configs, details, strict=True)]


def _kind(config: RunConfig) -> Hashable:
    return (
        config.dataset,
        config.fingerprint,
        config.modality,
        config.method,
        config.tuning,
        config.options_text,
    )
