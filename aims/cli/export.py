"""`aims export FOLDER`: a dataset as COCO, or as a folder of pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from aims.cli._options import DATASET, PATH, json_option
from aims.cli._terminal import counting, out, print_json, warn


@click.command()
@click.argument("folder", type=DATASET)
@click.option("--format", "to", type=click.Choice(["coco", "folder"]), required=True, help="What to write.")
@click.option("--out", "target", type=PATH, required=True, help="Folder to make.")
@json_option("Print what was written as JSON.")
def command(folder: Path, to: str, target: Path, as_json: bool) -> None:
    """Write a dataset as COCO, or as a folder of pictures.

    Both hold every instance, class and sensor value; `aims convert coco --raw OUT` and
    `aims convert folder OUT/folder.toml` read them back. What a format cannot hold is said.
    """
    from aims.data.export import export
    from aims.data.read import Dataset

    dataset = Dataset.open(folder)
    with counting("export", dataset.manifest.images) as counter:
        result = export(dataset, target, to=to, on_progress=counter.advance)
    if as_json:
        print_json({**dataclasses.asdict(result), "folder": str(result.folder), "format": to})
        return
    for line in result.lost:
        warn(line)
    out.print(
        f"{folder}  ->  {result.folder} ({to}): {result.images:,} images, {result.instances:,} instances",
        markup=False,
    )
