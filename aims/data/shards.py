"""The Parquet files of a conversion: each written whole with a record of it, and taken up again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aims.core.files import atomic_write, read_json, sha256_file, write_json
from aims.core.schema import Converter, DatasetSpec, SampleError
from aims.data.engines import Engine, Progress, Shard
from aims.data.format import encode_row, row_digest

RECORDS = ".records"
# A row group is the least that can be read, so it is kept small for random access while training.
_ROW_GROUP_BYTES = 2 << 20
_ROW_GROUP_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class ShardWriter:
    """Writes shards and, after each, a record of it; travels to worker processes.

    Attributes:
        converter: reads the images.
        spec: what the converter says of the set.
        schema: the Parquet schema.
        folder: the staged dataset, with the folders `data` and `.records`.
        keep_going: list unreadable images instead of stopping at the first.
    """

    converter: Converter
    spec: DatasetSpec
    schema: pa.Schema
    folder: Path
    keep_going: bool

    def write_all(
        self, shards: Sequence[Shard], engine: Engine, on_progress: Progress
    ) -> list[dict[str, Any]]:
        """Writes the shards that are not there yet; returns the records of all in order.

        Raises:
            SampleError: an image cannot be read, and `keep_going` is off.
            AimsError: worker processes died again and again.
        """
        records = {shard.file: self._finished(shard) for shard in shards}
        todo = [shard for shard in shards if records[shard.file] is None]
        on_progress(sum(len(shard.image_ids) for shard in shards if shard not in todo))
        for shard, record in engine(self.write, todo, on_progress):
            records[shard.file] = record
        return [record for record in records.values() if record is not None]

    def _finished(self, shard: Shard) -> dict[str, Any] | None:
        """The record of a shard that an earlier, interrupted call finished."""
        path = self.folder / RECORDS / f"{shard.file}.json"
        if not path.is_file() or not (self.folder / "data" / shard.file).is_file():
            return None
        record: dict[str, Any] = read_json(path)
        if record["files"] != self._files(shard):
            return None
        # Without --keep-going an unreadable image must stop this call too, so its shard is read again.
        unreadable = any(line["kind"] == "unreadable" for line in record["dropped"])
        return None if unreadable and not self.keep_going else record

    def _files(self, shard: Shard) -> list[list[Any]]:
        """Size and time of change of the shard's own source files."""
        return file_stats(
            path
            for image_id in shard.image_ids
            for path in self.converter.source_files(shard.split, image_id)
        )

    def write(self, shard: Shard, on_progress: Progress = lambda images: None) -> dict[str, Any]:
        """Writes one Parquet file and its record, unless a worker that was then killed had finished both."""
        finished = self._finished(shard)
        if finished is not None:
            return finished
        record: dict[str, Any] = {"digests": [], "dropped": [], "sources": {}, "instances": 0}
        record["files"] = self._files(shard)
        path = self.folder / "data" / shard.file
        with (
            atomic_write(path) as beside,
            pq.ParquetWriter(beside, self.schema, compression="zstd") as writer,
        ):
            group: list[dict[str, Any]] = []
            for row, instances in self._rows(shard, record, on_progress):
                record["digests"].append(row_digest(shard.split, row, instances, tuple(self.spec.streams)))
                record["instances"] += len(row["objects"])
                group.append(row)
                if len(group) == _ROW_GROUP_ROWS or sum(map(_row_bytes, group)) >= _ROW_GROUP_BYTES:
                    writer.write_table(pa.Table.from_pylist(group, self.schema))
                    group = []
            if group:
                writer.write_table(pa.Table.from_pylist(group, self.schema))
        record["sha256"] = sha256_file(path)
        write_json(self.folder / RECORDS / f"{shard.file}.json", record)
        return record

    def _rows(
        self, shard: Shard, record: dict[str, Any], on_progress: Progress
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.int32]]]:
        """Reads images as rows with their instance maps; notes their files, and the images left out."""

        def drop(image_id: str, kind: str, reason: str) -> None:
            # The raw folder's place must not show in the result.
            reason = reason.replace(f"{self.converter.root}{os.sep}", "")
            line = {"split": shard.split, "image_id": image_id, "kind": kind, "reason": reason}
            record["dropped"].append(line)

        for image_id in shard.image_ids:
            for path in self.converter.source_files(shard.split, image_id):
                record["sources"][source_name(self.converter, path)] = sha256_file(path)
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
                if row["objects"]:
                    yield row, instances
                else:
                    drop(image_id, "no instance", "the labels hold no instance")
            on_progress(1)


def file_stats(paths: Iterable[Path]) -> list[list[Any]]:
    """Path, size and time of change of each file, as JSON keeps them."""
    stats = ((path, path.stat()) for path in paths)
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def _row_bytes(row: dict[str, Any]) -> int:
    binaries = [value for value in row.values() if isinstance(value, dict)]
    return sum(len(value["data"] if "data" in value else value["bytes"]) for value in binaries)


def source_name(converter: Converter, path: Path) -> str:
    """A source file's name in the manifest: below the raw folder, or bare where it lies elsewhere."""
    return path.relative_to(converter.root).as_posix() if path.is_relative_to(converter.root) else path.name
