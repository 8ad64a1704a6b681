"""Statistics of a dataset: images, streams, classes, instance sizes, and what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from aims.data.cells import OBJECT_FIELD
from aims.data.dropped import Dropped, read_dropped
from aims.data.meters import StreamMeter, StreamSummary
from aims.data.read import Dataset
from aims.data.refs import ImageRef

#: Number of images whose pixels are read by default.
DEFAULT_IMAGES = 200
#: Quantiles of the instance sizes that are listed.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_BINS = 10

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bar of a histogram: how many values lie in low..high, both included."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """Statistics of one split, or of the whole dataset.

    Attributes:
        images: number of images.
        instances: number of instances.
        groups: number of groups (scenes or sequences).
        pixels: number of pixels of the images, inside instances or not.
        per_image: minimum, median and maximum number of instances per image.
        class_instances: number of instances by class name, including classes without any.
        class_pixels: number of pixels of these instances by class name.
    """

    images: int
    instances: int
    groups: int
    pixels: int
    per_image: tuple[int, float, int]
    class_instances: Mapping[str, int]
    class_pixels: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Result of `summarize`.

    Attributes:
        splits: statistics by split, in the dataset's order.
        total: statistics of all splits together.
        sizes: number of images by (height, width), the most frequent first.
        areas: histogram of instance areas in pixels (`area_bins`).
        area_quantiles: area in pixels at each of `QUANTILES`; empty without instances.
        per_image: histogram of the number of instances per image.
        images_read: number of images over which `streams` was computed.
        streams: statistics by stream: RGB if present, then stored, then derived streams.
        dropped: what was left out, the most frequent reason first.
    """

    splits: Mapping[str, SplitSummary]
    total: SplitSummary
    sizes: Mapping[tuple[int, int], int]
    areas: Sequence[Bin]
    area_quantiles: Mapping[float, float]
    per_image: Sequence[Bin]
    images_read: int
    streams: Mapping[str, StreamSummary]
    dropped: Sequence[Dropped]

    def as_json(self) -> dict[str, Any]:
        """Returns the summary as a JSON object without NaN."""
        value = asdict(self)
        value["sizes"] = [
            {"height": size[0], "width": size[1], "images": count} for size, count in self.sizes.items()
        ]
        value["area_quantiles"] = {f"{share:g}": area for share, area in self.area_quantiles.items()}
        return value


def summarize(
    dataset: Dataset,
    *,
    images: int | None = DEFAULT_IMAGES,
    on_total: Callable[[int], None] = lambda images: None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Summary:
    """Computes the statistics of a dataset.

    Instances, classes and sizes are counted over all images. Pixels are read one image at a time, of all
    images or of an evenly spaced selection. Memory: one image, and 16 bytes per instance.

    Args:
        dataset: an open dataset.
        images: maximum number of images whose pixels are read; None for all.
        on_total: called once with the number of images whose pixels will be read.
        on_progress: called with the number of images read since the last call.

    Raises:
        InputError: dropped.jsonl is damaged.
        AimsError: a shard is damaged.
    """
    dropped = read_dropped(dataset.folder)
    refs = dataset.refs
    chosen = evenly(refs, len(refs) if images is None else images)
    on_total(len(chosen))
    images_by_split = _read_light(dataset)
    everything = [image for part in images_by_split.values() for image in part]
    classes, areas = dataset.spec.classes, _objects(everything)[:, 1]
    sizes = Counter(image.size for image in everything)
    quantiles = np.quantile(areas, QUANTILES).tolist() if len(areas) else []
    return Summary(
        splits={split: _summarize(part, classes) for split, part in images_by_split.items()},
        total=_summarize(everything, classes),
        sizes=dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        areas=area_bins(areas),
        area_quantiles=dict(zip(QUANTILES, quantiles, strict=False)),
        per_image=count_bins([len(image.objects) for image in everything]),
        images_read=len(chosen),
        streams=_read_streams(dataset, chosen, on_progress),
        dropped=dropped,
    )


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Returns at most `count` evenly spaced items; from two on, the first and the last are included."""
    count = min(count, len(items))
    return [items[round(k)] for k in np.linspace(0, len(items) - 1, count)]


def area_bins(areas: NDArray[np.int64]) -> list[Bin]:
    """Returns a histogram of areas with bounds 1, 4, 16, ...: a square's side doubles from bin to bin."""
    if not len(areas):
        return []
    # bit_length is exact where log2 may round.
    powers = Counter((max(1, area).bit_length() - 1) // 2 for area in areas.tolist())
    return [
        Bin(low=4**power, high=4 ** (power + 1) - 1, count=powers[power])
        for power in range(min(powers), max(powers) + 1)
    ]


def count_bins(counts: Sequence[int]) -> list[Bin]:
    """Returns a histogram of small integers with at most ten bins of equal width."""
    if not counts:
        return []
    low, high = min(counts), max(counts)
    width = -(-(high - low + 1) // _BINS)
    found = Counter((count - low) // width for count in counts)
    return [
        Bin(low=low + k * width, high=min(high, low + (k + 1) * width - 1), count=found[k])
        for k in range((high - low) // width + 1)
    ]


class _ImageRow(NamedTuple):
    """Group, (height, width) and objects of an image; `objects` is (instances, 2): class id and area."""

    group: str
    size: tuple[int, int]
    objects: NDArray[np.int64]


def _read_light(dataset: Dataset) -> dict[str, list[_ImageRow]]:
    """Reads all images by split without their pixels: group, size, class ids and areas."""
    columns = ("group", "height", "width", f"{OBJECT_FIELD}class_id", f"{OBJECT_FIELD}area")
    found: dict[str, list[_ImageRow]] = {split: [] for split in dataset.manifest.splits}
    for file, entry in dataset.manifest.files.items():
        for _, _, row in dataset.rows(file, columns):
            pairs = [(item["class_id"], item["area"]) for item in row["objects"]]
            objects = np.array(pairs, np.int64).reshape(-1, 2)
            found[entry.split].append(_ImageRow(row["group"], (row["height"], row["width"]), objects))
    return found


def _objects(images: Sequence[_ImageRow]) -> NDArray[np.int64]:
    """Returns class id and area of every instance of some images, (instances, 2)."""
    # The empty array serves datasets without images, which `np.concatenate` would refuse.
    return np.concatenate([np.zeros((0, 2), np.int64), *(image.objects for image in images)])


def _summarize(images: Sequence[_ImageRow], classes: Sequence[str]) -> SplitSummary:
    ids, areas = _objects(images).T
    instances = np.bincount(ids, minlength=len(classes) + 1)[1:].tolist()
    # `np.bincount` with weights would sum in float64; areas stay integers here.
    covered = np.zeros(len(classes) + 1, np.int64)
    np.add.at(covered, ids, areas)
    counts = [len(image.objects) for image in images] or [0]
    return SplitSummary(
        images=len(images),
        instances=len(ids),
        groups=len({image.group for image in images}),
        pixels=sum(height * width for _, (height, width), _ in images),
        per_image=(min(counts), float(np.median(counts)), max(counts)),
        class_instances=dict(zip(classes, instances, strict=True)),
        class_pixels=dict(zip(classes, covered[1:].tolist(), strict=True)),
    )


def _read_streams(
    dataset: Dataset, refs: Sequence[ImageRef], on_progress: Callable[[int], None]
) -> dict[str, StreamSummary]:
    names = tuple(dataset.streams)
    meters = {name: StreamMeter(dataset.streams[name]) for name in names}
    for ref in refs:
        image = dataset.read(ref, names)
        for name, array in image.streams.items():
            meters[name].add(array)
        on_progress(1)
    return {name: meter.summary(derived=name in dataset.derived) for name, meter in meters.items()}
