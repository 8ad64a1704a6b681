"""Statistics of a stream over many images: range, mean, deviation, missing and out-of-range values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array, StreamSpec
from aims.data.depths import UsedBits

# Least share of the measured values for which a value far from all others is more than a defective pixel.
_STRAY_SHARE = 1e-4


def show_number(value: float, digits: int = 4) -> str:
    """Formats a value: from 1000 to 1e9 as a grouped integer, else with `digits` significant digits."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.{digits}g}"


@dataclass(frozen=True, kw_only=True)
class ChannelSummary:
    """Statistics of one channel, or of all channels of a stream, over the measured values.

    Attributes:
        minimum: smallest value; like the others, None if nothing was measured.
        maximum: largest value.
        mean: mean value.
        std: population standard deviation.
    """

    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A value far from all others that occurs often, such as a code for "no data" that nobody declared.

    Attributes:
        value: the value, the smallest or the largest of its stream.
        count: number of its occurrences.
        nearest: the measured value nearest to it.
    """

    value: float
    count: int
    nearest: float


@dataclass(frozen=True, kw_only=True)
class StreamSummary:
    """Statistics of one stream over the images that were read.

    Attributes:
        spec: description of the stream.
        derived: whether the stream is computed when read instead of stored.
        dtypes: NumPy names of the dtypes that occur, with the number of images of each.
        values: number of values read, including missing ones.
        nan: number of values that are NaN or infinite.
        missing: number of values that equal the declared missing value.
        outside: number of measured values outside the declared range.
        all: statistics over all channels.
        channels: statistics of each channel.
        strays: values far from all others.
        depth: what the values look like if they have fewer bits than are stored; else None.
    """

    spec: StreamSpec
    derived: bool
    dtypes: Mapping[str, int]
    values: int
    nan: int
    missing: int
    outside: int
    all: ChannelSummary
    channels: Sequence[ChannelSummary]
    strays: Sequence[Stray]
    depth: str | None = None


class _End:
    """The largest value, the number of its occurrences, and the second largest, over many arrays."""

    def __init__(self) -> None:
        self.first = self.second = -np.inf
        self.count = 0

    def add(self, values: NDArray[np.float64]) -> None:
        first = float(values.max())
        same = values == first
        others = values[~same]
        second = float(others.max()) if others.size else -np.inf
        if first > self.first:
            self.first, self.count, second = first, int(same.sum()), max(second, self.first)
        elif first == self.first:
            self.count += int(same.sum())
        else:
            second = first
        self.second = max(self.second, second)


class StreamMeter:
    """Accumulates the statistics of a stream image by image, in constant memory.

    Means and deviations are merged without cancellation (Chan, Golub and LeVeque 1979, equation 2.1).
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self._dtypes: Counter[str] = Counter()
        self._values = self._nan = self._missing = self._outside = 0
        channels = spec.channels
        self._count = np.zeros(channels, np.int64)
        # `_squares` holds the sums of squared deviations from the mean.
        self._mean, self._squares = np.zeros(channels), np.zeros(channels)
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)
        # The lower end is the upper one of the negated values.
        self._bottom, self._top = _End(), _End()
        self._bits = UsedBits()

    def add(self, array: Array) -> None:
        """Adds the (height, width, channels) array of an image."""
        self._dtypes[array.dtype.name] += 1
        self._values += array.size
        self._bits.add(array, self._spec.missing)
        finite = np.isfinite(array)
        known = self._spec.measured(array)
        self._nan += int(array.size - finite.sum())
        self._missing += int((finite & ~known).sum())
        for channel in range(self._spec.channels):
            measured = array[:, :, channel][known[:, :, channel]]
            if measured.size:
                if self._spec.valid_range is not None:
                    self._outside += int((~self._spec.within(measured)).sum())
                self._merge(channel, measured.astype(np.float64))

    def _merge(self, channel: int, measured: NDArray[np.float64]) -> None:
        count, mean = measured.size, float(measured.mean())
        before, step = int(self._count[channel]), mean - self._mean[channel]
        total = before + count
        self._squares[channel] += np.square(measured - mean).sum() + step**2 * before * count / total
        self._mean[channel] += step * count / total
        self._count[channel] = total
        self._bottom.add(-measured)
        self._top.add(measured)
        self._low[channel] = min(self._low[channel], measured.min())
        self._high[channel] = max(self._high[channel], measured.max())

    def summary(self, *, derived: bool) -> StreamSummary:
        """Returns the statistics of the images added so far."""
        return StreamSummary(
            spec=self._spec,
            derived=derived,
            dtypes=dict(self._dtypes.most_common()),
            values=self._values,
            nan=self._nan,
            missing=self._missing,
            outside=self._outside,
            all=self._over(list(range(self._spec.channels))),
            channels=[self._over([k]) for k in range(self._spec.channels)],
            strays=self._strays(),
            depth=None if set(self._dtypes) - {"uint16"} else self._bits.remark(self._spec),
        )

    def _strays(self) -> list[Stray]:
        spread = self._top.second + self._bottom.second
        return [
            Stray(value=sign * end.first, count=end.count, nearest=sign * end.second)
            for sign, end in ((-1.0, self._bottom), (1.0, self._top))
            # Infinite ends (a stream of one or two values) compare as false.
            if end.first - end.second > spread > 0 and end.count >= _STRAY_SHARE * self._count.sum()
        ]

    def _over(self, channels: list[int]) -> ChannelSummary:
        count, mean = self._count[channels], self._mean[channels]
        total = int(count.sum())
        if not total:
            return ChannelSummary(minimum=None, maximum=None, mean=None, std=None)
        overall = float((mean * count).sum() / total)
        squares = float((self._squares[channels] + count * np.square(mean - overall)).sum())
        return ChannelSummary(
            minimum=float(self._low[channels].min()),
            maximum=float(self._high[channels].max()),
            mean=overall,
            std=float(np.sqrt(squares / total)),
        )
