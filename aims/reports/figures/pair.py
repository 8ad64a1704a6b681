"""Compares two runs: the paired test, and a figure of the instances on which they differ most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from aims.core.config import SETTINGS, TELLING_SETTINGS, RunConfig
from aims.core.errors import InputError
from aims.core.files import atomic_write
from aims.core.records import INSTANCES
from aims.core.texts import printable
from aims.data.overlays import click_in_picture, predicted_mask
from aims.data.pictures import picture
from aims.reports.figures.panels import draw_mask, open_datasets, sensor_stream
from aims.reports.figures.style import save_figure
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
    # A panel is 2.6 inches wide; its height follows the pictures.
    ratio = max(image.instances.shape[0] / image.instances.shape[1] for image in images)
    figure = Figure(figsize=(10.4, len(keys) * (2.6 * ratio + 0.25)), dpi=100, layout="constrained")
    panels = figure.subplots(len(keys), 4, squeeze=False)
    for axes, key, image in zip(panels, keys, images, strict=True):
        bases = [picture(image.streams[name], name, dataset.streams[name]) for name in streams]
        truth = image.instances == key[1]
        rows = [each[key] for each in scored]
        click = click_in_picture(rows[0], (truth.shape[0], truth.shape[1]))
        masks = [predicted_mask(row, (truth.shape[0], truth.shape[1])) for row in rows]
        drawn = [
            draw_mask(bases[0], None, None, click),
            draw_mask(bases[0], truth, truth, click),
            *(draw_mask(base, mask, truth, click) for base, mask in zip(bases, masks, strict=True)),
        ]
        titles = [f"{key[0]}, {streams[0]}", f"truth, {int(truth.sum()):,} px"]
        titles += [f"{label}: IoU {row['iou']:.2f}" for label, row in zip(labels(pair), rows, strict=True)]
        for panel, shown, title in zip(axes, drawn, titles, strict=True):
            panel.imshow(shown)
            panel.set_title(printable(title), fontsize=8, loc="left", parse_math=False)
            panel.set_axis_off()
    with atomic_write(path) as beside:
        save_figure(figure, beside, format="png", metadata={"Software": None})


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
