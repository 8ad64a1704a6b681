"""Conversion: a converter's images become an AIMS dataset, in pieces that survive any stop.

Everything is staged in `OUT.partial` beside the target: each shard is written under a temporary name, renamed
when it is whole and followed by its record. When all shards are there the manifest is written and the whole
folder gets its name, so a folder that looks like a dataset is one.
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
from filelock import FileLock, Timeout

from aims.core.errors import InputError
from aims.core.files import sha256_json, sync, write_json, write_text
from aims.core.schema import FORMAT_VERSION, SPLIT_PATTERN, Converter, DatasetSpec
from aims.core.structs import read_struct
from aims.data.card import dataset_card
from aims.data.dropped import dropped_lines
from aims.data.engines import choose_engine
from aims.data.format import CARD, DROPPED, PARTIAL, arrow_schema, check_text, fingerprint
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
    """Which conversion an unfinished folder is of."""

    key: str


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

    The result depends on the source and the options alone: not on `jobs`, `engine`, the place or the time.

    Args:
        converter: reads the raw dataset.
        out: folder to make. An unfinished conversion of the same source and options is continued.
        jobs: processes on this machine; None for this one alone.
        engine: "local", or "ray" for the Ray cluster at hand (extra `ray`).
        keep_going: list unreadable images in dropped.jsonl instead of stopping at the first.
        overwrite: replace a dataset that is there already.
        strict_counts: refuse a source whose splits have other sizes than the published set's, instead of
            noting it in the manifest.
        rows_per_shard: images in one Parquet file.
        on_total: called once with the number of images.
        on_progress: called with the number of further images that are done.
        on_warning: called, before the work begins, with each line that goes into the manifest's `warnings`.

    Raises:
        InputError: the source cannot be read, or `out` holds something else.
        AimsError: worker processes died again and again.
    """
    run = choose_engine(engine, jobs)
    spec, splits = converter.description(), {name: tuple(ids) for name, ids in converter.splits().items()}
    _check_splits(spec, splits)
    warnings = _compare_counts(converter, splits)
    for line in warnings:
        if strict_counts:
            raise InputError(f"{converter.root}: {line}; complete it, or leave --strict-counts out")
        on_warning(line)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        # Even to be replaced: --overwrite must not cost anybody a folder of something else.
        if not (out / MANIFEST).is_file():
            raise InputError(f"{out}: exists and is no AIMS dataset; give another --out")
        if not overwrite:
            return _finished(converter, spec, splits, out)
    key = _conversion_key(converter, spec, splits, rows_per_shard)
    on_total(sum(len(ids) for ids in splits.values()))
    partial = out.with_name(f"{out.name}{PARTIAL}")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(partial / ".lock", timeout=0):
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
            dropped = [
                DroppedLine(split=line.split, image_id=line.image_id, kind="unusable", reason=line.reason)
                for line in converter.left_out()
            ]
            dropped += [line for record in records for line in record.dropped]
            manifest = _manifest(converter, spec, dict(zip(shards, records, strict=True)), dropped, warnings)
            _publish(partial, out, manifest, dropped)
    except Timeout:
        raise InputError(f"{partial}: another process is converting into it; wait for it") from None
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
    """One line for every split that has not as many images as the published set's, and one for the total."""
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
    """Tells conversions apart: everything that shapes the result, sources by size and time of change."""
    files = file_stats(converter.shared_files())
    return sha256_json(
        [__version__, converter.name, converter.options(), asdict(spec), splits, rows_per_shard, files]
    )


def _origin(converter: Converter, spec: DatasetSpec) -> dict[str, Any]:
    """The manifest entries that say what was converted, and how."""
    return {
        "version": FORMAT_VERSION,
        "aims_version": __version__,
        "dataset": spec,
        "converter": ConverterEntry(name=converter.name, options=converter.options()),
    }


def _finished(converter: Converter, spec: DatasetSpec, splits: Splits, out: Path) -> Conversion:
    """Answers from a finished conversion of the same source; refuses if it is of another."""
    manifest = Dataset.open(out).manifest
    own = (converter.source_files(split, image_id) for split, ids in splits.items() for image_id in ids)
    files = chain(converter.shared_files(), *own)
    same = msgspec.structs.replace(manifest, **_origin(converter, spec)).as_json() == manifest.as_json()
    if not same or manifest.sources != checksums(converter, files):
        raise InputError(
            f"{out}: holds a dataset from another source or other options; give another --out, or --overwrite"
        )
    # Left by a stop between giving the folder its name and cleaning up.
    _clean(out)
    return Conversion(folder=out, manifest=manifest, dropped=dropped_lines(out), already_there=True)


def _prepare(partial: Path, key: str) -> None:
    """Keeps what an interrupted run of the same conversion finished; clears anything else."""
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
    )


def _publish(partial: Path, out: Path, manifest: Manifest, dropped: Sequence[DroppedLine]) -> None:
    """Completes the staged folder and gives it its name in one step."""
    if manifest.images == 0:
        reasons = "; ".join(sorted({line.reason for line in dropped})[:3])
        raise InputError(f"{manifest.dataset.name}: no image is left ({len(dropped)} dropped: {reasons})")
    write_text(partial / DROPPED, dropped_text(dropped))
    write_text(partial / CARD, dataset_card(manifest))
    write_json(partial / MANIFEST, manifest.as_json())
    sync(partial / "data")
    replaced = out.with_name(f".{out.name}.replaced")
    if replaced.exists():  # left by a stop while it was being removed
        shutil.rmtree(replaced)
    if out.exists():
        os.replace(out, replaced)
    os.replace(partial, out)
    sync(out.parent)
    if replaced.exists():
        shutil.rmtree(replaced)
    _clean(out)


def _clean(out: Path) -> None:
    """Removes what only an unfinished conversion needs."""
    shutil.rmtree(out / RECORDS, ignore_errors=True)
    for name in (_STATE, ".lock"):
        (out / name).unlink(missing_ok=True)
