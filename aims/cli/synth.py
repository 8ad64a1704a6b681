"""`aims synth LAYOUT`: a raw dataset of made-up scenes; `aims synth --look PAGE`: one of them on a page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click

from aims.cli._options import path_option
from aims.cli._terminal import counting, out
from aims.core.errors import InputError, unknown_name
from aims.core.files import write_text

_SIZE, _LOOK_SIZE = "96x128", "240x320"
_MIN_SIDE = 32


@click.command()
@click.argument("layout", required=False)
@path_option("--out", "Folder to make.", name="target")
@click.option("--scenes", type=click.IntRange(3), help="Number of pictures.  [default: 60]")
@click.option("--size", help=f"Height x width in pixels.  [default: {_SIZE}; with --look {_LOOK_SIZE}]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the scenes.")
@click.option("--test", type=click.IntRange(1), help="How many of them are for testing.  [default: a third]")
@click.option("--family", help="Kind of scenes: rooms or wilds.  [default: rooms]")
@path_option("--look", "Draw one scene on an HTML page instead.")
@click.option("--scene", type=click.IntRange(0), help="The scene that --look draws.  [default: 0]")
@click.option("--overwrite", is_flag=True, help="Let --look replace a file that is there already.")
def command(
    layout: str | None,
    target: Path | None,
    scenes: int | None,
    test: int | None,
    size: str | None,
    seed: int,
    family: str | None,
    look: Path | None,
    scene: int | None,
    overwrite: bool,
) -> None:
    """Generate a small raw dataset to try things on.

    LAYOUT is that of a real dataset: nyuv2, rgbp-glass, zju-rgbp, thermal-glass or ivrg-nir. These show
    rendered 3-D scenes as the dataset's own sensors would see them, the same scenes in each for the same
    seed. "folder" with --family holds every sensor of these scenes and a TOML description; without it, flat
    shapes of a made-up thermal sensor. `--look PAGE` takes no layout: it draws one scene as every sensor
    sees it.
    """
    shape = _parse_size(size or (_LOOK_SIZE if look else _SIZE))
    if look is not None:
        _refuse("--look", {"LAYOUT": layout, "--out": target, "--scenes": scenes, "--test": test})
        _look(look, family or "rooms", seed, scene or 0, shape, overwrite)
        return
    _refuse("a layout", {"--scene": scene, "--overwrite": overwrite or None})
    _write(layout, target, family, test, scenes=scenes or 60, size=shape, seed=seed)


def _refuse(what: str, options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name} does not go with {what}; leave it out")


def _parse_size(size: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if not match or min(map(int, match.groups())) < _MIN_SIDE:
        raise InputError(f"--size {size!r}: give height x width in pixels, {_MIN_SIDE} or more, e.g. {_SIZE}")
    return int(match[1]), int(match[2])


def _write(
    layout: str | None, target: Path | None, family: str | None, test: int | None, **drawn: Any
) -> None:
    """Writes a layout; `drawn` are the arguments that shapes and scenes share."""
    from aims.synth.datasets import FOLDER, LAYOUTS, check_empty, convert_arguments, write

    if layout is None:
        raise InputError(f"name a layout ({', '.join(LAYOUTS)}), or a page with --look")
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    if target is None:
        raise InputError("name the folder to make with --out")
    check_empty(target)
    if layout == FOLDER and family is None:
        _refuse(f"the layout {FOLDER!r} without --family", {"--test": test})
        from aims.core.staging import new_folder
        from aims.synth.shapes import write_shapes

        with new_folder(target) as folder:
            description = write_shapes(folder, **drawn)
        following = [FOLDER, str(target / description.name)]
    else:
        family = family or "rooms"
        with counting("render", drawn["scenes"], unit="scenes") as counter:
            write(layout, target, family=family, test=test, on_progress=counter.advance, **drawn)
        following = convert_arguments(layout, target, drawn["size"], family)
    command = shlex.join(["aims", "convert", *following])
    out.print(f"{drawn['scenes']} scenes written; convert them with: {command}", markup=False)


def _look(page: Path, family: str, seed: int, scene: int, size: tuple[int, int], overwrite: bool) -> None:
    if page.is_dir():
        raise InputError(f"{page}: is a folder; give --look a file, e.g. {page / 'page.html'}")
    if page.exists() and not overwrite:
        raise InputError(f"{page}: exists; give another --look, or --overwrite")
    from aims.synth.look import render_page
    from aims.synth.recordings import record

    text = render_page(record(family, seed, [scene], size)[0], seed=seed)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, text)
    out.print(
        f"{page}: scene {scene} of {family}, seed {seed}; {page.stat().st_size / 1e6:.1f} MB", markup=False
    )
