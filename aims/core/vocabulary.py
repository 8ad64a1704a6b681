"""Modalities, protocols and training prompts, shared by datasets, runs and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from aims.core.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A physical quantity as input of a model: one or more stacked streams of a dataset.

    Attributes:
        name: name on the command line.
        streams: column names in stacking order; "rgb" is the decoded picture with three channels.
        channels: number of channels after stacking; None if it depends on the dataset.
        datasets: names of datasets with these streams, the one of the paper first.
    """

    name: str
    streams: tuple[str, ...]
    channels: int | None = None
    datasets: tuple[str, ...] = ()

    @property
    def mixes_rgb(self) -> bool:
        """Whether RGB is stacked with a sensor, as in the paper's "pseudo new modalities"."""
        return "rgb" in self.streams and len(self.streams) > 1


def _table(*modalities: Modality) -> Mapping[str, Modality]:
    return MappingProxyType({modality.name: modality for modality in modalities})


_POLARIZATION_SETS = ("rgbp-glass", "zju-rgbp")

#: The modalities of the paper. Other modalities have the name of a dataset's stream.
MODALITIES = _table(
    Modality(name="thermal", streams=("thermal",), channels=1, datasets=("thermal-glass",)),
    Modality(name="depth", streams=("depth",), channels=1, datasets=("nyuv2",)),
    Modality(name="hha", streams=("hha",), channels=3, datasets=("nyuv2",)),
    Modality(name="nir", streams=("nir",), channels=1, datasets=("ivrg-nir",)),
    Modality(
        name="polarization", streams=("intensity", "aolp", "dolp"), channels=9, datasets=_POLARIZATION_SETS
    ),
    Modality(name="aolp-dolp", streams=("aolp", "dolp"), channels=6, datasets=_POLARIZATION_SETS),
    Modality(name="rgb-thermal", streams=("rgb", "thermal"), channels=4, datasets=("thermal-glass",)),
    Modality(name="rgb-depth", streams=("rgb", "depth"), channels=4, datasets=("nyuv2",)),
    Modality(name="rgb-hha", streams=("rgb", "hha"), channels=6, datasets=("nyuv2",)),
    Modality(name="rgb-nir", streams=("rgb", "nir"), channels=4, datasets=("ivrg-nir",)),
)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The rules of clicks, sizes, scaling and selection (docs/protocols.md), one field for each rule.

    Attributes:
        name: name on the command line and in records.
        click: "middle": the middle pixel of an instance in row-major order on the 1024 x 1024 grid;
            "deepest": the pixel of the image farthest from the instance's boundary.
        min_area: smallest area of an instance, in pixels of the 1024 x 1024 grid, by dataset.
        default_min_area: smallest area for datasets that `min_area` does not list.
        min_area_excluded: whether evaluation leaves out instances of exactly the smallest area.
        min_recorded: smallest area of an instance in pixels of the recording, for all datasets.
        reduction: nearest-neighbour rule that reduces the 1024 x 1024 grid: "torch" takes the first pixel of
            each cell, "pil" the one at its centre.
        at_native: whether the score is computed at the resolution of the image, with a second one at
            256 x 256; else at 256 x 256 only.
        replaces_broken: whether another image replaces a broken one; else broken images are left out.
        scaling: "published": by the minimum and maximum of each image to 8 bits, where the paper did so;
            "valid-range": by the range that the dataset states.
        constants: "published": mean and standard deviation of the paper, where it has any; "measured": those
            of the training part.
        masks_missing: whether the dataset's missing values count as not measured; else only non-finite ones.
        folds_angles: whether derived angles of polarization are folded as in the paper.
        select_on: split on which the best epoch is selected.
        shuffle: whether training visits the images in a new order in every epoch.
        single_clicks: whether training is on single clicks alone; else on any of `TRAINING_PROMPTS`.
        smoothing: term added to intersection and union at 256 x 256.
        recorded_as: name of this protocol in records, if a later protocol has taken over that name; such a
            protocol can only be read, not run.
    """

    name: str
    click: Literal["middle", "deepest"]
    min_area: Mapping[str, int]
    default_min_area: int
    min_area_excluded: bool
    min_recorded: int
    reduction: Literal["torch", "pil"]
    at_native: bool
    replaces_broken: bool
    scaling: Literal["published", "valid-range"]
    constants: Literal["published", "measured"]
    masks_missing: bool
    folds_angles: bool
    select_on: str
    shuffle: bool
    single_clicks: bool
    smoothing: float
    recorded_as: str = ""

    def smallest_area(self, dataset: str, *, training: bool) -> int:
        """Returns the smallest area, in pixels of the 1024 x 1024 grid, of an instance that is used."""
        area = self.min_area.get(dataset, self.default_min_area)
        return max(1, area + (self.min_area_excluded and not training))

    def size_rule(self, dataset: str, *, training: bool) -> str:
        """Describes both size rules, e.g. "64 pixels of the recording and 100 pixels at 1024 x 1024"."""
        grid = f"{self.smallest_area(dataset, training=training)} pixels at {CLICK_GRID} x {CLICK_GRID}"
        return grid if self.min_recorded <= 1 else f"{self.min_recorded} pixels of the recording and {grid}"


#: Side of the square grid on which the protocols define clicks and sizes, whatever the backbone's input.
CLICK_GRID = 1024
#: Side of the square grid on which the IoU is computed: the score of `paper`, a second one under `strict`.
IOU_GRID = 256

PAPER = Protocol(
    name="paper",
    click="middle",
    min_area={"zju-rgbp": 10_000, "rgbp-glass": 100, "ivrg-nir": 1_000},
    default_min_area=0,
    min_area_excluded=True,
    min_recorded=1,
    reduction="torch",
    at_native=False,
    replaces_broken=True,
    scaling="published",
    constants="published",
    masks_missing=False,
    folds_angles=True,
    select_on="test",
    shuffle=False,
    single_clicks=True,
    smoothing=1e-6,
)
#: The rules of `paper` in records of version 1, which reduced the grid differently from the released program.
PAPER_1 = replace(PAPER, name="paper-1", reduction="pil", recorded_as=PAPER.name)
STRICT_2 = Protocol(
    name="strict-2",
    click="deepest",
    min_area={},
    default_min_area=100,
    min_area_excluded=False,
    # Two pixels of a small image can cover more than 100 pixels of the grid, with nothing to learn from.
    min_recorded=64,
    reduction="pil",
    at_native=True,
    replaces_broken=False,
    scaling="valid-range",
    constants="measured",
    masks_missing=True,
    folds_angles=False,
    select_on="val",
    shuffle=True,
    single_clicks=False,
    smoothing=0.0,
)
#: The first edition of the strict rules, for runs that were made under it.
STRICT = replace(STRICT_2, name="strict", min_recorded=1)
#: All protocols, the default first.
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {protocol.name: protocol for protocol in (STRICT_2, PAPER, STRICT, PAPER_1)}
)
DEFAULT_PROTOCOL = STRICT_2.name


def find_protocol(name: str) -> Protocol:
    """Returns a protocol by its name.

    Raises:
        InputError: the name is unknown.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


#: Experiment trackers that `--track` names.
TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


@dataclass(frozen=True, kw_only=True)
class TrainingPrompts:
    """The prompts that training simulates for each drawn instance.

    Attributes:
        first: kinds of the first prompt, "click" or "box"; a step draws one of them with equal chances.
        further: number of clicks that follow, each where the last mask is wrong.
        text: description for people, which completes "trained on".
    """

    first: tuple[Literal["click", "box"], ...]
    further: int = 0
    text: str

    @property
    def boxes_alone(self) -> bool:
        """Whether training sees no first click; then boxes select the epoch."""
        return self.first == ("box",)


#: Number of clicks after the first prompt in SAM's training (Segment Anything, appendix A), which found
#: little gain in more.
FURTHER_CLICKS = 8
#: Training prompts by name, the default first.
TRAINING_PROMPTS: Mapping[str, TrainingPrompts] = MappingProxyType(
    {
        "click": TrainingPrompts(first=("click",), text="single clicks"),
        "clicks": TrainingPrompts(
            first=("click",), further=FURTHER_CLICKS, text=f"1 to {FURTHER_CLICKS + 1} clicks"
        ),
        "box": TrainingPrompts(first=("box",), text="boxes"),
        "mixed": TrainingPrompts(
            first=("click", "box"),
            further=FURTHER_CLICKS,
            text=f"clicks and boxes with up to {FURTHER_CLICKS} further clicks",
        ),
    }
)
DEFAULT_PROMPTS = next(iter(TRAINING_PROMPTS))

#: Images that are broken in the paper's archive of NYUv2, and those that replace them under `paper`.
BROKEN_IMAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"nyuv2": MappingProxyType({"398": "1134", "1133": "1134"})}
)
