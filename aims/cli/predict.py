"""`aims predict MODEL FILES...`: masks for recordings that no dataset holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from aims.cli._options import (
    MODEL,
    Decorator,
    device_option,
    json_option,
    parse_channels,
    parse_streams,
    parse_variables,
    path_option,
    source_options,
    weights_option,
)
from aims.cli._terminal import counting, err, out, print_json
from aims.core.errors import AimsError, InputError
from aims.core.words import count
from aims.prediction.options import Everything, Tiling

_EPILOG = """
\b
aims predict RUN thermal/*.png --everything
aims predict RUN thermal/ --prompts clicks.csv      columns image, x, y, and optionally label, object
aims predict RUN data/aims/mine --split test --everything
aims predict RUN raw/ --stream rgb='rgb/{id}.jpg' --stream depth='depth/{id}.png' --everything
"""
_SHOWN = 5
_SHARE = click.FloatRange(0, 1)


def _number(flag: str, kind: click.ParamType[Any], text: str, default: object) -> Decorator:
    return click.option(flag, type=kind, default=default, show_default=True, help=text)


@click.command(epilog=_EPILOG)
@click.argument("model", type=MODEL)
@click.argument("files", type=str, nargs=-1, required=True)
@path_option("--out", "Folder for the results.  [default: predictions/MODEL]", name="target")
@path_option("--prompts", "CSV or JSON file of clicks and boxes, one object each.")
@click.option("--everything", "find_all", is_flag=True, help="Find all objects from a grid of clicks.")
@_number("--points-per-side", click.IntRange(1), "Clicks of the grid.", Everything.points_per_side)
@_number("--min-iou", _SHARE, "Least predicted IoU.", Everything.min_iou)
@_number(
    "--min-stability",
    _SHARE,
    "Least IoU of a mask at a higher and a lower threshold.",
    Everything.min_stability,
)
@_number("--nms", _SHARE, "Largest IoU of two objects.", Everything.nms)
@_number(
    "--max-share",
    _SHARE,
    "Largest share of the picture; a click beside all objects finds the ground.",
    Everything.max_share,
)
@_number("--min-area", click.IntRange(0), "Least pixels.", Everything.min_area)
@click.option(
    "--tile", type=click.IntRange(16), metavar="PIXELS", help="Cut pictures into tiles of this side."
)
@_number(
    "--overlap", click.FloatRange(0.1, 0.9), "Share of a tile that its neighbours see, too.", Tiling.overlap
)
@source_options()
@click.option("--no-pictures", is_flag=True, help="Write no pictures with outlines.")
@weights_option()
@device_option()
@click.option("--precision", type=click.Choice(["float32", "bf16"]), help="[default: the run's on a GPU]")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--overwrite", is_flag=True, help="Discard what other options left in --out.")
@json_option("Print what was written as JSON.")
def command(
    model: Path,
    files: tuple[str, ...],
    target: Path | None,
    prompts: Path | None,
    find_all: bool,
    tile: int | None,
    overlap: float,
    split: str | None,
    streams: tuple[str, ...],
    channels: str | None,
    variables: tuple[str, ...],
    no_pictures: bool,
    weights: Path | None,
    device: str,
    precision: str | None,
    jobs: int,
    overwrite: bool,
    as_json: bool,
    **grid: Any,
) -> None:
    """Predict masks for files of a trained model's sensor.

    MODEL is the folder of a finished run or of `aims export-model --format sam`, or a submission with
    weights; FILES are pictures, folders, patterns or converted datasets. They are read, scaled and ordered as
    in the training. Written are masks/NAME.png (16 bits, one number an object), pictures/NAME.png (outlines)
    and predictions.json (COCO, RLE). The same command goes on after a stop.
    """
    if find_all == (prompts is not None):
        raise click.UsageError("give either --everything or --prompts FILE", click.get_current_context())
    # Imported here: torch takes seconds.
    from aims.prediction.files import Predicting, predict_files
    from aims.prediction.sources import find_sources

    if tile is not None and not find_all:
        raise InputError("--tile is for --everything; a prompt is answered on the whole picture")
    plan = Predicting(
        model=str(model),
        weights=None if weights is None else str(weights),
        device=device,
        precision=precision,
        prompts=prompts,
        everything=Everything(**grid),
        tiling=None if tile is None else Tiling(side=tile, overlap=overlap),
        channels=parse_channels(channels),
        pictures=not no_pictures,
    )
    loaded = plan.load()
    plan = dataclasses.replace(plan, variables=parse_variables(variables, loaded.rules))
    sources = find_sources(files, loaded.rules, streams=parse_streams(streams), split=split)
    folder = target or Path("predictions") / loaded.name
    with counting("predict", len(sources), "pictures") as counter:
        outcome = predict_files(
            sources, plan, folder, jobs=jobs, overwrite=overwrite, on_picture=counter.advance
        )
    if as_json:
        print_json({**dataclasses.asdict(outcome), "folder": str(outcome.folder)})
    else:
        out.print(
            f"{count(outcome.objects, 'object')} in {count(outcome.finished, 'picture')}  ->  "
            f"{outcome.folder}",
            markup=False,
        )
    if outcome.skipped:
        err.print(f"without prompts, left out: {_some(outcome.skipped)}", markup=False, soft_wrap=True)
    if outcome.failed:
        for file, reason in [*outcome.failed.items()][:_SHOWN]:
            named = reason if file in reason else f"{file}: {reason}"
            err.print(f"not predicted: {named}", markup=False, soft_wrap=True)
        if (more := len(outcome.failed) - _SHOWN) > 0:
            err.print(f"and {more} more, which --json lists", markup=False)
        rest = "; the others are finished" if outcome.finished else ""
        raise AimsError(f"{len(outcome.failed)} of {len(sources)} pictures failed{rest}")


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
