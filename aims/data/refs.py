"""References to the images of a dataset, known without reading their pixels."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """The location of an image, known without reading its pixels.

    `instances` is the number of its instances; `row_group` and `row` count from 0 in `file`.
    """

    image_id: str
    group: str
    split: str
    instances: int
    file: str
    row_group: int
    row: int


class ImageRefs(Sequence[ImageRef]):
    """The images of some files, in the order written.

    Their number is that of the manifest. The images of a file are read when one of them is asked for first,
    so that a set of a million images opens at once.

    Args:
        files: number of images by file.
        read: reads the images of a file; they must be as many.
    """

    def __init__(self, files: Mapping[str, int], read: Callable[[str], tuple[ImageRef, ...]]) -> None:
        self._files, self._ends = tuple(files), tuple(accumulate(files.values()))
        self._read = read
        self._found: dict[str, tuple[ImageRef, ...]] = {}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> ImageRef: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ImageRef, ...]: ...
    def __getitem__(self, index: int | slice) -> ImageRef | tuple[ImageRef, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(len(self))[index])
        try:
            place = range(len(self))[index]
        except IndexError:
            raise IndexError(f"image {index} of {len(self)}") from None
        number = bisect_right(self._ends, place)
        before = self._ends[number - 1] if number else 0
        return self._images(self._files[number])[place - before]

    def __iter__(self) -> Iterator[ImageRef]:
        for file in self._files:
            yield from self._images(file)

    def _images(self, file: str) -> tuple[ImageRef, ...]:
        if file not in self._found:
            self._found[file] = self._read(file)
        return self._found[file]
