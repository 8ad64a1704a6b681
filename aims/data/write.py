"""Converts raw datasets to AIMS datasets; an interrupted conversion resumes from its finished shards.

Files are staged in `OUT.partial` beside the target: each shard is written under a temporary name, renamed
when it is complete and followed by its record. When all shards exist, the manifest is written and the folder
is renamed to `OUT`, so a folder of that name is always a complete dataset.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock

from aims.core.errors import InputError
from aims.core.files import sha256_json, sync, write_json, write_text
from aims.core.schema import FORMAT_VERSION, SPLIT_PATTERN, Converter, DatasetSpec, FileCount
from aims.core.staging import PARTIAL, held, is_empty
from aims.core.structs import read_struct
from aims.data.card import dataset_card
from aims.data.conversion_remarks import remark_on
from aims.data.dropped import dropped_lines
from aims.data.engines import choose_engine
from aims.data.format import CARD, DROPPED, arrow_schema, check_text, fingerprint
from aims.data.manifest import (
    MANIFEST,
    ConverterEntry,
    Counts,
    DroppedLine,
    FileEntry,
    Manifest,
    count_kinds,
    dropped_text,
)
from aims.data.read import Dataset
from aims.data.shards import (
    RECORDS,
    Progress,
    Shard,
    ShardRecord,
    ShardWriter,
    checksums,
    file_stats,
    plan_shards,
)
from aims.version import __version__

ROWS_PER_SHARD = 64
_STATE = ".conversion.json"

Splits = Mapping[str, tuple[str, ...]]


class _State(msgspec.Struct):
    """Identifies the conversion to which an unfinished folder belongs."""

    key: str


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Result of `convert`.

    Attributes:
        folder: the dataset.
        manifest: its manifest.
        dropped: the lines of dropped.jsonl.
        already_there: whether the same conversion was already finished, so that nothing was done.
    """

    folder: Path
    manifest: Manifest
    dropped: list[DroppedLine]
    already_there: bool = False


def convert(
    converter: Converter,
    out: Path,
    *,
    jobs: int | None = None,
    engine: str = "local",
    keep_going: bool = False,
    overwrite: bool = False,
    strict_counts: bool = False,
    rows_per_shard: int = ROWS_PER_SHARD,
    on_total: Progress = lambda images: None,
    on_progress: Progress = lambda images: None,
    on_warning: Callable[[str], None] = lambda line: None,
) -> Conversion:
    """Converts a raw dataset.

    The result depends only on the source and the options, not on `jobs`, `engine`, paths or time.

    Args:
        converter: reads the raw dataset.
        out: folder to create. An unfinished conversion of the same source and options is continued.
        jobs: number of worker processes on this machine; None converts in the calling process.
        engine: "local", or "ray" for a Ray cluster (needs the extra `ray`).
        keep_going: list unreadable images in dropped.jsonl instead of raising at the first.
        overwrite: replace an existing dataset in `out`.
        strict_counts: raise if the splits differ in size from the published ones, or if files and images do
            not match where all files are wanted, instead of noting it in the manifest.
        rows_per_shard: maximum number of images per Parquet file.
        on_total: called once with the number of images.
        on_progress: called with the number of images finished since the last call.
        on_warning: called with each line of the manifest's `warnings`: before any image is read with those
            that concern the whole set, at the end with remarks about files.

    Raises:
        InputError: the source cannot be read, or `out` holds anything but this dataset.
        Busy: another process converts into `out`.
        AimsError: worker processes were killed repeatedly.
    """
    run = choose_engine(engine, jobs)
    spec, splits = converter.description(), {name: tuple(ids) for name, ids in converter.splits().items()}
    _check_splits(spec, splits)
    inventory = tuple(converter.inventory())
    counts = _compare_counts(converter, splits)
    counts += [line for files in inventory for line in files.warnings()]
    if counts and strict_counts:
        raise InputError(f"{converter.root}: {counts[0]}; complete it, or leave --strict-counts out")
    warnings = [*counts, *converter.warnings()]
    for line in warnings:
        on_warning(line)
    # Asked whatever `overwrite` is: a folder that is no dataset must never be deleted.
    if _is_taken(out) and not overwrite:
        return _finished(converter, spec, splits, out)
    key = _conversion_key(converter, spec, splits, rows_per_shard)
    on_total(sum(len(ids) for ids in splits.values()))
    partial = out.with_name(f"{out.name}{PARTIAL}")
    partial.mkdir(parents=True, exist_ok=True)
    with held(FileLock(partial / ".lock", timeout=0), partial, "converting into it; wait for it"):
        # Another process may have ended since.
        if _is_taken(out) and not overwrite:
            shutil.rmtree(partial)
            return _finished(converter, spec, splits, out)
        _prepare(partial, key)
        shards = plan_shards(splits, rows_per_shard)
        writer = ShardWriter(
            converter=converter,
            spec=spec,
            schema=arrow_schema(spec),
            folder=partial,
            keep_going=keep_going,
        )
        records = writer.write_all(shards, run, on_progress)
        written = dict(zip(shards, records, strict=True))
        remarks = remark_on(written, spec)
        for line in remarks:
            on_warning(line)
        warnings += remarks
        dropped = [
            DroppedLine(split=line.split, image_id=line.image_id, kind="unusable", reason=line.reason)
            for line in converter.left_out()
        ]
        dropped += [line for record in records for line in record.dropped]
        manifest = _manifest(converter, spec, written, dropped, warnings, inventory)
        _publish(partial, out, manifest, dropped)
    return Conversion(folder=out, manifest=manifest, dropped=dropped)


def _check_splits(spec: DatasetSpec, splits: Splits) -> None:
    seen: dict[str, str] = {}
    for split, ids in splits.items():
        if not SPLIT_PATTERN.fullmatch(split):
            raise InputError(f"split name {split!r}: use lower-case letters, digits and '_'")
        for image_id in ids:
            check_text(spec.name, "image", image_id)
            if image_id in seen:
                raise InputError(
                    f"{spec.name}: image {image_id!r} is in split {seen[image_id]!r} and again in {split!r}"
                )
            seen[image_id] = split
    if not seen:
        raise InputError(f"{spec.name}: no image in any split")


def _compare_counts(converter: Converter, splits: Splits) -> list[str]:
    """Returns a line for each split, and for the total, whose image count differs from the published one."""
    published = converter.published
    if published is None or converter.made_up:
        return []
    found = Counter({split: len(ids) for split, ids in splits.items()})
    found.update(line.split for line in converter.left_out())
    pairs = [(f"images in split {name!r}", found[name], count) for name, count in published.images.items()]
    if published.total is not None:
        pairs.append(("images in all splits", found.total(), published.total))
    return [f"{what}: {count:,}, as published: {known:,}" for what, count, known in pairs if count != known]


def _conversion_key(converter: Converter, spec: DatasetSpec, splits: Splits, rows_per_shard: int) -> str:
    """Hashes all that determines the result; shared files count by size and modification time."""
    files = file_stats(converter.shared_files())
    return sha256_json(
        [__version__, converter.name, converter.options(), asdict(spec), splits, rows_per_shard, files]
    )


def _origin(converter: Converter, spec: DatasetSpec) -> dict[str, Any]:
    """Returns the manifest entries that say what was converted, and how."""
    return {
        "version": FORMAT_VERSION,
        "aims_version": __version__,
        "dataset": spec,
        "converter": ConverterEntry(name=converter.name, options=converter.options()),
    }


def _is_taken(out: Path) -> bool:
    """Returns whether there is a dataset in `out`; raises InputError if there is anything else."""
    if not out.exists() or is_empty(out):
        return False
    if not (out / MANIFEST).is_file():
        raise InputError(f"{out}: exists and is no AIMS dataset; give another --out")
    return True


def _finished(converter: Converter, spec: DatasetSpec, splits: Splits, out: Path) -> Conversion:
    """Returns the finished conversion in `out`; raises InputError if its source or options differ."""
    manifest = Dataset.open(out).manifest
    own = (converter.source_files(split, image_id) for split, ids in splits.items() for image_id in ids)
    files = chain(converter.shared_files(), *own)
    same = msgspec.structs.replace(manifest, **_origin(converter, spec)).as_json() == manifest.as_json()
    if not same or manifest.sources != checksums(converter, files):
        raise InputError(
            f"{out}: holds a dataset from another source or other options; give another --out, or --overwrite"
        )
    # Removes files left if that conversion was interrupted between the rename and its cleanup.
    _clean(out)
    return Conversion(folder=out, manifest=manifest, dropped=dropped_lines(out), already_there=True)


def _prepare(partial: Path, key: str) -> None:
    """Keeps the shards of an interrupted run with the same key; removes those of any other."""
    state = partial / _STATE
    if not state.is_file() or read_struct(state, _State, what="the state of a conversion").key != key:
        for name in ("data", RECORDS):
            shutil.rmtree(partial / name, ignore_errors=True)
        write_json(state, {"key": key})
    for name in ("data", RECORDS):
        (partial / name).mkdir(exist_ok=True)


def _manifest(
    converter: Converter,
    spec: DatasetSpec,
    written: Mapping[Shard, ShardRecord],
    dropped: Sequence[DroppedLine],
    warnings: Sequence[str],
    inventory: tuple[FileCount, ...],
) -> Manifest:
    images, instances, files = Counter[str](), Counter[str](), {}
    sources = checksums(converter, converter.shared_files())
    for shard, record in written.items():
        images[shard.split] += len(record.digests)
        instances[shard.split] += record.instances
        files[f"data/{shard.file}"] = FileEntry(
            split=shard.split,
            images=len(record.digests),
            instances=record.instances,
            sha256=record.sha256,
        )
        sources |= record.sources
    return Manifest(
        **_origin(converter, spec),
        splits={split: Counts(images=images[split], instances=instances[split]) for split in images},
        fingerprint=fingerprint(spec, [digest for record in written.values() for digest in record.digests]),
        files=files,
        sources=dict(sorted(sources.items())),
        dropped=count_kinds(dropped),
        warnings=tuple(warnings),
        inventory=inventory,
    )


def _publish(partial: Path, out: Path, manifest: Manifest, dropped: Sequence[DroppedLine]) -> None:
    """Completes the staged folder and renames it to `out`."""
    if manifest.images == 0:
        reasons = "; ".join(sorted({line.reason for line in dropped})[:3])
        raise InputError(f"{manifest.dataset.name}: no image is left ({len(dropped)} dropped: {reasons})")
    write_text(partial / DROPPED, dropped_text(dropped))
    write_text(partial / CARD, dataset_card(manifest))
    write_json(partial / MANIFEST, manifest.as_json())
    sync(partial / "data")
    replaced = out.with_name(f".{out.name}.replaced")
    if replaced.exists():  # an earlier run was interrupted while removing it
        shutil.rmtree(replaced)
    # The old dataset is moved aside: a rename cannot replace a folder that is not empty.
    if out.exists():
        os.replace(out, replaced)
    os.replace(partial, out)
    sync(out.parent)
    if replaced.exists():
        shutil.rmtree(replaced)
    _clean(out)


def _clean(out: Path) -> None:
    """Removes the files that only an unfinished conversion needs."""
    shutil.rmtree(out / RECORDS, ignore_errors=True)
    for name in (_STATE, ".lock"):
        (out / name).unlink(missing_ok=True)
