"""`aims audit FOLDER`: near-duplicates and groups that straddle splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from aims.cli._options import DATASET, json_option
from aims.cli._terminal import add_columns, counting, out, plain_table, print_json
from aims.core.errors import AimsError
from aims.data.audit import DISTANCE, Audit, ImagePair, audit_dataset
from aims.data.read import Dataset
from aims.data.refs import ImageRef

_ROWS = 50


@click.command()
@click.argument("folder", type=DATASET)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    help="Stream to compare, or rgb; repeatable.  [default: all]",
)
@click.option(
    "--distance",
    type=click.IntRange(0, 31),
    default=DISTANCE,
    show_default=True,
    help="Bits, of 64, in which the hashes of near-duplicates may differ.",
)
@click.option("--within", is_flag=True, help="Compare the images of one split with each other as well.")
@click.option("--fail", is_flag=True, help="Exit with code 1 if anything is found.")
@json_option("Print the findings as JSON.")
def command(
    folder: Path, streams: tuple[str, ...], distance: int, within: bool, fail: bool, as_json: bool
) -> None:
    """Find near-duplicates and groups that straddle splits.

    Two images are near-duplicates when a perceptual hash of any stream says so. Images of a
    fixed camera share their background: look at the pairs before you remove one.
    """
    with counting("audit", Dataset.open(folder).manifest.images) as counter:
        audit = audit_dataset(
            folder,
            streams=streams,
            distance=distance,
            within=within,
            on_progress=counter.advance,
        )
    if as_json:
        print_json(_json(folder, audit))
    else:
        _print(folder, audit)
    if fail and (audit.pairs or audit.straddling):
        raise AimsError(f"{folder}: {_found(audit)}")


def _print(folder: Path, audit: Audit) -> None:
    if audit.pairs:
        out.print(_pairs_table(audit))
        if len(audit.pairs) > _ROWS:
            out.print(f"the nearest {_ROWS} of {len(audit.pairs):,} pairs; --json lists all")
    if audit.straddling:
        out.print(_groups_table(audit))
    for ref, streams in audit.plain[:_ROWS]:
        out.print(f"{ref.split}/{ref.image_id}: too plain to compare in {', '.join(streams)}", markup=False)
    if len(audit.plain) > _ROWS:
        out.print(f"{_ROWS} of {len(audit.plain):,} images too plain to compare; --json lists all")
    out.print(f"{folder}: {_found(audit)}", markup=False)
    out.print(_compared(audit), markup=False)


def _found(audit: Audit) -> str:
    where = "" if audit.within else " across splits"
    pairs = _count(len(audit.pairs), "near-duplicate pair")
    return f"{pairs}{where}, {_count(len(audit.straddling), 'group')} in several splits"


def _compared(audit: Audit) -> str:
    images = sum(audit.images.values())
    parts = ", ".join(f"{count:,} {split}" for split, count in audit.images.items())
    groups = _count(audit.groups, "group")
    if audit.groups == images:
        groups = "every image a group of its own (so groups cannot show a leak)"
    return (
        f"compared {_count(images, 'image')} ({parts}) by {', '.join(audit.streams)}, "
        f"distance up to {audit.distance} of 64; {groups}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number != 1)}" if number < 1000 else f"{number:,} {noun}s"


def _pairs_table(audit: Audit) -> Table:
    table = plain_table(title="near-duplicates")
    add_columns(table, *("split", "image") * 2, left=("split", "image"), overflow="fold")
    add_columns(table, *audit.streams)
    for pair in audit.pairs[:_ROWS]:
        images = [text for ref in (pair.first, pair.second) for text in (ref.split, ref.image_id)]
        cells = [_distance(pair, stream, audit.distance) for stream in audit.streams]
        table.add_row(*map(Text, images), *cells)
    return table


def _distance(pair: ImagePair, stream: str, threshold: int) -> Text:
    if stream in pair.identical:
        return Text("identical", style="bold red")
    value = pair.distances[stream]
    if value is None:
        return Text("-")
    return Text(str(value), style="bold" if value <= threshold else "dim")


def _groups_table(audit: Audit) -> Table:
    table = plain_table(title="groups in several splits")
    table.add_column("group", overflow="fold")
    add_columns(table, *audit.images)
    for group, counts in audit.straddling.items():
        table.add_row(Text(group), *(f"{counts.get(split, 0):,}" for split in audit.images))
    return table


def _json(folder: Path, audit: Audit) -> dict[str, Any]:
    def image(ref: ImageRef) -> dict[str, str]:
        return {"split": ref.split, "image_id": ref.image_id, "group": ref.group}

    return {
        "folder": str(folder),
        "images": dict(audit.images),
        "streams": list(audit.streams),
        "distance": audit.distance,
        "within": audit.within,
        "groups": audit.groups,
        "pairs": [
            {
                "images": [image(pair.first), image(pair.second)],
                "distances": dict(pair.distances),
                "identical": list(pair.identical),
            }
            for pair in audit.pairs
        ],
        "straddling": {group: dict(counts) for group, counts in audit.straddling.items()},
        "plain": [{**image(ref), "streams": list(streams)} for ref, streams in audit.plain],
    }
