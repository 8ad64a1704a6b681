"""IVRG RGB-NIR: 477 pairs of RGB and near infrared (Brown and Suesstrunk, CVPR 2011), with masks.

    IVRG_RGBNIR/                                the re-distributed archive
        IVRG-nir_{train,test}_GroundTruth.csv   GBK; NIR path, mask path in columns two and three
        Outdoor_dataset/                        the paths are relative to this folder
            NIRimages/NAME_nir.*                grey, or three equal channels
            RGBimages/NAME_rgb.*                found by the NIR picture's name
            ...                                 masks, at the paths of the table

The authors' download, `nirscene1/CATEGORY/NAME_{nir,rgb}.tiff`, has no masks: it is refused, and the message
says so. Tables and file names may differ in case. The origin of the masks, the meaning of their numbers, and
whether 255 means "unlabelled", are not documented. All regions are therefore of one class, "region":
8-connected pixels of equal non-zero value, including 255. The released program also treats every non-zero
value as an object.

Each image is its own group. The scene categories of the dataset (street, field, ...) are not scenes: their
images show different places, and images of one category occur in both splits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from aims.core.errors import InputError
from aims.core.files import inside
from aims.core.names import composed
from aims.core.schema import Array, DatasetSpec, Published, Sample, SampleError, StreamSpec
from aims.reading.pictures import RGB_SUFFIXES, check_sizes, load_measurement, load_picture, load_rgb

from .reading.files import find_set, first_readable, load_numbers
from .reading.published import Files, FilesConverter
from .reading.tables import SPLITS, TableRow, load_mask, read_tables, regions_by_value

_ARCHIVE, _PICTURES = "IVRG_RGBNIR", "Outdoor_dataset"
_NIR, _RGB = "NIRimages", "RGBimages"
_PUBLIC = "nirscene1"
_TABLES = MappingProxyType({split: f"IVRG-nir_{split}_GroundTruth.csv" for split in SPLITS})
_URL = "https://www.epfl.ch/labs/ivrl/research/downloads/rgb-nir-scene-dataset/"
# Nanometres; about the band of a silicon sensor behind a filter that blocks visible light.
_BAND_NM = (750.0, 1_100.0)


class _Files(NamedTuple):
    nir: Path
    rgb: Path
    mask: Path


@dataclass(frozen=True, kw_only=True)
class IVRGNIRConverter(FilesConverter):
    """IVRG RGB-NIR: near infrared and RGB of outdoor scenes, and regions without class names."""

    name: ClassVar[str] = "ivrg-nir"
    published: ClassVar[Published] = Published(
        streams=("nir",),
        license="not stated; research use",
        citation=(
            "Matthew Brown, Sabine Suesstrunk: Multispectral SIFT for Scene Category Recognition. CVPR 2011"
        ),
        url=_URL,
        total=477,
        sensor="near infrared",
    )

    def spec(self) -> DatasetSpec:
        """Describes the dataset; the valid range is that of the dtype of the first readable image."""
        _, dtype, missing = self._first
        known = (0.0, float(np.iinfo(dtype).max)) if dtype.kind == "u" else None
        nir = StreamSpec(
            channels=1, unit="digital number", valid_range=known, missing=missing, wavelength_nm=_BAND_NM
        )
        return self.published.describe(self.name, classes=("region",), streams={"nir": nir}, has_rgb=True)

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns paths below NIRimages without `_nir`, in the order of the tables."""
        return {split: tuple(files) for split, files in self._files.items()}

    def read_files(self, split: str, image_id: str) -> Sample:
        """Reads one image: RGB file untouched, near infrared as stored."""
        files = self._files[split][image_id]
        first, dtype, missing = self._first
        nir = _load_nir(files.nir, missing)
        if nir.dtype != dtype:
            raise SampleError(
                f"{files.nir}: {nir.dtype} values, but {first} has {dtype}; all images of a stream must be "
                "alike, convert one or leave it out"
            )
        rgb, size = load_rgb(files.rgb)
        mask = load_numbers(files.mask, load_mask(files.mask))
        check_sizes([(files.nir, nir.shape[:2]), (files.rgb, size), (files.mask, mask.shape[:2])])
        return Sample(
            image_id=image_id, group=image_id, streams={"nir": nir}, labels=regions_by_value(mask), rgb=rgb
        )

    def files(self, split: str, image_id: str) -> Files:
        """Returns the image's NIR, RGB and mask files."""
        paths = self._files[split][image_id]
        names = ("{id}_nir.*", "{id}_rgb.*", f"{{id}}{paths.mask.suffix}")
        *inner, _ = image_id.split("/")
        forms = []
        for path, name in zip(paths, names, strict=True):
            above = list(path.parent.relative_to(self.folder).parts)
            if inner and above[-len(inner) :] == inner:
                above[-len(inner) :] = "*" * len(inner)
            forms.append("/".join((*above, name)))
        return dict(zip(forms, paths, strict=True))

    def shared_files(self) -> Sequence[Path]:
        """Returns the two tables."""
        return tuple(self.folder / name for name in _TABLES.values())

    @cached_property
    def folder(self) -> Path:
        """The folder of the set: the raw folder, or the archive in it."""

        def holds(at: Path) -> bool:
            return (at / _PICTURES).is_dir() or any((at / name).is_file() for name in _TABLES.values())

        missing = (
            f"no IVRG RGB-NIR; looked for {' and '.join(_TABLES.values())} with {_PICTURES}/{_NIR}/ and "
            f"{_PICTURES}/{_RGB}/, here and in {_ARCHIVE}/; the archive with tables and masks comes with the "
            f"SimCMF paper, the pictures alone are at {_URL}: give its folder with --raw"
        )
        for public in (self.root, self.root / _PUBLIC):
            if not holds(public) and any(public.glob("*/*_nir.tif*")):
                raise InputError(
                    f"{public}: the authors' pictures by scene category, which have no masks; the archive "
                    "with tables and masks comes with the SimCMF paper: give its folder with --raw, or "
                    "describe these pictures and masks of your own for `aims convert folder`"
                )
        return find_set(self.root, (_ARCHIVE,), holds, missing=missing)

    @cached_property
    def _files(self) -> dict[str, dict[str, _Files]]:
        """The files of every image, by split and id."""
        disk = _CaseInsensitiveFolder(self.folder / _PICTURES)
        # Ids must differ by more than case, as some file systems ignore it.
        return read_tables(self.folder, _TABLES, partial(_listed_files, disk), fold=str.casefold)

    @cached_property
    def _first(self) -> tuple[Path, np.dtype[Any], float | None]:
        """File, dtype and declared missing value of the first readable NIR picture."""

        def read(image: tuple[str, str]) -> tuple[Path, np.dtype[Any], float | None]:
            self.check_files(*image)
            path = self._files[image[0]][image[1]].nir
            return path, _load_nir(path).dtype, load_picture(path).missing

        first = first_readable(((split, k) for split, files in self._files.items() for k in files), read)
        if first is None:
            raise InputError(f"{self.folder}: the tables list no picture; copy them again")
        return first


@dataclass(frozen=True)
class _CaseInsensitiveFolder:
    """A folder in which files are looked up regardless of case; listings are cached."""

    root: Path
    _names: dict[Path, list[str]] = field(default_factory=dict)

    def find(self, relative: str, where: str) -> Path:
        """Returns the path of a file: the exact name is preferred, and kept if the file does not exist.

        Raises:
            InputError: the path leads out of the folder, or several files match it.
        """
        path = self.root
        for part in inside(self.root, relative, where=where).relative_to(self.root).parts:
            fitting = [name for name in self._list(path) if _folded(name) == _folded(part)]
            path /= part if part in fitting else _only(path, fitting, where) or part
        return path

    def find_stem(self, folder: Path, stem: str, where: str) -> Path | None:
        """Returns the RGB image with this stem, whatever its suffix; None if there is none."""
        names = (name for name in self._list(folder) if name.lower().endswith(RGB_SUFFIXES))
        fitting = [name for name in names if _folded(name.rpartition(".")[0]) == _folded(stem)]
        found = _only(folder, fitting, where)
        return None if found is None else folder / found

    def _list(self, folder: Path) -> list[str]:
        if folder not in self._names:
            try:
                self._names[folder] = sorted(os.listdir(folder))
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = []
            except OSError as error:
                raise InputError(f"{folder}: not readable as a folder ({error.strerror})") from error
        return self._names[folder]


def _folded(name: str) -> str:
    return composed(name).casefold()


def _only(folder: Path, names: Sequence[str], where: str) -> str | None:
    if len(names) > 1:
        raise InputError(f"{where}: {folder / names[0]} and {names[1]} both fit; remove or rename one")
    return names[0] if names else None


def _listed_files(disk: _CaseInsensitiveFolder, row: TableRow) -> tuple[str, _Files]:
    """Returns the id and the files of an image that a table lists."""
    nir, mask = disk.find(row.picture, row.where), disk.find(row.mask, row.where)
    parts = nir.relative_to(disk.root).parts
    places = [index for index, part in enumerate(parts[:-1]) if part.casefold() == _NIR.casefold()]
    stem, ending = nir.stem[: -len("_nir")], nir.stem[-len("_nir") :]
    if not places or not stem or ending.casefold() != "_nir":
        raise InputError(
            f"{row.where}: path {row.picture!r} is no {_NIR}/NAME_nir.*, so its RGB picture cannot be "
            "told; mend the table"
        )
    inner = parts[places[-1] + 1 : -1]
    folder = disk.find("/".join((*parts[: places[-1]], _RGB, *inner)), row.where)
    rgb = disk.find_stem(folder, f"{stem}_rgb", row.where) or folder / f"{stem}_rgb{nir.suffix}"
    return "/".join((*inner, stem)), _Files(nir, rgb, mask)


def _load_nir(path: Path, missing: float | None = None) -> Array:
    """Reads a (height, width, 1) array in the file's dtype; three equal channels count as one."""
    array = load_measurement(path, missing=missing)
    if array.dtype.kind == "b":
        raise SampleError(f"{path}: one bit a pixel is no near infrared; get it as 8 or 16 bit grey")
    equal = (np.array_equal(array[..., 0], array[..., k], equal_nan=True) for k in range(array.shape[2]))
    if array.shape[2] not in (1, 3) or not all(equal):
        raise SampleError(
            f"{path}: {array.shape[2]} channels that are not one and the same, but near infrared is one; "
            "save the one that measures it as grey"
        )
    return np.ascontiguousarray(array[..., :1])
