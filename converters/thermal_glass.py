"""RGB-Thermal glass: 5551 pairs of RGB and temperature, with masks of glass (Huo et al., TIP 2023).

    {train,test}/SCENE/IMAGE/rgb.png            the authors' layout; a name with a "." is no scene or image
                            /temperature.npy    floats, degrees Celsius
                            /mask.png           0, and 255 for glass
                            /boundary.png       not read: it follows from the mask

    RGB-Thermal-Glass/                          the re-distributed archive
        RGB_T_Glass_{train,test}_GroundTruth.csv    GBK; RGB path, mask path in columns two and three

If the tables exist, they define the dataset. The temperature file lies beside the RGB image. The released
program opens the paths of the tables unchanged, so they may begin with the folder in which the archive once
lay: all before `RGB-Thermal-Glass/` is removed. The rest must not lead out of the folder.

The released program also treats every non-zero value of an archive's mask as one pane. Whether these masks
number their panes, or have 255 for all, is unconfirmed: a mask with values other than 0 and 255 is refused
unless `--numbered-masks` is given. Either way instances are 8-connected regions of equal value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np

from aims.core.errors import InputError
from aims.core.files import inside, is_unicode
from aims.core.schema import (
    Array,
    DatasetSpec,
    Published,
    Sample,
    SampleError,
    StreamSpec,
    option,
)
from aims.reading.pictures import check_sizes, load_picture, load_rgb

from .reading.files import check_split_names, find_set, load_numbers, on_disk
from .reading.label_maps import class_map, colour_code, colour_codes, show_colour
from .reading.published import Files, FilesConverter
from .reading.tables import SPLITS, TableRow, load_mask, read_tables, regions_by_value

_ARCHIVE = "RGB-Thermal-Glass"
# The part of a table's path that depends on where the archive lay.
_PLACE = re.compile(rf"^(.*/)?{_ARCHIVE}/")
_TABLES = MappingProxyType({split: f"RGB_T_Glass_{split}_GroundTruth.csv" for split in SPLITS})
_URL = "https://github.com/Dong-Huo/RGB-T-Glass-Segmentation"
_GLASS = MappingProxyType({colour_code((0, 0, 0)): 0, colour_code((255, 255, 255)): 1})
# The data sheet of the camera was not available. Uncooled hand-held cameras state about this range in their
# sensitive mode, and the long-wave band below; values outside are stored unchanged.
_RANGE_C = (-20.0, 120.0)
_BAND_NM = (7_500.0, 14_000.0)
# A median above it means that the values are in Kelvin or raw counts.
_HOTTEST_MEDIAN_C = 200.0


class _Files(NamedTuple):
    rgb: Path
    thermal: Path
    mask: Path
    scene: str


@dataclass(frozen=True, kw_only=True)
class ThermalGlassConverter(FilesConverter):
    """RGB-Thermal glass: temperature in degrees Celsius, RGB, and panes of glass."""

    name: ClassVar[str] = "thermal-glass"
    published: ClassVar[Published] = Published(
        streams=("thermal",),
        license="not stated; research use",
        citation=(
            "Dong Huo, Jian Wang, Yiming Qian, Yee-Hong Yang: Glass Segmentation with RGB-Thermal Image "
            "Pairs. IEEE Transactions on Image Processing 32, 2023"
        ),
        url=_URL,
        images={"train": 4427, "test": 1124},
        sensor="thermal",
    )

    numbered_masks: bool = option(
        False, help="Masks number their panes: every value but 0 is glass, not only 255."
    )

    def spec(self) -> DatasetSpec:
        """Describes the dataset."""
        # Raises if files are missing, before any image is read.
        _ = self._files
        thermal = StreamSpec(channels=1, unit="degree Celsius", valid_range=_RANGE_C, wavelength_nm=_BAND_NM)
        return self.published.describe(
            self.name, classes=("glass",), streams={"thermal": thermal}, has_rgb=True
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns ids SCENE/IMAGE, sorted in the authors' layout, in the order of the tables otherwise."""
        return {split: tuple(files) for split, files in self._files.items()}

    def read_files(self, split: str, image_id: str) -> Sample:
        """Reads one image: RGB file untouched, temperature as stored."""
        files = self._files[split][image_id]
        rgb, size = load_rgb(files.rgb)
        thermal = _load_thermal(files.thermal)
        mask = self._load_mask(files.mask)
        check_sizes([(files.rgb, size), (files.thermal, thermal.shape[:2]), (files.mask, mask.shape[:2])])
        return Sample(
            image_id=image_id,
            group=files.scene,
            streams={"thermal": thermal},
            labels=regions_by_value(mask),
            rgb=rgb,
        )

    def files(self, split: str, image_id: str) -> Files:
        """Returns the image's RGB, temperature and mask files."""
        names = ("rgb.png", "temperature.npy", "mask.png")
        forms = (f"{{split}}/{{scene}}/{{id}}/{name}" for name in names)
        return dict(zip(forms, self._files[split][image_id][:3], strict=True))

    def shared_files(self) -> Sequence[Path]:
        """Returns the two tables of the archive; none in the authors' layout."""
        paths = (self.folder / name for name in _TABLES.values())
        return tuple(path for path in paths if path.is_file())

    @cached_property
    def folder(self) -> Path:
        """The folder of the set: the raw folder, or the archive in it."""

        def holds(at: Path) -> bool:
            return any((at / table).is_file() or (at / split).is_dir() for split, table in _TABLES.items())

        missing = (
            "no RGB-Thermal glass; looked for the authors' train/ and test/ (SCENE/IMAGE/rgb.png, "
            f"temperature.npy, mask.png) and for {' and '.join(_TABLES.values())}, here and in {_ARCHIVE}/; "
            f"get it from {_URL} and give its folder with --raw"
        )
        return find_set(self.root, (_ARCHIVE,), holds, missing=missing)

    @cached_property
    def _files(self) -> dict[str, dict[str, _Files]]:
        """The files of every image, by split and id."""
        if self.shared_files():
            return read_tables(self.folder, _TABLES, partial(_listed_files, self.folder))
        found = {split: dict(_authors_files(self.folder / split)) for split in SPLITS}
        check_split_names(
            {split: {key: files.rgb for key, files in part.items()} for split, part in found.items()}
        )
        return found

    def _load_mask(self, path: Path) -> Array:
        """Reads a (height, width) mask: 0 is background; glass is 1, or the number of its pane."""
        picture = load_mask(path)
        if self.numbered_masks:
            return load_numbers(path, picture)
        if picture.array.dtype not in (np.bool_, np.uint8):
            raise SampleError(
                f"{path}: {picture.array.dtype} values, expected 8 bits, 0 and 255; if they number the "
                "panes, give --numbered-masks"
            )
        known = "0 and 255; if the mask numbers its panes, give --numbered-masks"
        return class_map(path, colour_codes(path, picture), _GLASS, show=show_colour, known=known)


def _authors_files(split: Path) -> Iterator[tuple[str, _Files]]:
    count = 0
    for scene in _folders(split, "SCENE/IMAGE/rgb.png"):
        for image in _folders(scene, "IMAGE/rgb.png"):
            rgb, thermal, mask = (image / name for name in ("rgb.png", "temperature.npy", "mask.png"))
            yield f"{scene.name}/{image.name}", _Files(rgb, thermal, mask, scene.name)
            count += 1
    if not count:
        raise InputError(f"{split}: holds no SCENE/IMAGE/rgb.png; unpack the archive again")


def _folders(at: Path, what: str) -> list[Path]:
    """Returns the subfolders, sorted; entries with a "." in the name are neither scenes nor images."""
    try:
        paths = [at / name for name in sorted(os.listdir(at)) if "." not in name]
    except OSError as error:
        raise InputError(f"{at}: not readable as a folder ({error.strerror}); it holds {what}") from None
    for path in paths:
        if not is_unicode(path.name):
            raise InputError(f"{at}: name {path.name!r} is not UTF-8; unpack the archive again as UTF-8")
        if not path.is_dir():
            raise InputError(f"{path}: no folder, but {at.name}/ holds {what}; remove or rename it")
    return paths


def _listed_files(folder: Path, row: TableRow) -> tuple[str, _Files]:
    """Returns the id and the files of an image that a table lists."""
    paths = (_PLACE.sub("", path) for path in (row.picture, row.mask))
    rgb, mask = (on_disk(inside(folder, path, where=row.where)) for path in paths)
    parts = rgb.relative_to(folder).parts
    if len(parts) < 3:
        raise InputError(f"{row.where}: path {row.picture!r} is no .../SCENE/IMAGE/rgb.png; mend the table")
    return "/".join(parts[-3:-1]), _Files(rgb, rgb.with_name("temperature.npy"), mask, parts[-3])


def _load_thermal(path: Path) -> Array:
    thermal = load_picture(path).array
    if thermal.shape[2] != 1:
        raise SampleError(
            f"{path}: {thermal.shape[2]} channels, expected one temperature map (height, width)"
        )
    if thermal.dtype.kind != "f":
        raise SampleError(
            f"{path}: {thermal.dtype} values, expected floats in degrees Celsius; convert raw counts first"
        )
    measured = thermal[np.isfinite(thermal)]
    if measured.size and np.median(measured) > _HOTTEST_MEDIAN_C:
        raise SampleError(
            f"{path}: median is {np.median(measured):g}, expected degrees Celsius; convert Kelvin or raw "
            "counts first"
        )
    return thermal
