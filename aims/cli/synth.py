"""`aims synth LAYOUT`: a small raw dataset, to try the other commands on."""

from __future__ import annotations

import re
from pathlib import Path

import click

from aims.cli._terminal import out
from aims.core.errors import InputError, unknown_name

LAYOUTS = ("folder",)


@click.command()
@click.argument("layout")
@click.option("--out", "target", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--scenes", type=click.IntRange(3), default=60, show_default=True, help="Number of pictures.")
@click.option("--size", default="96x128", show_default=True, help="Height x width in pixels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the scenes.")
def command(layout: str, target: Path, scenes: int, size: str, seed: int) -> None:
    """Generate a small raw dataset to try things on.

    LAYOUT is "folder": a made-up thermal sensor with its TOML description.
    """
    from aims.synth.shapes import write_shapes

    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if not match or min(map(int, match.groups())) < 32:
        raise InputError(f"--size {size!r}: give height x width in pixels, 32 or more, e.g. 96x128")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: is not empty; give a new folder with --out")
    description = write_shapes(target, scenes=scenes, size=(int(match[1]), int(match[2])), seed=seed)
    out.print(f"{scenes} scenes written; convert them with: aims convert folder {description}", markup=False)
