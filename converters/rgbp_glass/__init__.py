"""RGBP-Glass: 4511 images of glass by a colour polarization camera (Mei et al., CVPR 2022).

    {train,test}/image/ID_rgb.tiff                       intensity in red, green, blue
    {train,test}/aolp/ID_aolp.tiff                       angle of linear polarization of each colour
    {train,test}/dolp/ID_dolp.tiff                       degree of linear polarization of each colour
    {train,test}/mask/ID_mask.png                        0 background, 255 glass
    {train,test}/instances_{train,test}.json             (authors) COCO polygons of the category "glass"
    {train,test}/instance_mask/ID_instance_mask.png      (re-distributed, pgsnet/) a number per instance

The dataset may lie in the raw folder itself, in RGBP-Glass/ or in pgsnet/ below it; `edge/` and `reflection/`
are not read.

`--instances` selects the source of instances: `png` (instance_mask/), `json` (instances_SPLIT.json),
`components` (mask/, split into 8-connected regions), or `auto`, in each split the first of these that it has.

Streams are stored unchanged. The authors' files hold intensity in 16 bits and angle and degree in 8 bits;
other copies with floats from 0 to 1, or with 8 bits throughout, are read too, and the manifest states which
was found. The released programs read the intensity's high byte only. The authors' program reverses the
channels of AoLP and DoLP, not of the image; the paper's does not, and this converter does so only with
`--authors-channel-order`.

Names begin with the day of the recording and a number (20210717001004), but images of one day and of nearby
numbers occur in both splits, so names do not identify sequences: each image is its own group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aims.core.errors import InputError
from aims.core.schema import (
    Array,
    DatasetSpec,
    FileCount,
    LeftOut,
    Published,
    Sample,
    SampleError,
    StreamSpec,
    option,
)
from aims.reading.pictures import check_sizes, load_picture

from ..reading.files import (
    AUTO,
    check_split_names,
    find_set,
    first_readable,
    label_size,
    list_suffixed,
    load_channels,
    on_disk,
)
from ..reading.published import Files, FilesConverter
from .labels import GlassLabels

_URL = "https://mhaiyang.github.io/CVPR2022_PGSNet/index.html"
_CITATION = (
    "Haiyang Mei, Bo Dong, Wen Dong, Jiaxi Yang, Seung-Hwan Baek, Felix Heide, Pieter Peers, Xiaopeng Wei, "
    "Xin Yang: Glass Segmentation Using Intensity and Spectral Polarization Cues. CVPR 2022"
)
_SPLITS = ("train", "test")
_FOLDERS = ("RGBP-Glass", "pgsnet")
#: Folder and file name of each stream, and the quantity that its value 1 means.
_STREAMS = {
    "intensity": ("image", "rgb.tiff", "full scale"),
    "aolp": ("aolp", "aolp.tiff", "pi"),
    "dolp": ("dolp", "dolp.tiff", "the intensity"),
}
# Broken recordings, which the paper leaves out as well.
_BROKEN = ("20210808013065", "20210811002205")
# Largest share of values outside 0..1 in a stream of floats.
_OUTSIDE = 0.1

#: A file of a stream, its dtype, and the value that it declares to be no measurement.
_Model = tuple[Path, np.dtype[Any], float | None]


@dataclass(frozen=True, kw_only=True)
class RGBPGlassConverter(FilesConverter):
    """RGBP-Glass: intensity, angle and degree of polarization of glass, in three colours each."""

    name: ClassVar[str] = "rgbp-glass"
    published: ClassVar[Published] = Published(
        streams=tuple(_STREAMS),
        license="see the LICENSE file of the download; none is stated elsewhere, research use",
        citation=_CITATION,
        url=_URL,
        images={"train": 3207, "test": 1304},
        sensor="polarization",
    )

    instances: str = option(
        AUTO,
        help="Source of instances: png (instance_mask/), json (instances_SPLIT.json), components (of mask/), "
        "or auto, the first that a split has.",
    )
    authors_channel_order: bool = option(
        False, help="Reverse the channels of AoLP and DoLP, as the authors' loader does."
    )

    def spec(self) -> DatasetSpec:
        """Describes the dataset; units and ranges follow the dtype of the first readable image."""
        self._labels.check()
        return self.published.describe(
            self.name,
            classes=("glass",),
            streams={
                name: _describe(name, dtype, missing) for name, (_, dtype, missing) in self._first.items()
            },
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns the names of the images, sorted, without the two broken recordings."""
        return {split: tuple(k for k in ids if k not in _BROKEN) for split, ids in self._found.items()}

    def left_out(self) -> Sequence[LeftOut]:
        """Returns the two broken recordings, if present."""
        reason = "broken recording, which the paper leaves out too"
        return tuple(
            LeftOut(split=split, image_id=image_id, reason=reason)
            for split, ids in self._found.items()
            for image_id in ids
            if image_id in _BROKEN
        )

    def read_files(self, split: str, image_id: str) -> Sample:
        """Reads one image and checks that its files match each other and the first image."""
        streams, sizes = {}, []
        for name, (first, dtype, missing) in self._first.items():
            path, array = self._stream(name, split, image_id, missing)
            if array.dtype != dtype:
                raise SampleError(
                    f"{path}: {array.dtype}, but {first} has {dtype}; all images of a stream must be alike"
                )
            streams[name] = array
            sizes.append((path, array.shape[:2]))
        label_path, labels, dropped, overlaps = self._labels.read(split, image_id)
        check_sizes([*sizes, (label_path, label_size(labels))])
        return Sample(
            image_id=image_id,
            group=image_id,
            streams=streams,
            labels=labels,
            dropped=dropped,
            overlaps=overlaps,
        )

    def files(self, split: str, image_id: str) -> Files:
        """Returns the image's files: three streams, and its label file if it has one."""
        streams = {
            f"{{split}}/{folder}/{{id}}_{suffix}": self._path(name, split, image_id)
            for name, (folder, suffix, _) in _STREAMS.items()
        }
        return {**streams, **self._labels.file(split, image_id)}

    def inventory(self) -> Sequence[FileCount]:
        """Returns the counts of the files, and of the images that JSON files list."""
        return (*super().inventory(), *self._labels.count(self._found))

    def warnings(self) -> Sequence[str]:
        """Returns a line if the splits' instances come from different sources."""
        return self._labels.warnings()

    def shared_files(self) -> Sequence[Path]:
        """Returns the JSON files if instances come from them."""
        return self._labels.shared_files()

    @cached_property
    def folder(self) -> Path:
        """The folder of the set: the raw folder, or one in it."""
        missing = (
            "no RGBP-Glass; looked for train/ and test/ with image/ID_rgb.tiff, aolp/ID_aolp.tiff, "
            "dolp/ID_dolp.tiff and mask/ID_mask.png (authors) or instance_mask/ID_instance_mask.png "
            f"(re-distributed), here and in {' and '.join(_FOLDERS)}; get it from {_URL} and give its folder "
            "with --raw"
        )
        folder = find_set(
            self.root,
            _FOLDERS,
            lambda at: any((at / split / "image").is_dir() for split in _SPLITS),
            missing=missing,
        )
        for split in _SPLITS:
            if not (folder / split).is_dir():
                raise InputError(
                    f"{folder / split}: no such folder; train and test are two downloads of {_URL}: get both"
                )
        return folder

    @cached_property
    def _labels(self) -> GlassLabels:
        return GlassLabels(self.folder, _SPLITS, self.instances)

    @cached_property
    def _found(self) -> dict[str, tuple[str, ...]]:
        """All names that occur in any folder of a split, so that a missing file raises when it is read."""
        files: dict[str, dict[str, Path]] = {}
        for split in _SPLITS:
            files[split] = dict(self._labels.files(split))
            for folder, suffix, _ in _STREAMS.values():
                files[split] |= list_suffixed(self.folder / split / folder, suffix)
        check_split_names(files)
        return {split: tuple(sorted(ids)) for split, ids in files.items()}

    @cached_property
    def _first(self) -> dict[str, _Model]:
        """The model of each stream: that of the first image whose streams can be read."""

        def read(image: tuple[str, str]) -> dict[str, _Model]:
            self.check_files(*image)
            models = {}
            for name in _STREAMS:
                missing = load_picture(self._path(name, *image)).missing
                path, array = self._stream(name, *image, missing)
                models[name] = (path, array.dtype, missing)
            return models

        images = ((split, image_id) for split, ids in self.splits().items() for image_id in ids)
        first = first_readable(images, read)
        if first is None:
            raise InputError(f"{self.folder}: holds no picture but the broken ones; get the set from {_URL}")
        return first

    def _path(self, name: str, split: str, image_id: str) -> Path:
        folder, suffix, _ = _STREAMS[name]
        return on_disk(self.folder / split / folder / f"{image_id}_{suffix}")

    def _stream(self, name: str, split: str, image_id: str, missing: float | None) -> tuple[Path, Array]:
        path = self._path(name, split, image_id)
        array = load_channels(path, missing=missing)
        if array.dtype.kind == "f":
            _check_fractions(path, array, missing)
        elif array.dtype not in (np.uint8, np.uint16):
            raise SampleError(f"{path}: {array.dtype} values; expected 8 or 16 bit, or float32")
        if self.authors_channel_order and name != "intensity":
            array = np.ascontiguousarray(array[..., ::-1])
        return path, array


def _describe(name: str, dtype: np.dtype[Any], missing: float | None) -> StreamSpec:
    whole = _STREAMS[name][2]
    if dtype.kind == "f":
        return StreamSpec(channels=3, unit=f"fraction of {whole}", valid_range=(0.0, 1.0), missing=missing)
    top = int(np.iinfo(dtype).max)
    return StreamSpec(channels=3, unit=f"1/{top} of {whole}", valid_range=(0.0, float(top)), missing=missing)


def _check_fractions(path: Path, array: Array, missing: float | None) -> None:
    """Raises if floats are degrees, radians or 8-bit numbers instead of fractions.

    A few values outside 0..1 (overexposure, or noise in the dark) are accepted and left unchanged.
    """
    values = array[np.isfinite(array) if missing is None else np.isfinite(array) & (array != missing)]
    outside = np.count_nonzero((values < 0) | (values > 1))
    if outside > _OUTSIDE * values.size:
        raise SampleError(
            f"{path}: {100 * outside / values.size:.0f} % of its values lie outside 0 to 1 "
            f"({values.min():g} to {values.max():g}); expected fractions (AoLP of pi): scale them"
        )
