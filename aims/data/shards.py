"""Writes the Parquet files of a conversion, each with a record that lets an interrupted run resume."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aims.core.files import atomic_write, sha256_file, write_json
from aims.core.schema import Converter, DatasetSpec, SampleError
from aims.core.structs import read_struct
from aims.data.format import encode_row, row_digest
from aims.data.manifest import DroppedLine

RECORDS = ".records"
# A row group is the smallest unit that can be read, so it is kept small for random access in training.
_ROW_GROUP_BYTES = 2 << 20
_ROW_GROUP_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One unit of work: the images of one Parquet file."""

    file: str
    split: str
    image_ids: tuple[str, ...]


class ShardRecord(msgspec.Struct, kw_only=True):
    """Description of a finished shard, kept as JSON in `.records` until the dataset is complete.

    Attributes:
        files: `file_stats` of the source files; if they change, the shard is written again.
        sources: SHA-256 of each of these files by its name in the manifest.
        digests: digest of every row, in order (`row_digest`).
        instances: number of instances.
        dropped: the images and objects that were left out.
        sha256: checksum of the Parquet file.
    """

    files: list[tuple[str, int, int]]
    sources: dict[str, str] = {}
    digests: list[str] = []
    instances: int = 0
    dropped: list[DroppedLine] = []
    sha256: str = ""


#: Called with the number of images finished since the last call.
Progress = Callable[[int], None]
#: Writes a shard and returns its record.
Write = Callable[..., ShardRecord]
#: Shards with their records, in order of completion.
Finished = Iterator[tuple[Shard, ShardRecord]]
#: Calls `write` for every shard.
Engine = Callable[[Write, Sequence[Shard], Progress], Finished]


def plan_shards(splits: Mapping[str, tuple[str, ...]], rows_per_shard: int) -> list[Shard]:
    """Assigns the images of all splits to files; a split without images gets one empty file."""
    shards = []
    for split, ids in splits.items():
        count = max(1, -(-len(ids) // rows_per_shard))
        for i in range(count):
            part = ids[i * rows_per_shard : (i + 1) * rows_per_shard]
            name = f"{split}-{i:05d}-of-{count:05d}.parquet"
            shards.append(Shard(file=name, split=split, image_ids=part))
    return shards


@dataclass(frozen=True, kw_only=True)
class ShardWriter:
    """Writes shards and their records; pickled to worker processes.

    Attributes:
        converter: reads the images.
        spec: the converter's description of the dataset.
        schema: the Parquet schema.
        folder: the staged dataset, with the folders `data` and `.records`.
        keep_going: list unreadable images as dropped instead of raising at the first.
    """

    converter: Converter
    spec: DatasetSpec
    schema: pa.Schema
    folder: Path
    keep_going: bool

    def write_all(self, shards: Sequence[Shard], engine: Engine, on_progress: Progress) -> list[ShardRecord]:
        """Writes the shards that are missing and returns the records of all shards, in order.

        Raises:
            SampleError: an image cannot be read, and `keep_going` is off.
            AimsError: worker processes were killed repeatedly.
        """
        records = {shard.file: self._finished(shard) for shard in shards}
        todo = [shard for shard in shards if records[shard.file] is None]
        on_progress(sum(len(shard.image_ids) for shard in shards if shard not in todo))
        for shard, record in engine(self.write, todo, on_progress):
            records[shard.file] = record
        return [record for record in records.values() if record is not None]

    def _finished(self, shard: Shard) -> ShardRecord | None:
        """Returns the record of a shard that an interrupted run finished; None if it must be written."""
        path = self._record(shard)
        if not path.is_file() or not (self.folder / "data" / shard.file).is_file():
            return None
        record = read_struct(path, ShardRecord, what="the record of a finished shard")
        if record.files != file_stats(self._sources(shard)):
            return None
        # Without --keep-going an unreadable image must also stop this run, so its shard is read again.
        unreadable = any(line.kind == "unreadable" for line in record.dropped)
        return None if unreadable and not self.keep_going else record

    def _record(self, shard: Shard) -> Path:
        return self.folder / RECORDS / f"{shard.file}.json"

    def _sources(self, shard: Shard) -> Iterator[Path]:
        """Yields the source files of the shard's images."""
        for image_id in shard.image_ids:
            yield from self.converter.source_files(shard.split, image_id)

    def write(self, shard: Shard, on_progress: Progress = lambda images: None) -> ShardRecord:
        """Writes a Parquet file and its record, unless a worker finished both before it was killed."""
        finished = self._finished(shard)
        if finished is not None:
            return finished
        # Before the files are read: one that changes meanwhile then makes the shard out of date.
        record = ShardRecord(files=file_stats(self._sources(shard)))
        path = self.folder / "data" / shard.file
        with (
            atomic_write(path) as beside,
            pq.ParquetWriter(beside, self.schema, compression="zstd") as writer,
        ):
            group: list[dict[str, Any]] = []
            for row, instances in self._rows(shard, record, on_progress):
                record.digests.append(row_digest(shard.split, row, instances, tuple(self.spec.streams)))
                record.instances += len(row["objects"])
                group.append(row)
                cells = (value for row in group for value in row.values() if isinstance(value, dict))
                size = sum(len(value["data"] if "data" in value else value["bytes"]) for value in cells)
                if len(group) == _ROW_GROUP_ROWS or size >= _ROW_GROUP_BYTES:
                    writer.write_table(pa.Table.from_pylist(group, self.schema))
                    group = []
            if group:
                writer.write_table(pa.Table.from_pylist(group, self.schema))
        # The record is written last: a shard without one counts as unfinished.
        record.sha256 = sha256_file(path)
        write_json(self._record(shard), msgspec.to_builtins(record))
        return record

    def _rows(
        self, shard: Shard, record: ShardRecord, on_progress: Progress
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.int32]]]:
        """Yields rows with their instance maps; adds source checksums and dropped images to the record."""

        def drop(image_id: str, kind: str, reason: str) -> None:
            # The result must not depend on where the raw folder lies.
            reason = reason.replace(f"{self.converter.root}{os.sep}", "")
            line = DroppedLine(split=shard.split, image_id=image_id, kind=kind, reason=reason)
            record.dropped.append(line)

        for image_id in shard.image_ids:
            record.sources |= checksums(self.converter, self.converter.source_files(shard.split, image_id))
            try:
                sample = self.converter.read(shard.split, image_id)
                row, instances = encode_row(sample, self.spec)
            except SampleError as error:
                if not self.keep_going:
                    raise
                drop(image_id, "unreadable", str(error))
            else:
                for reason in sample.dropped:
                    drop(image_id, "object", reason)
                for reason in sample.overlaps:
                    drop(image_id, "overlap", reason)
                if row["objects"]:
                    yield row, instances
                else:
                    drop(image_id, "no instance", "the labels hold no instance")
            on_progress(1)


def file_stats(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Returns the path, size in bytes and modification time in nanoseconds of each file."""
    stats = ((path, path.stat()) for path in paths)
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def checksums(converter: Converter, paths: Iterable[Path]) -> dict[str, str]:
    """Returns the SHA-256 of source files by path below the raw folder, or by file name if outside it."""
    root = converter.root
    return {
        path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name: sha256_file(path)
        for path in paths
    }
