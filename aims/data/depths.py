"""Finds streams whose 16-bit numbers have fewer bits, as of many cameras, where no file says so."""

from __future__ import annotations

import msgspec
import numpy as np

from aims.core.schema import Array, StreamSpec

_DEPTHS = (10, 12, 14)  # bits of analogue-to-digital converters
# Of few numbers, chance makes all alike.
_LEAST = 10_000
# A full-scale exposure comes at least so near to the highest number.
_NEAR = 15 / 16
_BAND_ROWS = 1024


class UsedBits(msgspec.Struct, kw_only=True):
    """The bits that occur in the measured values of a stream of uint16.

    Attributes:
        count: number of values.
        used: all values, combined by "or".
        highest: the largest value.
    """

    count: int = 0
    used: int = 0
    highest: int = 0

    def add(self, array: Array, missing: float | None) -> None:
        """Adds an array of one image; arrays of other dtypes say nothing and are passed over."""
        if array.dtype != np.uint16:
            return
        # In bands, as a selection copies what it selects.
        for top in range(0, len(array), _BAND_ROWS):
            values = array[top : top + _BAND_ROWS]
            measured = values if missing is None else values[values != missing]
            if measured.size:
                found = int(np.bitwise_or.reduce(measured, axis=None))
                self.merge(UsedBits(count=measured.size, used=found, highest=int(measured.max())))

    def merge(self, other: UsedBits) -> None:
        """Adds what was found in other images."""
        self.count += other.count
        self.used |= other.used
        self.highest = max(self.highest, other.highest)

    def remark(self, spec: StreamSpec) -> str | None:
        """Returns what the values look like, unless the stream is said to have another range than uint16."""
        whole = (0.0, float(np.iinfo(np.uint16).max))
        if self.count < _LEAST or spec.valid_range not in (None, whole):
            return None
        for bits in _DEPTHS:
            top, step = 2**bits - 1, 2 ** (16 - bits)
            if _NEAR * top <= self.highest <= top:
                return (
                    f"no number is above {top:,}, so they may have {bits} bits in 16: "
                    f"valid_range = [0, {top}] says so"
                )
            # The least significant bit that occurs.
            if self.used & -self.used == step:
                return (
                    f"all numbers are multiples of {step}, so they may have {bits} bits in the upper ones of "
                    "16; they are kept as stored"
                )
        return None
