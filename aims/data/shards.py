"""Writes the Parquet files of a conversion, each with a record that lets an interrupted run resume."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aims.core.errors import OutOfMemory
from aims.core.files import atomic_write, sha256_file, write_json
from aims.core.remarks import collect_remarks
from aims.core.schema import Converter, DatasetSpec, SampleError
from aims.core.structs import read_struct
from aims.data.depths import UsedBits
from aims.data.format import LARGE_CELL_BYTES, dense_instances, encode_row, picture_digest, row_digest
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
        pictures: digest of the pictures of every row and its image id, in order (`picture_digest`).
        instances: number of instances.
        dropped: the images and objects that were left out.
        remarks: the files of each remark of the readers.
        bits: the bits that occur in each stream.
        groups: the groups of the images.
        sha256: checksum of the Parquet file.
    """

    files: list[tuple[str, int, int]]
    sources: dict[str, str] = {}
    digests: list[str] = []
    pictures: list[tuple[str, str]] = []
    instances: int = 0
    dropped: list[DroppedLine] = []
    remarks: dict[str, list[str]] = {}
    bits: dict[str, UsedBits] = {}
    groups: list[str] = []
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
        """Yields the source files of the shard's images, each once."""
        files = (self.converter.source_files(shard.split, image_id) for image_id in shard.image_ids)
        yield from dict.fromkeys(chain.from_iterable(files))

    def write(self, shard: Shard, on_progress: Progress = lambda images: None) -> ShardRecord:
        """Writes a Parquet file and its record, unless a worker finished both before it was killed."""
        finished = self._finished(shard)
        if finished is not None:
            return finished
        # Before the files are read: one that changes meanwhile then makes the shard out of date.
        record = ShardRecord(files=file_stats(self._sources(shard)))
        path = self.folder / "data" / shard.file
        with atomic_write(path) as beside, ExitStack() as stack:
            writer = None
            for group in self._groups(shard, record, on_progress):
                writer = writer or stack.enter_context(_open(beside, self.schema, group))
                _spill(group, path.parent)
                writer.write_table(_table(group, self.schema))
                # Before the next images are read.
                group.clear()
            if writer is None:
                stack.enter_context(_open(beside, self.schema, []))
        # The record is written last: a shard without one counts as unfinished.
        record.sha256 = sha256_file(path)
        write_json(self._record(shard), msgspec.to_builtins(record))
        return record

    def _groups(
        self, shard: Shard, record: ShardRecord, on_progress: Progress
    ) -> Iterator[list[dict[str, Any]]]:
        """Yields the rows of each row group; see `_rows`."""
        group: list[dict[str, Any]] = []
        for row in self._rows(shard, record, on_progress):
            group.append(row)
            del row
            if len(group) == _ROW_GROUP_ROWS or sum(_cell_sizes(group)) >= _ROW_GROUP_BYTES:
                yield group
                group = []
        if group:
            yield group

    def _rows(self, shard: Shard, record: ShardRecord, on_progress: Progress) -> Iterator[dict[str, Any]]:
        """Yields rows; adds their digests, the source checksums and the dropped images to the record."""

        def drop(image_id: str, kind: str, reason: str) -> None:
            # The result must not depend on where the raw folder lies.
            reason = reason.replace(f"{self.converter.root}{os.sep}", "")
            line = DroppedLine(split=shard.split, image_id=image_id, kind=kind, reason=reason)
            record.dropped.append(line)

        for image_id in shard.image_ids:
            # Tiles of one picture share its files.
            new = [
                path
                for path in self.converter.source_files(shard.split, image_id)
                if source_name(self.converter, path) not in record.sources
            ]
            record.sources |= checksums(self.converter, new)
            try:
                with collect_remarks() as remarks:
                    sample = self.converter.read(shard.split, image_id)
                labels = dense_instances(sample, self.spec)
                # The class map of a large picture would take memory beside the clicks' distances.
                sample = replace(sample, labels=labels)
                row, instances = encode_row(sample, self.spec, labels)
            except SampleError as error:
                if not self.keep_going:
                    raise
                drop(image_id, "unreadable", str(error))
            except MemoryError:
                raise OutOfMemory(f"{self.spec.name}, image {image_id}") from None
            else:
                for reason in sample.dropped:
                    drop(image_id, "object", reason)
                for text, paths in remarks.items():
                    record.remarks.setdefault(text, []).extend(
                        source_name(self.converter, path) for path in paths
                    )
                for reason in sample.overlaps:
                    drop(image_id, "overlap", reason)
                for reason in sample.cuts:
                    drop(image_id, "cut", reason)
                for name, stream in self.spec.streams.items():
                    # No array gets a name here, which would keep it in memory while the row is written.
                    record.bits.setdefault(name, UsedBits()).add(sample.streams[name], stream.missing)
                if row["objects"]:
                    streams = tuple(self.spec.streams)
                    record.digests.append(row_digest(shard.split, row, instances, streams))
                    record.pictures.append((picture_digest(row, streams), image_id))
                    record.instances += len(row["objects"])
                    if sample.group not in record.groups:
                        record.groups.append(sample.group)
                    # A large picture and its labels would take memory while the row is written.
                    del sample, labels, instances
                    yield row
                    del row
                else:
                    drop(image_id, "no instance", "the labels hold no instance")
            on_progress(1)


def _cell_sizes(group: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the size in bytes of every picture of some rows."""
    cells = (value for row in group for value in row.values() if isinstance(value, dict))
    return [len(value["data"] if "data" in value else value["bytes"]) for value in cells]


def _open(path: Path, schema: pa.Schema, group: Sequence[Mapping[str, Any]]) -> pq.ParquetWriter:
    """Opens a file whose first row group is known.

    Compression, dictionaries and statistics each copy a cell once or twice in memory. A file that begins with
    a cell of 128 MiB or more does without them.
    """
    if max(_cell_sizes(group), default=0) < LARGE_CELL_BYTES:
        return pq.ParquetWriter(path, schema, compression="zstd")
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=False)


def _spill(group: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Moves the tensors of a large row to unnamed files in `folder`, mapped for reading.

    Parquet's writer holds two copies of a cell beside the cell itself, whose memory the system can then take
    back at any time.
    """
    if max(_cell_sizes(group)) < LARGE_CELL_BYTES:
        return
    for row in group:
        for value in row.values():
            if isinstance(value, dict) and "data" in value:
                with TemporaryFile(dir=folder) as file:
                    file.write(value["data"])
                    file.flush()
                    value["data"] = mmap(file.fileno(), 0, access=ACCESS_READ)


def _table(group: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Builds the table of some rows; the tensors of a large one alone are not copied."""
    if len(group) > 1 or max(_cell_sizes(group)) < LARGE_CELL_BYTES:
        return pa.Table.from_pylist(group, schema)
    (row,) = group
    tensors = {name: value for name, value in row.items() if isinstance(value, dict) and "data" in value}
    table = pa.Table.from_pylist(
        [{**row, **{name: {**tensors[name], "data": b""} for name in tensors}}], schema
    )
    for name, value in tensors.items():
        cell, column = table[name].combine_chunks(), table.schema.get_field_index(name)
        ends = pa.py_buffer(np.array([0, len(value["data"])], np.int32))
        data = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(value["data"])])
        parts = [data if field.name == "data" else cell.field(field.name) for field in cell.type]
        filled = pa.StructArray.from_arrays(parts, fields=list(cell.type))
        table = table.set_column(column, table.schema.field(column), filled)
    return table


def file_stats(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Returns the path, size in bytes and modification time in nanoseconds of each file."""
    stats = ((path, path.stat()) for path in paths)
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


def checksums(converter: Converter, paths: Iterable[Path]) -> dict[str, str]:
    """Returns the SHA-256 of source files by name; see `source_name`."""
    return {source_name(converter, path): sha256_file(path) for path in paths}


def source_name(converter: Converter, path: Path) -> str:
    """Returns the name of a source file in the manifest: its path below the raw folder, else its own name."""
    root = converter.root
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
