"""Compares two runs: the paired test, and a figure of the instances on which they differ most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aims.core.config import SETTINGS, TELLING_SETTINGS, RunConfig
from aims.core.errors import InputError
from aims.core.records import INSTANCES
from aims.data.looks import draw_of
from aims.data.overlays import click_in_picture, predicted_mask
from aims.reports.figures.image_grid import LEGEND, ImageRow, save_image_grid
from aims.reports.figures.panels import draw_mask, open_datasets, sensor_stream
from aims.reports.runs.instances import Key, read_scored
from aims.reports.runs.load import Run, load_run
from aims.reports.statistics.paired import Difference, compare, sample_scores

#: Maximum number of instances in the figure on which the first run is better, and the second.
SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two runs on the same test instances.

    Attributes:
        runs: the first and the second run.
        intervals: 95 % interval of the mIoU of each run, 0..1; None for a single image.
        difference: tested difference of the mIoU, first minus second.
        better: number of instances on which the first run has the higher IoU, and the second.
        most: the instances with the largest difference in favour of the first run, and of the second.
    """

    runs: tuple[Run, Run]
    intervals: tuple[tuple[float, float] | None, tuple[float, float] | None]
    difference: Difference
    better: tuple[int, int]
    most: tuple[tuple[Key, ...], tuple[Key, ...]]

    @property
    def instances(self) -> int:
        """Number of test instances."""
        return int(self.runs[0].counts.sum())

    def as_json(self) -> dict[str, Any]:
        """All fields as plain types, ready for `json.dumps`; scores lie in 0..1."""
        return {
            "runs": [run.folder for run in self.runs],
            "miou": [run.miou for run in self.runs],
            "intervals": [list(ends) if ends else None for ends in self.intervals],
            "difference": self.difference.as_json(),
            "instances": self.instances,
            "images": self.runs[0].images,
            "better": list(self.better),
            "most": [[list(key) for key in keys] for keys in self.most],
        }


def compare_runs(first: Path, second: Path) -> Pair:
    """Tests two runs against each other.

    Args:
        first: folder of a finished run.
        second: folder of another finished run.

    Raises:
        InputError: a run is not finished or damaged, or they did not score the same test instances.
    """
    one, other = load_run(first), load_run(second)
    for what, left, right in (
        ("datasets", one.config.dataset, other.config.dataset),
        ("contents", one.config.fingerprint[:8], other.config.fingerprint[:8]),
        ("protocols", one.config.protocol, other.config.protocol),
    ):
        if left != right:
            raise InputError(f"the runs are of different {what}, {left} and {right}: they cannot be compared")
    if one.instances_digest != other.instances_digest:
        raise InputError("the runs scored different test instances: they cannot be compared")
    samples = sample_scores(
        [(run.instances_digest, run.groups, run.sums, run.counts) for run in (one, other)]
    )
    (difference,) = compare([(samples[0], samples[1])])
    assert difference is not None  # the digests are equal
    scored = [read_scored(run.path / INSTANCES) for run in (one, other)]
    gains = {key: scored[0][key]["iou"] - scored[1][key]["iou"] for key in scored[0]}
    order = sorted(gains, key=lambda key: (-gains[key], key))
    return Pair(
        runs=(one, other),
        intervals=(samples[0].interval, samples[1].interval),
        difference=difference,
        # By `times`: instances of an image that replaces broken ones count as often as they were scored.
        better=(
            sum(scored[0][key]["times"] for key in gains if gains[key] > 0),
            sum(scored[0][key]["times"] for key in gains if gains[key] < 0),
        ),
        most=(
            tuple(key for key in order[:SHOWN] if gains[key] > 0),
            tuple(key for key in order[::-1][:SHOWN] if gains[key] < 0),
        ),
    )


def draw_pair(path: Path, pair: Pair, data: Path) -> None:
    """Draws the instances on which two runs differ most: input with click, truth, both predictions.

    Args:
        path: PNG to write.
        pair: from `compare_runs`.
        data: a converted dataset or a folder of several, with that of the runs among them.

    Raises:
        InputError: the dataset is not there, or the runs do not differ on any instance.
    """
    config = pair.runs[0].config
    dataset = open_datasets(data).get(config.fingerprint)
    if dataset is None:
        raise InputError(
            f"{data}: holds no {config.dataset} with the content {config.fingerprint[:8]}; give its folder "
            "with --data"
        )
    keys = [*pair.most[0], *pair.most[1]]
    if not keys:
        raise InputError("the runs do not differ on any instance: there is nothing to draw")
    scored = [read_scored(run.path / INSTANCES) for run in pair.runs]
    refs = {ref.image_id: ref for ref in dataset.refs}
    streams = [sensor_stream(run.config.modality, dataset) for run in pair.runs]
    images = [dataset.read(refs[key[0]], tuple(dict.fromkeys(streams))) for key in keys]
    configs = [run.config for run in pair.runs]
    same = configs[0].method == configs[1].method
    names = ("first", "second") if same else tuple(config.method for config in configs)
    rows = []
    for key, image in zip(keys, images, strict=True):
        bases = [draw_of(dataset, name, image.streams[name]).pixels for name in streams]
        truth = image.instances == key[1]
        size = (truth.shape[0], truth.shape[1])
        found = [each[key] for each in scored]
        click = click_in_picture(found[0], size)
        predictions = [
            draw_mask(base, predicted_mask(row, size), truth, click)
            for base, row in zip(bases, found, strict=True)
        ]
        better = names[key not in pair.most[0]]
        rows.append(
            ImageRow(
                label=f"{better} is better",
                pictures=(
                    draw_mask(bases[0], None, None, click),
                    draw_mask(bases[0], truth, truth, click),
                    *predictions,
                ),
                notes=(
                    f"{streams[0]}, {key[0]}",
                    f"{int(truth.sum()):,} px",
                    *(
                        f"IoU {row['iou']:.2f}" + (f", sees {stream}" if stream != streams[0] else "")
                        for row, stream in zip(found, streams, strict=True)
                    ),
                ),
            )
        )
    told = "; ".join(f"{name}: {label}" for name, label in zip(names, labels(pair), strict=True))
    save_image_grid(path, ("input", "truth", *names), rows, f"{told}. {LEGEND}")


def labels(pair: Pair) -> tuple[str, str]:
    """Short names for two runs: the method, and the settings in which they differ."""
    one, other = (run.config for run in pair.runs)
    names = ("method", "tuning", "modality", *(item.name for item in TELLING_SETTINGS), "seed")
    kept = {name for name in names if getattr(one, name) != getattr(other, name)} | {"method"}
    settings = [item for name, item in SETTINGS.items() if name in kept and name not in names[:3]]
    settings.sort(key=lambda item: item.place)

    def label(config: RunConfig) -> str:
        words = [getattr(config, name) for name in names[:3] if name in kept]
        words += [
            f"{item.name.replace('_', ' ')} {value:g}"
            for item in settings
            if item.kind is not str and (value := getattr(config, item.name)) is not None
        ]
        words += [
            item.label.format(value) if (value := getattr(config, item.name)) else f"no {item.name}"
            for item in settings
            if item.kind is str
        ]
        return " ".join([*words, *([config.options_text] if one.options != other.options else [])])

    return label(one), label(other)
