"""`aims view FOLDER --out PAGE`: pictures of a dataset on one page for the browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from aims.cli._options import DATASET, PATH, json_option
from aims.cli._terminal import counting, out, print_json
from aims.core.errors import InputError
from aims.core.files import write_text


@click.command()
@click.argument("folder", type=DATASET)
@click.option("--out", "target", type=PATH, required=True, help="HTML file to write.")
@click.option("--images", type=click.IntRange(1), default=24, show_default=True, help="Images at most.")
@click.option("--split", help="Take images of this split alone.  [default: of all]")
@click.option("--group", help="Take images of this group alone.  [default: of all]")
@click.option("--class", "class_name", help="Take images with an instance of this class.  [default: of any]")
@click.option("--area", metavar="FROM-TO", help="Take images with an instance of so many pixels: 100-5000.")
@click.option("--seed", type=click.IntRange(0), help="Choose at random.  [default: evenly spaced]")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@json_option("Print what was drawn as JSON.")
def command(
    folder: Path,
    target: Path,
    images: int,
    split: str | None,
    group: str | None,
    class_name: str | None,
    area: str | None,
    seed: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Draw a dataset's pictures and instances on a page for the browser.

    One HTML file that loads nothing: every stream in its colours with a scale, one for all pictures, the
    instances outlined, with their clicks. The page itself can be filtered by split, group, class and area.
    """
    from aims.data.page import choose_images, render_page
    from aims.data.read import Dataset

    if target.is_dir():
        raise InputError(f"{target}: is a folder; give --out a file, e.g. {target / 'page.html'}")
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists; give another --out, or --overwrite")
    dataset = Dataset.open(folder)
    wanted: dict[str, Any] = {"split": split, "group": group, "class_name": class_name, "area": _area(area)}
    refs = choose_images(dataset, images, seed=seed, **wanted)
    _prepare(target)
    chosen = "evenly spaced over splits and groups" if seed is None else f"chosen at random (seed {seed})"
    with counting("draw", len(refs)) as counter:
        page = render_page(dataset, refs, chosen=chosen, on_progress=counter.advance)
    write_text(target, page.html)
    if as_json:
        ids = [ref.image_id for ref in page.refs]
        print_json({"page": str(target), "bytes": target.stat().st_size, "images": ids})
        return
    total, size = dataset.manifest.images, target.stat().st_size / 1e6
    left_out = len(refs) - len(page.refs)
    more = f"; {left_out:,} more would not fit" if left_out else ""
    out.print(
        f"{target}: {len(page.refs):,} of {total:,} images, {chosen}; {size:.1f} MB{more}", markup=False
    )


def _area(text: str | None) -> tuple[int, int | None] | None:
    """Reads "FROM-TO", of which one may be left out."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d*)-(\d*)", text)
    low, high = (int(end) if end else None for end in match.groups()) if match else (None, None)
    if low is high is None or (high is not None and high < (low or 0)):
        raise InputError(
            f"--area {text}: give two areas in pixels, e.g. 100-5000, or 100- for the smallest alone"
        )
    return low or 0, high


def _prepare(target: Path) -> None:
    """Makes the page's folder and tries to write to it: a refusal must come before the drawing."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        trial = target.with_name(f".{target.name}.tmp")
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None
