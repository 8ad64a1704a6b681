"""Modalities and protocols: the words that datasets, runs and reports share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from aims.core.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A physical quantity as a model sees it: one or more streams of a dataset, stacked.

    Attributes:
        name: name on the command line.
        streams: columns in stacking order; "rgb" is the decoded picture, three channels.
        channels: planes after stacking; None where the dataset decides.
        datasets: the paper's dataset first, then others that carry the same quantity.
    """

    name: str
    streams: tuple[str, ...]
    channels: int | None = None
    datasets: tuple[str, ...] = ()

    @property
    def mixes_rgb(self) -> bool:
        """True for the paper's "pseudo new modalities": RGB stacked with a sensor."""
        return "rgb" in self.streams and len(self.streams) > 1


def _table(*modalities: Modality) -> Mapping[str, Modality]:
    return MappingProxyType({modality.name: modality for modality in modalities})


_POLARIZATION_SETS = ("rgbp-glass", "zju-rgbp")

#: The modalities of the paper. Any other name is taken from the dataset's own streams.
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
    """How clicks, sizes, scaling and selection are done (reference: protocol.md): one field for each rule.

    Attributes:
        name: on the command line and in records.
        click: "middle": the middle pixel of an instance in row-major order on the 1024 x 1024 grid;
            "deepest": the pixel of the picture farthest from the instance's boundary.
        min_area: smallest region in pixels of the 1024 x 1024 grid, by dataset.
        default_min_area: the same for every set that is not listed.
        min_area_excluded: whether evaluation leaves out a region of exactly that size.
        min_recorded: smallest region in pixels of the recording itself, for every set.
        reduction: how the 1024 x 1024 grid becomes a smaller one, by nearest neighbour: "torch" takes the
            first pixel of each cell, "pil" the one at its centre.
        at_native: whether the score is counted at the picture's own size, and the 256 x 256 grid beside it;
            else on that grid alone.
        replaces_broken: whether another picture stands in for a broken one; else it is left out.
        scaling: "published": every image by its own minimum and maximum to 8 bits where the paper did so;
            "valid-range": by the range that the dataset states.
        constants: whether mean and deviation are the published ones where there are any, or measured.
        masks_missing: whether the dataset's missing values are left out; else only what is not finite.
        folds_angles: whether derived angles of polarization are read as the paper folded them.
        select_on: split on which the best epoch is chosen.
        shuffle: whether training visits the images in a new order every epoch.
        smoothing: added to intersection and union on the grid.
        recorded_as: the name that records have for it, where a later protocol has taken its name over: it is
            only read then, and no run is made under it.
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
    smoothing: float
    recorded_as: str = ""

    def smallest_area(self, dataset: str, *, training: bool) -> int:
        """The least number of pixels on the 1024 x 1024 grid with which a region is used."""
        area = self.min_area.get(dataset, self.default_min_area)
        return max(1, area + (self.min_area_excluded and not training))

    def size_rule(self, dataset: str, *, training: bool) -> str:
        """Both rules of size in words: "64 pixels of the recording and 100 pixels at 1024 x 1024"."""
        grid = f"{self.smallest_area(dataset, training=training)} pixels at {CLICK_GRID} x {CLICK_GRID}"
        return grid if self.min_recorded <= 1 else f"{self.min_recorded} pixels of the recording and {grid}"


#: Side of the square grid on which the protocols define clicks and sizes, whatever the backbone's input.
CLICK_GRID = 1024
#: Side of the square grid on which IoU is counted.
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
    smoothing=1e-6,
)
#: What `paper` was until the released program had been run beside it; records of that time are read by it.
PAPER_1 = replace(PAPER, name="paper-1", reduction="pil", recorded_as=PAPER.name)
STRICT_2 = Protocol(
    name="strict-2",
    click="deepest",
    min_area={},
    default_min_area=100,
    min_area_excluded=False,
    # A speck of two pixels of a small picture has more than 100 on the grid, and nothing to learn from.
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
    smoothing=0.0,
)
#: The first edition, for the runs that were made under it.
STRICT = replace(STRICT_2, name="strict", min_recorded=1)
#: All protocols, the default first.
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {protocol.name: protocol for protocol in (STRICT_2, PAPER, STRICT, PAPER_1)}
)
DEFAULT_PROTOCOL = STRICT_2.name


def find_protocol(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


#: NYUv2 pictures that are broken in the paper's archive, and what `paper` puts in their place.
BROKEN_IMAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"nyuv2": MappingProxyType({"398": "1134", "1133": "1134"})}
)
