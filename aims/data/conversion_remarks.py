"""What a conversion remarks on all of its images, once they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aims.core.schema import DatasetSpec, few
from aims.data.depths import UsedBits
from aims.data.shards import Shard, ShardRecord

# More remarks than this are summed up, as when every file has a scale of its own.
_REMARKS = 50
# Groups and pictures that are named.
_NAMED = 3


def remark_on(written: Mapping[Shard, ShardRecord], spec: DatasetSpec) -> list[str]:
    """Returns a line for each remark of the readers, and for what only the whole set shows."""
    records = [*written.values()]
    return [*_readers(records), *_depths(records, spec), *_groups(written), *_twins(written)]


def _groups(written: Mapping[Shard, ShardRecord]) -> list[str]:
    """Returns a line that names the groups with images in several splits, if there are any."""
    splits: dict[str, dict[str, None]] = {}
    for shard, record in written.items():
        for group in record.groups:
            splits.setdefault(group, {})[shard.split] = None
    found = [f"{group} ({', '.join(places)})" for group, places in splits.items() if len(places) > 1]
    what = "a group has" if len(found) == 1 else f"{len(found):,} groups have"
    text = few(found[:_NAMED], len(found))
    return [f"{what} images in several splits, which are then not independent: {text}"] if found else []


def _twins(written: Mapping[Shard, ShardRecord]) -> list[str]:
    """Returns a line that names the pictures that are in several splits, if there are any."""
    first: dict[str, tuple[str, str]] = {}
    found = []
    for shard, record in written.items():
        for digest, image_id in record.pictures:
            split, other = first.setdefault(digest, (shard.split, image_id))
            if split != shard.split:
                found.append(f"{other} of {split} is {image_id} of {shard.split}")
    what = "a picture is" if len(found) == 1 else f"{len(found):,} pictures are"
    text = few(found[:_NAMED], len(found))
    return [f"{what} in several splits, which `aims run` refuses: {text}"] if found else []


def _depths(records: Sequence[ShardRecord], spec: DatasetSpec) -> list[str]:
    """Returns a line for each stream whose numbers seem to have fewer bits than are stored."""
    found = {name: UsedBits() for name in spec.streams}
    for record in records:
        for name, bits in record.bits.items():
            found[name].merge(bits)
    remarks = ((name, bits.remark(spec.streams[name])) for name, bits in found.items())
    return [f"stream {name}: {text}" for name, text in remarks if text]


def _readers(records: Sequence[ShardRecord]) -> list[str]:
    """Returns a line for each remark of the readers, and one for those beyond the first `_REMARKS`."""
    files: dict[str, list[str]] = {}
    for record in records:
        for text, names in record.remarks.items():
            files.setdefault(text, []).extend(names)
    lines = [
        f"{names[0]}: {text}" + (f" ({len(names):,} files)" if len(names) > 1 else "")
        for text, names in files.items()
    ]
    more = len(lines) - _REMARKS
    return lines if more <= 0 else [*lines[:_REMARKS], f"and {more:,} more remarks of the same kinds"]
