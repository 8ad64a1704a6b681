"""Conversion: a converter's images become an AIMS dataset, in pieces that survive any stop.

Everything is staged in `OUT.partial` beside the target: each shard is written under a temporary name, renamed
when it is whole and followed by its record. When all shards are there the manifest is written and the whole
folder gets its name, so a folder that looks like a dataset is one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from aims.core.errors import AimsError, InputError
from aims.core.files import atomic_write, read_json, sha256_file, sha256_json, sync, write_json, write_text
from aims.core.schema import FORMAT_VERSION, SPLIT_PATTERN, Converter, DatasetSpec, SampleError
from aims.data.card import dataset_card
from aims.data.format import (
    CARD,
    DROPPED,
    MANIFEST,
    arrow_schema,
    decode_instances,
    encode_row,
    fingerprint,
    row_digest,
)
from aims.version import __version__

ROWS_PER_SHARD = 64
# A row group is the least that can be read, so it is kept small for random access while training.
_ROW_GROUP_BYTES = 2 << 20
_ROW_GROUP_ROWS = 64
_STATE = ".conversion.json"
_RECORDS = ".records"

Progress = Callable[[int], None]
Splits = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` did.

    Attributes:
        folder: the dataset.
        manifest: its manifest.
        dropped: the lines of dropped.jsonl.
        already_there: the same conversion was found finished and nothing was done.
    """

    folder: Path
    manifest: dict[str, Any]
    dropped: list[dict[str, str]]
    already_there: bool = False


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """One unit of work: the images of one Parquet file."""

    file: str
    split: str
    image_ids: tuple[str, ...]


def convert(
    converter: Converter,
    out: Path,
    *,
    jobs: int = 1,
    keep_going: bool = False,
    overwrite: bool = False,
    rows_per_shard: int = ROWS_PER_SHARD,
    on_total: Progress = lambda images: None,
    on_progress: Progress = lambda images: None,
) -> Conversion:
    """Converts a raw dataset.

    The result depends on the source and the options alone: not on `jobs`, the place or the time.

    Args:
        converter: reads the raw dataset.
        out: folder to make. An unfinished conversion of the same source and options is continued.
        jobs: processes.
        keep_going: list unreadable images in dropped.jsonl instead of stopping at the first.
        overwrite: replace a dataset that is there already.
        rows_per_shard: images in one Parquet file.
        on_total: called once with the number of images.
        on_progress: called with the number of further images that are done.

    Raises:
        InputError: the source cannot be read, or `out` holds something else.
        AimsError: a worker process died.
    """
    spec, splits = converter.spec(), {name: tuple(ids) for name, ids in converter.splits().items()}
    _check_splits(spec, splits)
    key = _conversion_key(converter, spec, splits, rows_per_shard)
    finished = None if overwrite else _finished(converter, spec, splits, out)
    if finished is not None:
        return finished
    on_total(sum(len(ids) for ids in splits.values()))
    partial = out.with_name(f"{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(partial / ".lock", timeout=0):
            _prepare(partial, key)
            shards = _plan(splits, rows_per_shard)
            records = _write_shards(converter, spec, shards, partial, jobs, keep_going, on_progress)
            dropped = [line for record in records for line in record["dropped"]]
            manifest = _manifest(converter, spec, splits, shards, records)
            _publish(partial, out, spec, manifest, dropped)
    except Timeout:
        raise InputError(f"{partial}: another process is converting into it; wait for it") from None
    return Conversion(folder=out, manifest=manifest, dropped=dropped)


def _check_splits(spec: DatasetSpec, splits: Splits) -> None:
    seen: dict[str, str] = {}
    for split, ids in splits.items():
        if not SPLIT_PATTERN.fullmatch(split):
            raise InputError(f"split name {split!r}: use lower-case letters, digits and '_'")
        for image_id in ids:
            if image_id in seen:
                raise InputError(
                    f"{spec.name}: image {image_id!r} is in split {seen[image_id]!r} and again in {split!r}"
                )
            seen[image_id] = split
    if not seen:
        raise InputError(f"{spec.name}: no image in any split")


def _conversion_key(converter: Converter, spec: DatasetSpec, splits: Splits, rows_per_shard: int) -> str:
    """Tells conversions apart: everything that shapes the result, sources by size and time of change."""
    files = [*converter.shared_files()]
    files += [path for split, ids in splits.items() for i in ids for path in converter.source_files(split, i)]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return sha256_json(
        [__version__, converter.name, converter.options(), asdict(spec), splits, rows_per_shard, stats]
    )


def _finished(converter: Converter, spec: DatasetSpec, splits: Splits, out: Path) -> Conversion | None:
    """Answers from a finished conversion of the same source; refuses to touch a folder that holds else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / MANIFEST).is_file():
        raise InputError(f"{out}: exists and is no AIMS dataset; give another --out")
    manifest = read_json(out / MANIFEST)
    now = json.loads(json.dumps(_origin(converter, spec)))
    if {name: manifest.get(name) for name in now} != now or manifest["sources"] != _checksums(
        converter, splits
    ):
        raise InputError(
            f"{out}: holds a dataset from another source or other options; give another --out, or --overwrite"
        )
    # Left by a stop between giving the folder its name and cleaning up.
    shutil.rmtree(out / _RECORDS, ignore_errors=True)
    dropped = [json.loads(line) for line in (out / DROPPED).read_text("utf-8").splitlines()]
    return Conversion(folder=out, manifest=manifest, dropped=dropped, already_there=True)


def _origin(converter: Converter, spec: DatasetSpec) -> dict[str, Any]:
    """The manifest entries that say what was converted, and how."""
    return {
        "format": "aims",
        "version": FORMAT_VERSION,
        "aims_version": __version__,
        "dataset": asdict(spec),
        "converter": {"name": converter.name, "options": converter.options()},
    }


def _checksums(converter: Converter, splits: Splits) -> dict[str, str]:
    files = [*converter.shared_files()]
    files += [path for split, ids in splits.items() for i in ids for path in converter.source_files(split, i)]
    return dict(sorted((_source_name(converter, path), sha256_file(path)) for path in files))


def _prepare(partial: Path, key: str) -> None:
    """Keeps what an interrupted run of the same conversion finished; clears anything else."""
    state = partial / _STATE
    if not state.is_file() or read_json(state).get("key") != key:
        for name in ("data", _RECORDS):
            shutil.rmtree(partial / name, ignore_errors=True)
        write_json(state, {"key": key})
    for name in ("data", _RECORDS):
        (partial / name).mkdir(exist_ok=True)


def _plan(splits: Splits, rows_per_shard: int) -> list[_Shard]:
    shards = []
    for split, ids in splits.items():
        count = max(1, -(-len(ids) // rows_per_shard))
        for i in range(count):
            part = ids[i * rows_per_shard : (i + 1) * rows_per_shard]
            name = f"{split}-{i:05d}-of-{count:05d}.parquet"
            shards.append(_Shard(file=name, split=split, image_ids=part))
    return shards


def _write_shards(
    converter: Converter,
    spec: DatasetSpec,
    shards: Sequence[_Shard],
    partial: Path,
    jobs: int,
    keep_going: bool,
    on_progress: Progress,
) -> list[dict[str, Any]]:
    """Writes the shards that are not there yet; returns the records of all in order."""
    records = {shard.file: _finished_shard(partial, shard, keep_going) for shard in shards}
    todo = [shard for shard in shards if records[shard.file] is None]
    on_progress(sum(len(shard.image_ids) for shard in shards if shard not in todo))
    schema = arrow_schema(spec)
    if jobs == 1 or len(todo) <= 1:
        for shard in todo:
            records[shard.file] = _write_shard(
                converter, spec, schema, shard, partial, keep_going, on_progress
            )
    else:
        for shard, record in _in_processes(converter, spec, schema, todo, partial, jobs, keep_going):
            records[shard.file] = record
            on_progress(len(shard.image_ids))
    return [record for record in records.values() if record is not None]


def _in_processes(
    converter: Converter,
    spec: DatasetSpec,
    schema: pa.Schema,
    todo: Sequence[_Shard],
    partial: Path,
    jobs: int,
    keep_going: bool,
) -> Iterator[tuple[_Shard, dict[str, Any]]]:
    # Spawned, not forked: a fork of a process with running threads (Arrow, BLAS) can hang. Workers ignore
    # Ctrl-C so that one message comes, from here.
    pool = ProcessPoolExecutor(
        min(jobs, len(todo)), get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )
    futures: dict[Future[dict[str, Any]], _Shard] = {}
    try:
        for shard in todo:
            task = pool.submit(_write_shard, converter, spec, schema, shard, partial, keep_going)
            futures[task] = shard
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise AimsError(
            "a worker process was killed (out of memory?); finished shards are kept: run the same command "
            "again, with fewer --jobs if memory was short"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _finished_shard(partial: Path, shard: _Shard, keep_going: bool) -> dict[str, Any] | None:
    """The record of a shard that an earlier, interrupted call finished."""
    path = partial / _RECORDS / f"{shard.file}.json"
    if not path.is_file() or not (partial / "data" / shard.file).is_file():
        return None
    record: dict[str, Any] = read_json(path)
    # Without --keep-going an unreadable image must stop this call too, so its shard is read again.
    unreadable = any(line["kind"] == "unreadable" for line in record["dropped"])
    return None if unreadable and not keep_going else record


def _write_shard(
    converter: Converter,
    spec: DatasetSpec,
    schema: pa.Schema,
    shard: _Shard,
    partial: Path,
    keep_going: bool,
    on_progress: Progress = lambda images: None,
) -> dict[str, Any]:
    """Writes one Parquet file and its record."""
    record: dict[str, Any] = {"digests": [], "dropped": [], "sources": {}, "instances": 0}

    def drop(image_id: str, kind: str, reason: str) -> None:
        reason = reason.replace(f"{converter.root}{os.sep}", "")
        record["dropped"].append({"split": shard.split, "image_id": image_id, "kind": kind, "reason": reason})

    def rows() -> Iterator[dict[str, Any]]:
        for image_id in shard.image_ids:
            for path in converter.source_files(shard.split, image_id):
                record["sources"][_source_name(converter, path)] = sha256_file(path)
            try:
                row = encode_row(converter.read(shard.split, image_id), spec)
            except SampleError as error:
                if not keep_going:
                    raise
                drop(image_id, "unreadable", str(error))
            else:
                if row["objects"]:
                    yield row
                else:
                    drop(image_id, "no instance", "the labels hold no instance")
            on_progress(1)

    path = partial / "data" / shard.file
    with atomic_write(path) as beside, pq.ParquetWriter(beside, schema, compression="zstd") as writer:
        group: list[dict[str, Any]] = []
        for row in rows():
            instances = decode_instances(row["instances"]["bytes"])
            record["digests"].append(row_digest(shard.split, row, instances, tuple(spec.streams)))
            record["instances"] += len(row["objects"])
            group.append(row)
            if len(group) == _ROW_GROUP_ROWS or sum(map(_row_bytes, group)) >= _ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    record["sha256"] = sha256_file(path)
    write_json(partial / _RECORDS / f"{shard.file}.json", record)
    return record


def _row_bytes(row: dict[str, Any]) -> int:
    binaries = [value for value in row.values() if isinstance(value, dict)]
    return sum(len(value["data"] if "data" in value else value["bytes"]) for value in binaries)


def _source_name(converter: Converter, path: Path) -> str:
    """A source file's name in the manifest: below the raw folder, or bare where it lies elsewhere."""
    return path.relative_to(converter.root).as_posix() if path.is_relative_to(converter.root) else path.name


def _manifest(
    converter: Converter,
    spec: DatasetSpec,
    splits: Splits,
    shards: Sequence[_Shard],
    records: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    files = {
        f"data/{shard.file}": {
            "split": shard.split,
            "images": len(record["digests"]),
            "instances": record["instances"],
            "sha256": record["sha256"],
        }
        for shard, record in zip(shards, records, strict=True)
    }
    sources = {_source_name(converter, path): sha256_file(path) for path in converter.shared_files()}
    for record in records:
        sources |= record["sources"]
    dropped = [line["kind"] for record in records for line in record["dropped"]]

    def total(split: str, what: str) -> int:
        return sum(file[what] for file in files.values() if file["split"] == split)

    return {
        **_origin(converter, spec),
        "splits": {
            split: {"images": total(split, "images"), "instances": total(split, "instances")}
            for split in splits
        },
        "dropped": {kind: dropped.count(kind) for kind in sorted(set(dropped))},
        "fingerprint": fingerprint(spec, [digest for record in records for digest in record["digests"]]),
        "files": files,
        "sources": dict(sorted(sources.items())),
    }


def _publish(
    partial: Path,
    out: Path,
    spec: DatasetSpec,
    manifest: dict[str, Any],
    dropped: Sequence[dict[str, str]],
) -> None:
    """Completes the staged folder and gives it its name in one step."""
    if not manifest["files"] or all(split["images"] == 0 for split in manifest["splits"].values()):
        reasons = "; ".join(sorted({line["reason"] for line in dropped})[:3])
        raise InputError(f"{spec.name}: no image is left ({len(dropped)} dropped: {reasons})")
    lines = (json.dumps(line, ensure_ascii=False) for line in dropped)
    write_text(partial / DROPPED, "".join(f"{line}\n" for line in lines))
    write_text(partial / CARD, dataset_card(manifest))
    write_json(partial / MANIFEST, manifest)
    for name in (_STATE, ".lock"):
        (partial / name).unlink(missing_ok=True)
    sync(partial / "data")
    if out.exists():
        replaced = out.with_name(f".{out.name}.replaced")
        os.replace(out, replaced)
        os.replace(partial, out)
        shutil.rmtree(replaced)
    else:
        os.replace(partial, out)
    sync(out.parent)
    shutil.rmtree(out / _RECORDS)
