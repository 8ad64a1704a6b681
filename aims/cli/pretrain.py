"""`aims pretrain`: pretrain sam-tiny on generated scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from aims.cli._options import PATH, device_option, json_option, path_option, setting_options
from aims.cli._terminal import add_columns, err, out, print_json, warn
from aims.pretrain.settings import PRETRAIN_SETTINGS

if TYPE_CHECKING:
    from aims.pretrain.scores import ClickScores, DiscScores

_EPILOG = """
\b
Ctrl-C saves and stops; the same command goes on from there. --finish writes weights and card of what
is there without another step; --seconds does so after a time. The folder holds weights.safetensors (half
precision, for --weights of `aims run`), card.json and README.md (recipe and scores, each beside the fixed
disc), curves.png, metrics.jsonl, and the checkpoint in parts.
\b
The recipe, its figures, and what may be shipped: docs/pretraining.md.
"""


@click.command(epilog=_EPILOG)
@click.option("--out", "folder", type=PATH, required=True, help="Folder of this pretraining.")
@setting_options(PRETRAIN_SETTINGS, {})
@click.option(
    "--weights",
    metavar="FILE|NAME|none",
    help="Start from these weights.  [default: random, by the seed]",
)
@path_option("--photos", "Also learn from photographs, in BSDS500's layout.")
@click.option("--share-of-photos", type=float, help="Share of the images.  [default: 0.3 with --photos]")
@path_option("--bsds", "Also score on the photographs of this folder.")
@device_option()
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes that make scenes ahead.  [default: 0 on a CPU, else the other cores, at most 16]",
)
@click.option("--seconds", type=float, help="Stop this call after SECONDS, with weights and card written.")
@click.option("--finish", is_flag=True, help="Write weights and card of what is there; train no further.")
@json_option("Print the card as JSON.")
def command(finish: bool, as_json: bool, **arguments: Any) -> None:
    """Pretrain sam-tiny on generated scenes.

    Every scene of the family "wilds" is seen once, from a few clicks; the family "rooms" is only scored.
    """
    # Imported here: torch takes seconds.
    from aims.cli._training_display import training_display
    from aims.pretrain.run import plan_pretraining, pretrain

    job = plan_pretraining(**arguments)
    config = job.config
    length = f"{config.images:,} images" if config.images else f"{config.hours:g} hours"
    err.print(
        f"{config.backbone}, {length}, batches of {config.batch_size} x {config.clicks} clicks, "
        f"lr {config.lr:g}, {config.precision} on {job.device}",
        markup=False,
        soft_wrap=True,
    )
    if config.share_of_photos:
        warn("photographs are learned from: unless their licence is free, the weights may not be shipped")
    with training_display("images", "sets", _score_line) as observer:
        card = pretrain(job, finish=finish, observer=observer)
    if as_json:
        print_json(card.as_json())
        return
    out.print(str(job.folder / card.weights.file), markup=False)
    table = Table(title=f"mIoU from one click, %, after {card.images_seen:,} images")
    add_columns(table, "held out", "instances", "model", "disc", "best disc", left=["held out"])
    for name, found in card.scores.items():
        for row, number, *shares in (
            (name, found.instances, found.miou, found.disc, found.best_disc),
            ("  large", found.large_instances, found.miou_large, found.disc_large, found.best_disc_large),
        ):
            table.add_row(row, f"{number:,}", *(f"{100 * share:.1f}" for share in shares))
    out.print(table)


def _score_line(
    images: int, seconds: float, scores: Mapping[str, ClickScores], floors: Mapping[str, DiscScores]
) -> str:
    shares = (
        f"{name} {100 * found.miou:.1f} % (disc {100 * floors[name].disc:.1f})"
        for name, found in scores.items()
    )
    return f"{images:>11,} images  {seconds:>8,.0f} s  {'  '.join(shares)}"
