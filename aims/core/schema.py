"""The interface between converters and the dataset writer.

A converter describes its dataset (`DatasetSpec`), lists its images (`splits`) and reads them one by one
(`read`). Everything else (components, clicks, Parquet, checksums, resuming) is done by `aims.data`.
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

import numpy as np
from numpy.typing import NDArray

from aims.core.columns import COLUMNS
from aims.core.drafts import Draft
from aims.core.errors import InputError

FORMAT_VERSION = 1
#: File that marks a raw folder as rendered by `aims synth`.
MADE_UP = "synth.json"
#: Folder below the working directory where the raw folder of each dataset is looked for.
RAW = Path("data/raw")

Array = NDArray[Any]

#: Column names that a stream may not take.
RESERVED_COLUMNS = frozenset({*COLUMNS, "split"})
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")
STREAM_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """The description of a sensor stream in the manifest.

    Attributes:
        channels: number of channels.
        unit: unit of the stored values, e.g. "m" or "digital number".
        valid_range: lowest and highest value that the sensor can measure, in `unit`; None if unknown.
        missing: value that means "no measurement", in addition to NaN; None if there is none.
        wavelength_nm: lowest and highest wavelength of the sensor in nm; None if it has none or is unknown.
    """

    channels: int
    unit: str
    # Integers are not converted: the fingerprint is computed from JSON, in which 0 and 0.0 differ.
    valid_range: tuple[int | float, int | float] | None = None
    missing: int | float | None = None
    wavelength_nm: tuple[int | float, int | float] | None = None

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise InputError(f"a stream has at least one channel, not {self.channels}")
        for name, bounds in (("valid_range", self.valid_range), ("wavelength_nm", self.wavelength_nm)):
            if bounds is not None and not (all(map(_is_finite, bounds)) and bounds[0] <= bounds[1]):
                raise InputError(f"{name} {list(bounds)}: give two finite numbers, the lower one first")
        if isinstance(self.missing, int) and not _is_finite(self.missing):
            raise InputError("missing: an integer that no float can hold; give another")
        if self.valid_range is not None and self.valid_range[0] == self.valid_range[1]:
            raise InputError(f"valid_range {list(self.valid_range)}: the two numbers must differ")

    def measured(self, array: Array) -> NDArray[np.bool_]:
        """Returns where an array holds measurements: finite values other than `missing`, of its shape."""
        found: NDArray[np.bool_] = np.isfinite(array)
        # What the type of the values cannot hold rounds to infinity, here and below, and compares right.
        with np.errstate(over="ignore"):
            return found if self.missing is None else found & (array != self.missing)

    def within(self, array: Array) -> NDArray[np.bool_]:
        """Returns where values lie in the valid range, with its bounds rounded to the type of the values."""
        low, high = self.valid_range or (-math.inf, math.inf)
        with np.errstate(over="ignore"):
            inside: NDArray[np.bool_] = (array >= low) & (array <= high)
        return inside


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer that no float can hold
        return False


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """The description of a dataset.

    Attributes:
        name: name in kebab-case, also of the default folder.
        classes: class names; class id k is `classes[k - 1]`, and 0 means no class.
        streams: sensor streams by column name.
        license: licence of the raw data, in the words of its owners.
        citation: work to cite; None if unknown.
        url: where the raw data can be obtained; None if unknown.
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
    """Facts of a published dataset that are known without its files.

    Attributes:
        streams: names of the streams that a conversion writes by default.
        license: licence of the raw data, in the words of its owners, or a note that none is stated.
        citation: work to cite; None if unknown.
        url: where the raw data can be obtained or is described; None if unknown.
        images: published number of images by split, including unusable ones; splits without a published
            number are left out.
        total: published number of images of all splits, if only that is known.
        sensor: kind of the sensor, such as "thermal".
        size: size of the download as text; None if unknown.
        access: how to get the files from `url`; None if the converter's own messages say it.
    """

    streams: tuple[str, ...]
    license: str
    citation: str | None = None
    url: str | None = None
    images: Mapping[str, int] = field(default_factory=dict)
    total: int | None = None
    sensor: str | None = None
    size: str | None = None
    access: str | None = None

    def describe(
        self,
        name: str,
        *,
        classes: tuple[str, ...],
        streams: Mapping[str, StreamSpec],
        has_rgb: bool = False,
    ) -> DatasetSpec:
        """Builds the description of a converted dataset from these facts; see `DatasetSpec`."""
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
        class_map: (height, width) integers, class ids of `DatasetSpec.classes`.
        void: ids of classes that are not objects (background, unlabelled).
    """

    class_map: Array
    void: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True)
class InstanceMap:
    """An instance id for every pixel, 0 for none; instances are kept even if they are not connected.

    Attributes:
        instances: (height, width) integers, instance ids.
        class_ids: class id of every instance id that occurs.
    """

    instances: Array
    class_ids: Mapping[int, int]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image as a converter reads it.

    Attributes:
        image_id: name of the image in the source, unique in the dataset.
        group: scene or sequence; a group lies in one split, and the bootstrap resamples it as a whole.
        streams: (height, width, channels) arrays by stream name, in the dtype of the source.
        labels: class map or instance map of the same height and width.
        rgb: bytes of the encoded RGB file, unchanged; None if there is none.
        dropped: objects of the source that `labels` does not contain, one line with the reason for each.
        overlaps: lines that count the pixels of objects that `labels` gives to others.
        cuts: a line that counts the objects that go on outside, where the image is a tile of a picture.
    """

    image_id: str
    group: str
    streams: Mapping[str, Array]
    labels: SemanticMap | InstanceMap
    rgb: bytes | None = None
    dropped: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An image of the source that is in no split, for dropped.jsonl.

    Attributes:
        split: split to which it would belong.
        image_id: name of the image.
        reason: reason why it is left out.
    """

    split: str
    image_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FileCount:
    """The files of one kind in a raw folder: those that a conversion reads, and those that it passes over.

    Attributes:
        pattern: the form of their names.
        found: number of files of that form.
        used: number of those that belong to an image.
        unused: the first of the others.
        others: number of files beside them that have no described form.
        nearest: those of them whose names are most alike.
        hidden: number of hidden files, and of those that operating systems leave, beside them.
        images_without: number of images without such a file.
        examples: the first of these images.
        complete: whether each file should belong to an image, and each image have one.
    """

    pattern: str
    found: int
    used: int
    unused: tuple[str, ...] = ()
    others: int = 0
    nearest: tuple[str, ...] = ()
    hidden: int = 0
    images_without: int = 0
    examples: tuple[str, ...] = ()
    complete: bool = False

    def warnings(self) -> list[str]:
        """Returns a line if there are files without an image, and one if there are images without a file."""
        lines = []
        if self.complete and self.found > self.used:
            lines.append(
                f"{self.pattern}: {self.found:,} files, but {self.used:,} belong to an image; without one: "
                f"{few(self.unused, self.found - self.used)}"
            )
        if self.complete and self.images_without:
            lines.append(
                f"{self.pattern}: no file for {self.images_without:,} "
                f"{'image' if self.images_without == 1 else 'images'}: "
                f"{few(self.examples, self.images_without)}"
            )
        return lines


def few(names: Sequence[str], count: int) -> str:
    """Formats the first of `count` names, and how many there are more."""
    return ", ".join(names) + (f" and {count - len(names):,} more" if count > len(names) else "")


class SampleError(InputError):
    """Raised for an image that cannot be read. `--keep-going` lists it in dropped.jsonl and continues."""


def option(default: Any = dataclasses.MISSING, *, help: str, argument: bool = False) -> Any:
    """Declares a dataclass field of a converter as an option on the command line.

    Args:
        default: default value; the option is required without one.
        help: line of `--help`.
        argument: whether it is a positional argument instead of an option.
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
        """Folder of the raw data: `raw` if given, else data/raw/NAME below the working directory."""
        return self.raw if self.raw is not None else RAW / self.name

    @property
    def made_up(self) -> bool:
        """Whether `aims synth` rendered the raw folder in the layout of a published dataset."""
        return self.published is not None and (self.root / MADE_UP).is_file()

    def description(self) -> DatasetSpec:
        """Returns the description of the converted dataset: `spec`, renamed if the data are synthetic.

        With a name of its own a synthetic dataset is never compared with published scores, and neither the
        constants nor the list of broken images of the real dataset apply to it.
        """
        spec = self.spec()
        if not self.made_up:
            return spec
        return dataclasses.replace(
            spec, name=f"made-up-{spec.name}", license="Apache-2.0", citation=None, url=None
        )

    @classmethod
    def draft(cls, folder: Path) -> Draft:
        """Drafts the description from which this converter reads a folder.

        Raises:
            InputError: the folder cannot be described, or the converter reads one layout alone.
        """
        raise InputError(f"converter {cls.name!r} needs no description of {folder}: it reads one layout")

    @abstractmethod
    def spec(self) -> DatasetSpec:
        """Describes the dataset. Raises InputError, saying where to get the raw data, if they are absent."""

    @abstractmethod
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns the image ids of every split, in the order in which they are written."""

    @abstractmethod
    def read(self, split: str, image_id: str) -> Sample:
        """Reads one image. Raises SampleError, naming the file and the reason, if that fails."""

    @abstractmethod
    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        """Returns the files of this image only, for checksums; missing ones are left out."""

    def left_out(self) -> Sequence[LeftOut]:
        """Returns images of the source that are known to be unusable and are in no split."""
        return ()

    def warnings(self) -> Sequence[str]:
        """Returns what a user should know about the source, a line each, for the console and the manifest."""
        return ()

    def shared_files(self) -> Sequence[Path]:
        """Returns the files that all images share (archives, tables, descriptions)."""
        return ()

    def inventory(self) -> Sequence[FileCount]:
        """Returns the counts of the files that images are read from, and of those that are passed over."""
        return ()

    def options(self) -> dict[str, Any]:
        """Returns the options that affect the result, for the manifest; paths are left out."""
        return {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if item.name != "raw" and not isinstance(getattr(self, item.name), Path)
        }

    def __getstate__(self) -> dict[str, Any]:
        # Without cached properties, which may hold open files.
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
