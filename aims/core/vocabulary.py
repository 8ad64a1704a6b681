"""Modalities and protocols: the words that datasets, runs and reports share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
    """How clicks, sizes, scaling and selection are done (reference: protocol.md).

    Attributes:
        name: "paper" (how the published numbers were made) or "strict" (how a benchmark should).
        min_area: smallest region in pixels of the 1024 x 1024 grid, by dataset.
        default_min_area: the same for every set that is not listed.
        min_area_excluded: whether evaluation leaves out a region of exactly that size.
        per_image_scaling: scale every image by its own minimum and maximum to 8 bits where the paper did.
        select_on: split on which the best epoch is chosen.
        shuffle: whether training visits the images in a new order every epoch.
        smoothing: added to intersection and union.
    """

    name: str
    min_area: Mapping[str, int]
    default_min_area: int
    min_area_excluded: bool
    per_image_scaling: bool
    select_on: str
    shuffle: bool
    smoothing: float

    def smallest_area(self, dataset: str, *, training: bool) -> int:
        """The least number of pixels on the 1024 x 1024 grid with which a region is used."""
        area = self.min_area.get(dataset, self.default_min_area)
        return max(1, area + (self.min_area_excluded and not training))


#: Side of the square grid on which the protocols define clicks and sizes, whatever the backbone's input.
CLICK_GRID = 1024
#: Side of the square grid on which IoU is counted.
IOU_GRID = 256

PAPER = Protocol(
    name="paper",
    min_area={"zju-rgbp": 10_000, "rgbp-glass": 100, "ivrg-nir": 1_000},
    default_min_area=0,
    min_area_excluded=True,
    per_image_scaling=True,
    select_on="test",
    shuffle=False,
    smoothing=1e-6,
)
STRICT = Protocol(
    name="strict",
    min_area={},
    default_min_area=100,
    min_area_excluded=False,
    per_image_scaling=False,
    select_on="val",
    shuffle=True,
    smoothing=0.0,
)
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({"paper": PAPER, "strict": STRICT})


def find_protocol(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


#: NYUv2 pictures that are broken in the paper's archive: `paper` puts 1134 in their place, `strict` leaves
#: them out.
BROKEN_IMAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"nyuv2": MappingProxyType({"398": "1134", "1133": "1134"})}
)
