"""NYUv2 as published by its authors: one MATLAB 7.3 file, read image by image, and a file of splits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from PIL import Image

from aims.core.errors import InputError
from aims.core.isolation import isolated
from aims.core.schema import Array, LeftOut, Sample, SampleError, SemanticMap

from ..reading.label_maps import class_map
from .classes import CLASS_NAMES, CLASS_OF_LABEL
from .hha import compute_hha

LABELED = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"
MAPPING = "classMapping40.mat"
URL = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
_SPLIT_KEYS = {"train": "trainNdxs", "test": "testNdxs"}


class OfficialLayout:
    """`nyu_depth_v2_labeled.mat`, `splits.mat` and, if it exists, `classMapping40.mat`.

    MATLAB stores arrays in column-major order, so HDF5 has the axes in reverse: `images` is (N, 3, W, H),
    `depths` and `labels` are (N, W, H). Image ids count from 1, as in `splits.mat`. HHA is computed from the
    completed `depths`, with the zeros of `rawDepths` as missing, as in the original pipeline.

    Args:
        root: folder of the files.
        streams: the streams to read: "depth", "raw_depth", "hha".
    """

    hha_from = "depth"

    def __init__(self, root: Path, streams: Collection[str] = ("depth",)) -> None:
        self.root = root
        self.streams = streams
        self._needs_raw = "raw_depth" in streams or "hha" in streams
        self._labeled = root / LABELED

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the 40 classes."""
        return self._mapping[0]

    def check(self) -> None:
        """Raises InputError if the file is damaged or its arrays do not match each other."""
        images, scenes = self._array("images"), self._array("scenes")
        count, _, width, height = images.shape if images.ndim == 4 else (0, 0, 0, 0)
        expected = {
            "images": ("u", (count, 3, width, height)),
            "depths": ("f", (count, width, height)),
            "labels": ("u", (count, width, height)),
        }
        if self._needs_raw:
            expected["rawDepths"] = expected["depths"]
        for name, (kind, shape) in expected.items():
            array = self._array(name)
            if array.shape != shape or array.dtype.kind != kind or array.size == 0:
                raise InputError(
                    f"{self._labeled}: {name!r} is {array.dtype} {array.shape}, which does not fit "
                    f"'images' (N, 3, W, H), 'depths' and 'labels' (N, W, H); get the file from {URL}"
                )
        if scenes.size != count or h5py.check_ref_dtype(scenes.dtype) is None:
            raise InputError(
                f"{self._labeled}: 'scenes' does not name the scene of each of the {count} images"
            )

    @cached_property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """The ids of both splits, in the file's order."""
        path, table = self.root / SPLITS, self._table(SPLITS, URL)
        count = self._array("images").shape[0]
        seen: dict[int, str] = {}
        splits = {}
        for split, key in _SPLIT_KEYS.items():
            numbers = _whole_numbers(path, key, table)
            for number in numbers:
                if not 1 <= number <= count:
                    raise InputError(f"{path}: {key!r} names image {number}, but {LABELED} has 1 to {count}")
                if number in seen:
                    raise InputError(f"{path}: image {number} is in {seen[number]!r} and again in {key!r}")
                seen[number] = key
            splits[split] = tuple(str(number) for number in numbers)
        return splits

    def read(self, image_id: str) -> Sample:
        """Reads one image: RGB encoded losslessly as PNG, depth in metres, labels of 40 classes."""
        index = int(image_id) - 1
        labels, depth = self._image("labels", index), self._image("depths", index)
        streams = {"depth": depth[..., None]}
        raw = self._image("rawDepths", index) if self._needs_raw else depth
        if "raw_depth" in self.streams:
            streams["raw_depth"] = raw[..., None]
        if "hha" in self.streams:
            source = self._labeled.with_name(f"{LABELED}, depths of image {image_id}")
            streams["hha"] = compute_hha(source, depth, raw == 0)
        source = self._labeled.with_name(f"{LABELED}, labels of image {image_id}")
        png = io.BytesIO()
        Image.fromarray(self._image("images", index)).save(png, "PNG")
        return Sample(
            image_id=image_id,
            group=self._scene(index),
            streams=streams,
            labels=SemanticMap(class_map=class_map(source, labels, self._mapping[1], known=MAPPING)),
            rgb=png.getvalue(),
        )

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """Empty, as no image of this file is broken."""
        return ()

    def files(self, image_id: str) -> Mapping[str, Path]:
        """Returns none, as all images share the same files."""
        return {}

    def shared_files(self) -> Sequence[Path]:
        """Returns the three MATLAB files, as far as they exist."""
        return tuple(self.root / name for name in (LABELED, SPLITS, MAPPING) if (self.root / name).is_file())

    @cached_property
    def _file(self) -> Any:
        try:
            return h5py.File(self._labeled, "r")
        except FileNotFoundError:
            raise InputError(f"{self._labeled}: no such file; get it from {URL}") from None
        except OSError as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self._labeled}: not a whole MATLAB 7.3 file ({reason}); download it again from {URL}"
            ) from error

    def _array(self, name: str) -> Any:
        # Links and external data could lead out of the raw folder; the published file has none.
        linked = not isinstance(self._file.get(name, getlink=True), h5py.HardLink | None)
        found = None if linked else self._file.get(name)
        if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
            linked = True
        if linked:
            raise InputError(f"{self._labeled}: {name!r} is kept in another file; get the file from {URL}")
        if not isinstance(found, h5py.Dataset):
            raise InputError(f"{self._labeled}: has no array {name!r}; this is not the file of {URL}")
        return found

    def _image(self, name: str, index: int) -> Array:
        """Reads one image of an array as (height, width) or (height, width, channels)."""
        try:
            return np.ascontiguousarray(self._array(name)[index].T)
        except OSError as error:
            reason = " ".join(str(error).split())
            raise SampleError(
                f"{self._labeled}: {name}[{index}] cannot be read ({reason}); download it again from {URL}"
            ) from error

    def _scene(self, index: int) -> str:
        units = self._file[self._array("scenes")[()].ravel()[index]][()]
        try:
            return np.ascontiguousarray(units, "<u2").tobytes().decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise SampleError(
                f"{self._labeled}: the scene of image {index + 1} is no text ({error.reason}); download it "
                f"again from {URL}"
            ) from error

    @cached_property
    def _mapping(self) -> tuple[tuple[str, ...], Mapping[int, int]]:
        """Class names, and the class of each raw label, from the file if it exists, else as shipped."""
        path = self.root / MAPPING
        if not path.is_file():
            return CLASS_NAMES, dict(enumerate(CLASS_OF_LABEL))
        table = self._table(MAPPING, "Gupta et al.")
        numbers = _whole_numbers(path, "mapClass", table)
        names = tuple(str(np.squeeze(name)) for name in np.ravel(table.get("className", ())))
        if (
            len(numbers) != len(CLASS_OF_LABEL) - 1
            or not names
            or not set(numbers) <= set(range(1, len(names) + 1))
        ):
            raise InputError(
                f"{path}: 'mapClass' must give one of the classes in 'className' to each of the 894 labels; "
                "remove the file to use the table that AIMS ships"
            )
        return names, {0: 0, **dict(enumerate(numbers, start=1))}

    def _table(self, name: str, source: str) -> Mapping[str, Any]:
        path = self.root / name
        try:
            return isolated(_load_table, path.read_bytes())
        except FileNotFoundError:
            raise InputError(f"{path}: no such file, and {LABELED} needs it; get it from {source}") from None
        # Crashed, or what scipy raises: MatReadError, ValueError, zlib.error, NotImplementedError, ...
        except Exception as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path}: not a whole MATLAB file ({reason}); get it again from {source}"
            ) from error


def _load_table(data: bytes) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy warns when it skips content that it cannot read
        return dict(scipy.io.loadmat(io.BytesIO(data)))


def _whole_numbers(path: Path, key: str, table: Mapping[str, Any]) -> list[int]:
    values = table.get(key)
    if not isinstance(values, np.ndarray) or values.size == 0 or values.dtype.kind not in "uif":
        raise InputError(f"{path}: has no numbers {key!r}; this is not the file of {URL}")
    if not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise InputError(f"{path}: {key!r} must hold whole numbers; this is not the file of {URL}")
    return [int(value) for value in values.ravel()]
