"""Reads an AIMS dataset: the manifest, an index of its images, and single rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aims.core.columns import column_types
from aims.core.errors import AimsError, InputError, unknown_name
from aims.core.files import inside, own_file
from aims.core.schema import Array, DatasetSpec, StreamSpec
from aims.core.staging import PARTIAL
from aims.data.cells import OBJECT_FIELD, find_misfit, find_wrong_instance, find_wrong_object
from aims.data.format import LARGE_CELL_BYTES, decode_instances, decode_rgb, decode_tensor
from aims.data.manifest import MANIFEST, Manifest, read_manifest
from aims.data.refs import ImageRef, ImageRefs
from aims.sensors.derived import POLARIZERS, derive, derived_streams


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image with its sensors and instances, decoded.

    Attributes:
        image_id: name of the image in the source.
        group: scene or sequence.
        streams: the requested (height, width, channels) arrays by name: stored, derived, or "rgb".
        instances: (height, width) uint16, 0 = nothing.
        objects: one dictionary per instance (see `aims.data.instances.describe_objects`).
    """

    image_id: str
    group: str
    streams: Mapping[str, Array]
    instances: NDArray[np.uint16]
    objects: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class _RowGroup:
    """The last row group read: its file, index and columns, the rows before it in the file, and its rows."""

    key: tuple[str, int, tuple[str, ...]]
    before: int
    table: pa.Table


@dataclass(kw_only=True)
class Dataset:
    """A converted dataset on disk. Opening reads the manifest alone; pickling leaves the cache behind.

    Attributes:
        folder: the dataset's folder.
        spec: description of the whole dataset (classes, streams, licence, ...).
        manifest: the content of aims.json.
        samples: pixels of streams that pictures share a window by (`aims.data.looks`).
    """

    folder: Path
    spec: DatasetSpec
    manifest: Manifest
    samples: dict[str, NDArray[np.floating[Any]] | None] = field(
        default_factory=dict, repr=False, compare=False
    )
    _cache: _RowGroup | None = field(default=None, repr=False)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens a dataset folder.

        Raises:
            InputError: the folder is missing, is not a dataset, or has a newer format.
        """
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; `aims convert` makes datasets")
        if not (folder / MANIFEST).is_file():
            raise InputError(f"{folder}: no AIMS dataset (no {MANIFEST}); `aims convert` makes datasets")
        manifest = read_manifest(folder / MANIFEST)
        return cls(folder=folder, spec=manifest.dataset, manifest=manifest)

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.spec.name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the content, as the manifest states it."""
        return self.manifest.fingerprint

    @cached_property
    def derived(self) -> Mapping[str, StreamSpec]:
        """The streams that `read` computes from stored ones."""
        return derived_streams(self.spec.streams)

    @cached_property
    def streams(self) -> Mapping[str, StreamSpec]:
        """All streams that `read` can return: RGB if the dataset has it, stored and derived streams."""
        rgb = StreamSpec(channels=3, unit="digital number", valid_range=(0, 255))
        return {**({"rgb": rgb} if self.spec.has_rgb else {}), **self.spec.streams, **self.derived}

    @cached_property
    def index(self) -> Mapping[str, ImageRefs]:
        """The images of every split, in the order written; see `ImageRefs` for when files are read."""
        files: dict[str, dict[str, int]] = {split: {} for split in self.manifest.splits}
        for file, entry in self.manifest.files.items():
            if entry.split not in files:
                raise unknown_name("split", entry.split, files, where=str(self.folder / MANIFEST))
            files[entry.split][file] = entry.images
        return {split: ImageRefs(own, self._read_refs) for split, own in files.items()}

    @cached_property
    def refs(self) -> ImageRefs:
        """The images of all splits, in the order of `index`."""
        entries = self.manifest.files
        files = (file for split in self.index for file in entries if entries[file].split == split)
        return ImageRefs({file: entries[file].images for file in files}, self._read_refs)

    def _read_refs(self, file: str) -> tuple[ImageRef, ...]:
        columns = ("image_id", "group", f"{OBJECT_FIELD}id")
        entry = self.manifest.files[file]
        refs = tuple(
            ImageRef(
                image_id=value["image_id"],
                group=value["group"],
                split=entry.split,
                instances=len(value["objects"]),
                file=file,
                row_group=group,
                row=row,
            )
            for group, row, value in self.rows(file, columns)
        )
        if len(refs) != entry.images:
            count = f"{len(refs)} images, and {entry.images} in {MANIFEST}"
            raise AimsError(f"{self.folder / file}: {count}; see `aims verify {self.folder}`")
        return refs

    def rows(
        self, file: str, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Reads a file of the manifest as it is stored, one row group in memory at a time.

        Args:
            file: path below the folder, as listed in the manifest.
            columns: columns to read; None for all.

        Yields:
            The row group, the row's index in the file, and the row's values by column.

        Raises:
            AimsError: the file is damaged.
        """
        chosen = tuple(column_types(self.spec.streams) if columns is None else columns)
        with self._open(file) as parquet:
            before = 0
            for group in range(parquet.num_row_groups):
                values = read_rows(parquet, group, chosen)
                for row, value in enumerate(values, start=before):
                    self._check(value, chosen, f"{file}, row {row}")
                    yield group, row, value
                before += len(values)

    def _check(self, value: Mapping[str, Any], columns: Sequence[str], where: str) -> None:
        if found := find_misfit(value, columns) or find_wrong_object(value, len(self.spec.classes)):
            raise self._damaged(where, *found)

    def _damaged(self, where: str, column: str, reason: str) -> AimsError:
        return AimsError(f"{self.folder / where}, {column}: {reason}; see `aims verify {self.folder}`")

    def path(self, file: str) -> Path:
        """Returns the path of a file of the manifest, which may be missing.

        Raises:
            InputError: it is not a regular file, or leads out of the folder.
        """
        return own_file(inside(self.folder, file, where=str(self.folder / MANIFEST)), self.folder)

    @contextmanager
    def _open(self, file: str) -> Iterator[pq.ParquetFile]:
        """Opens a shard; a damaged file raises AimsError with its path, on opening and while it is read."""
        path = self.path(file)
        if not path.is_file():
            raise AimsError(f"{path}: no longer there; bring it back, or convert the dataset again")
        try:
            # Without `pre_buffer`, which keeps what it has read until the file is closed.
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                yield parquet
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise AimsError(f"{path}: not readable ({reason}); see `aims verify {self.folder}`") from None

    def read(self, ref: ImageRef, streams: tuple[str, ...]) -> Image:
        """Reads one image.

        Args:
            ref: an entry of `index`.
            streams: names of the streams to decode; "rgb" and derived streams are allowed.

        Raises:
            InputError: the dataset has no such stream.
            AimsError: the file is damaged, or the image has no RGB picture.
        """
        for name in streams:
            if name not in self.streams:
                raise unknown_name("stream", name, self.streams, where=str(self.folder))
        # Every derived stream is computed from the images of all four polarizers.
        derived = [name for name in streams if name in self.derived]
        needed = (POLARIZERS if name in derived else (name,) for name in streams)
        stored = tuple(dict.fromkeys(name for names in needed for name in names))
        columns = ("image_id", "group", "height", "width", *stored, "instances", "objects")
        key = (ref.file, ref.row_group, stored)
        # Consecutive images share a row group: the last one read is cached for sequential access.
        if self._cache is None or self._cache.key != key:
            self._cache = None
            with self._open(ref.file) as parquet:
                groups = map(parquet.metadata.row_group, range(ref.row_group))
                self._cache = _RowGroup(
                    key=key,
                    before=sum(group.num_rows for group in groups),
                    table=parquet.read_row_group(ref.row_group, columns=columns),
                )
        found = self._cache.table.slice(ref.row - self._cache.before, 1).to_pylist()
        if self._cache.table.nbytes >= LARGE_CELL_BYTES:
            self._cache = None
            pa.default_memory_pool().release_unused()
        where = f"{ref.file}, row {ref.row}"
        if not found or found[0]["image_id"] != ref.image_id:
            raise self._damaged(where, "image_id", f"no longer {ref.image_id!r}: the file was replaced")
        (value,) = found
        self._check(value, columns, where)
        try:
            instances = decode_instances(value["instances"]["bytes"])
        except ValueError as error:
            raise self._damaged(where, "instances", str(error)) from None
        if found := find_wrong_instance(instances, value):
            raise self._damaged(where, *found)
        arrays = {}
        for name in stored:
            try:
                arrays[name] = self._decode(name, value[name], instances.shape)
            except ValueError as error:
                raise self._damaged(where, name, str(error)) from None
        arrays |= {name: derive(name, arrays) for name in derived}
        return Image(
            image_id=value["image_id"],
            group=value["group"],
            streams={name: arrays[name] for name in streams},
            instances=instances,
            objects=value["objects"],
        )

    def _decode(self, name: str, value: Mapping[str, Any] | None, size: tuple[int, ...]) -> Array:
        if value is None:
            raise ValueError("is empty")
        array = decode_rgb(value["bytes"]) if name == "rgb" else decode_tensor(value)
        expected = (*size, self.streams[name].channels)
        if array.shape != expected:
            raise ValueError(f"shape is {array.shape}, not {expected}")
        return array

    def __getstate__(self) -> dict[str, Any]:
        # Without what was read, which every worker process would otherwise receive.
        read = ("index", "refs")
        kept = {name: value for name, value in self.__dict__.items() if name not in read}
        return {**kept, "samples": {}, "_cache": None}


def read_rows(
    parquet: pq.ParquetFile, group: int, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Returns the rows of a row group by column, and gives back the memory that reading large ones took."""
    # Threads cost more than they gain where a row group is small.
    table = parquet.read_row_group(group, columns=columns, use_threads=False)
    large = table.nbytes >= LARGE_CELL_BYTES
    if large:
        pa.default_memory_pool().release_unused()
    values: list[dict[str, Any]] = table.to_pylist()
    del table
    if large:
        pa.default_memory_pool().release_unused()
    return values


def find_datasets(folder: Path) -> list[Dataset]:
    """Opens `folder` if it is a dataset, else every dataset directly below it, sorted by name.

    Raises:
        InputError: the folder is missing or holds no dataset.
    """
    if (folder / MANIFEST).is_file():
        return [Dataset.open(folder)]
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; `aims convert` makes datasets, or give --data")
    # A conversion interrupted just before its last rename leaves a complete folder with a temporary name.
    named = (path for path in sorted(folder.glob(f"[!.]*/{MANIFEST}")) if path.parent.suffix != PARTIAL)
    found = [Dataset.open(path.parent) for path in named]
    if not found:
        raise InputError(f"{folder}: no AIMS dataset here (no {MANIFEST}); `aims convert` makes datasets")
    return found
