"""The contract between converters and the dataset writer.

A converter describes its set once (`DatasetSpec`), names its images (`splits`) and reads them one by one
(`read`). Everything else - components, clicks, Parquet, checksums, resuming - is done by `aims.data`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from aims.core.columns import COLUMNS
from aims.core.errors import InputError

FORMAT_VERSION = 1
#: Lies in a raw folder that `aims synth` rendered.
MADE_UP = "synth.json"

Array = NDArray[Any]

#: Column names that a stream may not take.
RESERVED_COLUMNS = frozenset({*COLUMNS, "split"})
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")
STREAM_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """One sensor stream as the manifest describes it.

    Attributes:
        channels: planes in the stream.
        unit: unit of the stored values, e.g. "m" or "digital number".
        valid_range: lowest and highest value the sensor can mean, in `unit`; None if unknown.
        missing: the value that stands for "no measurement" beside NaN; None if there is none.
        wavelength_nm: lowest and highest wavelength the sensor sees; None if it has none or is unknown.
    """

    channels: int
    unit: str
    valid_range: tuple[float, float] | None = None
    # Whole numbers stay as they are written: the fingerprint is made of these words.
    missing: int | float | None = None
    wavelength_nm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise InputError(f"a stream has at least one channel, not {self.channels}")
        for name, bounds in (("valid_range", self.valid_range), ("wavelength_nm", self.wavelength_nm)):
            if bounds is not None and not (all(map(math.isfinite, bounds)) and bounds[0] <= bounds[1]):
                raise InputError(f"{name} {list(bounds)}: give two finite numbers, the lower one first")
        if self.valid_range is not None and self.valid_range[0] == self.valid_range[1]:
            raise InputError(f"valid_range {list(self.valid_range)}: the two numbers must differ")


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """What is true of a whole dataset.

    Attributes:
        name: kebab-case name, also the default folder.
        classes: class names; class id k is `classes[k - 1]`, and 0 is nothing.
        streams: the sensor streams by column name.
        license: licence of the raw data, in its owners' words.
        citation: whom to cite; None if unknown.
        url: where the raw data can be had; None if unknown.
        has_rgb: whether images come with an aligned RGB picture.
    """

    name: str
    classes: tuple[str, ...]
    streams: Mapping[str, StreamSpec]
    license: str
    citation: str | None = None
    url: str | None = None
    has_rgb: bool = False

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise InputError(
                f"dataset name {self.name!r}: use lower-case letters, digits, '-', '_' and '.' "
                "(it becomes a folder name)"
            )
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise InputError(f"dataset {self.name!r}: give at least one class, each name once")
        if not self.streams and not self.has_rgb:
            raise InputError(f"dataset {self.name!r} has neither a stream nor RGB pictures")
        for name in self.streams:
            if name in RESERVED_COLUMNS or not STREAM_PATTERN.fullmatch(name):
                raise InputError(
                    f"stream name {name!r}: use lower-case letters, digits and '_', "
                    f"and none of {', '.join(sorted(RESERVED_COLUMNS))}"
                )


@dataclass(frozen=True, kw_only=True)
class Published:
    """What is known of a published set before a file of it is at hand.

    Attributes:
        streams: the sensor streams that a conversion writes by default.
        license: licence of the raw data, in its owners' words; says so where none is stated.
        citation: whom to cite.
        url: where the raw data can be had, or where it is described.
        images: number of images in every split as published, the unusable ones among them; a split whose
            number is not published is left out.
        total: number of images in all splits together, where only that is published.
    """

    streams: tuple[str, ...]
    license: str
    citation: str
    url: str
    images: Mapping[str, int] = field(default_factory=dict)
    total: int | None = None

    def describe(
        self,
        name: str,
        *,
        classes: tuple[str, ...],
        streams: Mapping[str, StreamSpec],
        has_rgb: bool = False,
    ) -> DatasetSpec:
        """Completes the facts to the description of a conversion; see `DatasetSpec`."""
        return DatasetSpec(
            name=name,
            classes=classes,
            streams=streams,
            license=self.license,
            citation=self.citation,
            url=self.url,
            has_rgb=has_rgb,
        )


@dataclass(frozen=True, kw_only=True)
class SemanticMap:
    """A class id for every pixel; connected regions of one class become instances.

    Attributes:
        class_map: (height, width), integers; class ids of `DatasetSpec.classes`.
        void: class ids that are no object (background, unlabelled).
    """

    class_map: Array
    void: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True)
class InstanceMap:
    """An instance id for every pixel (0 = nothing), as the source drew them: regions are not split.

    Attributes:
        instances: (height, width), integers.
        class_ids: the class of each instance id that occurs.
    """

    instances: Array
    class_ids: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image as a converter read it.

    Attributes:
        image_id: the source's own name of the picture, unique in the set.
        group: scene or sequence; images of one group never straddle splits and are resampled together.
        streams: (height, width, channels) arrays by stream name, in the source's own dtype.
        labels: class map or instance map of the same height and width.
        rgb: the encoded picture file, byte for byte; None where there is none.
        dropped: labelled objects of the source that `labels` cannot hold, one line with the reason for each.
    """

    image_id: str
    group: str
    streams: Mapping[str, Array]
    labels: SemanticMap | InstanceMap
    rgb: bytes | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An image of the source that no split holds, for dropped.jsonl.

    Attributes:
        split: the split it would belong to.
        image_id: its name.
        reason: why it is left out.
    """

    split: str
    image_id: str
    reason: str


class SampleError(InputError):
    """One image cannot be read. `--keep-going` lists it in dropped.jsonl and goes on."""


def option(default: Any = dataclasses.MISSING, *, help: str, argument: bool = False) -> Any:
    """Declares a converter's option: a dataclass field that the command line offers by its name.

    Args:
        default: value when it is not given; without one it must be given.
        help: one line for `--help`.
        argument: a positional argument in place of an option.
    """
    return field(default=default, metadata={"help": help, "argument": argument})


@dataclass(frozen=True, kw_only=True)
class Converter(ABC):
    """Base of all converters, found through the entry-point group `aims.converters`.

    A subclass is a frozen, keyword-only dataclass; its fields made with `option` become options of
    `aims convert NAME`. Instances travel to worker processes: only the fields are pickled, so open file
    handles can be kept in `functools.cached_property`.

    Attributes:
        name: name on the command line; a published set is called the same.
        published: what is known of the set without its files; None for a converter of any set.
        raw: folder of the raw download.
    """

    name: ClassVar[str]
    published: ClassVar[Published | None] = None

    raw: Path | None = option(None, help="Folder of the raw data.")

    @property
    def root(self) -> Path:
        """The raw folder: as given, else data/raw/NAME below the working directory."""
        return self.raw if self.raw is not None else Path("data/raw") / self.name

    @property
    def made_up(self) -> bool:
        """Whether `aims synth` rendered the raw folder, which then only has a published set's layout."""
        return self.published is not None and (self.root / MADE_UP).is_file()

    def description(self) -> DatasetSpec:
        """What a conversion is called and says of itself: `spec`, unless the set is made up.

        A made-up set gets a name of its own, so that none of its scores stands beside published ones, and
        neither the real set's constants nor its broken pictures are applied to it.
        """
        spec = self.spec()
        if not self.made_up:
            return spec
        return dataclasses.replace(
            spec, name=f"made-up-{spec.name}", license="Apache-2.0", citation=None, url=None
        )

    @abstractmethod
    def spec(self) -> DatasetSpec:
        """Describes the set. Raises InputError (what was looked for, where to get it) if it is absent."""

    @abstractmethod
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Image ids of every split, in the order in which they are written."""

    @abstractmethod
    def read(self, split: str, image_id: str) -> Sample:
        """Reads one image. Raises SampleError naming the file and the reason if that fails."""

    @abstractmethod
    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        """The files that belong to this image alone, for checksums; missing ones are left out."""

    def left_out(self) -> Sequence[LeftOut]:
        """Images of the source that are known to be unusable and stand in no split."""
        return ()

    def shared_files(self) -> Sequence[Path]:
        """The files that all images share (archives, tables, descriptions)."""
        return ()

    def options(self) -> dict[str, Any]:
        """The options that shape the result, for the manifest; never where the raw folder lies."""
        return {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if item.name != "raw" and not isinstance(getattr(self, item.name), Path)
        }

    def __getstate__(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
