"""`aims run`: train and evaluate one method on one modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from aims.cli._names import Name
from aims.cli._options import (
    OPEN,
    RegistryCommand,
    data_option,
    device_option,
    extra_options,
    json_option,
    runs_option,
    setting_options,
    track_option,
    trust_option,
)
from aims.cli._terminal import add_columns, err, out, print_json, warn
from aims.core.config import NO_MODEL, NO_TUNING, SETTINGS
from aims.core.sizes import LARGE_SHARE
from aims.core.vocabulary import DEFAULT_PROMPTS, MODALITIES, TRAINING_PROMPTS, find_protocol

if TYPE_CHECKING:
    from aims.core.curve import EpochLine

_EPILOG = """
\b
`aims info --all` says what each is and what it costs. Ctrl-C saves and stops; the same command goes
on from there. A finished run is not made again: the same command answers from it, unless --fresh is
given. On several devices: `accelerate launch --num_processes N -m aims run ...`.
"""


class _Rate(click.ParamType):  # type: ignore[type-arg]
    """A number, or "sweep"."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value == "sweep":
            return "sweep"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'sweep'", param, ctx)


@click.command(cls=RegistryCommand, epilog=_EPILOG, context_settings=OPEN)
@setting_options(SETTINGS, {"lr": _Rate(), "modality": Name("modality", MODALITIES, closed=False)})
@data_option()
@device_option()
@click.option("--workers", type=click.IntRange(0), help="Reading processes.  [default: 0 on a CPU, else 8]")
@click.option(
    "--checkpoint-every",
    type=click.IntRange(1),
    metavar="STEPS",
    help="Save after so many steps, too; every epoch is saved anyway.",
)
@click.option(
    "--attention",
    "path",
    type=click.Choice(["fast", "stock"]),
    default="fast",
    show_default=True,
    help="stock: segment-anything's modules as they are, to compare with.",
)
@click.option("--path", "old_path", type=click.Choice(["fast", "stock"]), hidden=True)
@runs_option()
@trust_option()
@track_option()
@click.option("--fresh", is_flag=True, help="Discard what is there of this run and start again.")
@json_option("Print the run record as JSON.")
@click.pass_context
def command(ctx: click.Context, /, fresh: bool, as_json: bool, **arguments: Any) -> None:
    """Train and evaluate one method on one modality."""
    from aims.data.modalities import choose_dataset
    from aims.data.read import find_datasets

    # Asked before the import of torch, which takes seconds.
    protocol = find_protocol(arguments["protocol"])
    arguments["data"] = find_datasets(arguments["data"])
    choose_dataset(arguments["data"], arguments["modality"], protocol, arguments["dataset"])
    # Imported here: torch takes seconds.
    from aims.cli._training_display import training_display
    from aims.core.records import SAMPLES
    from aims.engine.plan import plan
    from aims.engine.rates import RATES, run_rates
    from aims.engine.run import run

    if (old_path := arguments.pop("old_path")) is not None:
        warn("--path is now --attention; the old name goes with the next release")
        arguments["path"] = old_path
    sweep = arguments["lr"] == "sweep"
    if sweep:
        arguments["lr"] = None
    job = plan(**arguments, options=extra_options(ctx))
    config = job.config
    if not job.distributed.is_main:
        # The first process talks for all.
        run_rates(job, fresh=fresh) if sweep else run(job, fresh=fresh)
        return
    changed = f" ({config.options_text})" if config.options else ""
    training = "nothing is trained" if config.tuning == NO_TUNING else f"lr {config.lr:g}"
    training = f"lr {RATES[0]:g} to {RATES[-1]:g}" if sweep else training
    if config.prompts != DEFAULT_PROMPTS:
        training += f", trained on {TRAINING_PROMPTS[config.prompts].text}"
    start = f"{config.backbone} ({'random' if job.weights is None else 'pretrained'} weights)"
    if config.backbone == NO_MODEL:
        start = "a floor (no sensor is seen, there is no model)"
    err.print(
        f"{config.method} x {config.tuning}{changed}, {start}, {config.modality} of "
        f"{config.dataset}, protocol {config.protocol}, {training}, on {job.device}",
        markup=False,
        soft_wrap=True,
    )
    # The losses of single steps jump.
    with training_display("steps", "images", _epoch_line, smoothing=0.95) as observer:
        if sweep:
            rates, was_finished = run_rates(job, fresh=fresh, observer=observer), False
            record = rates.best
        else:
            record, was_finished = run(job, fresh=fresh, observer=observer)
    if as_json:
        print_json(record.content.as_json())
        return
    if was_finished:
        err.print("this run was finished before; --fresh makes it again")
    out.print(str(record.path), markup=False)
    if sweep:
        out.print(_rates_table(rates))
    table = Table(show_header=False)
    scores, content = record.scores, record.content
    counts = f"{scores.instances:,} instances, {scores.images:,} images"
    table.add_row("mIoU", f"{_percent(scores.miou)} (test, {counts})")
    images = content.images or {}
    parts = (split for split in ("train", "val", "test") if split in images)
    table.add_row("images", ", ".join(f"{images[split]:,} {split}" for split in parts))
    if config.tuning != NO_TUNING:
        on_test = "the peak on the test split"
        of = " of boxes" if TRAINING_PROMPTS[config.prompts].boxes_alone else ""
        on = on_test if scores.val_miou is None else f"validation mIoU{of} {_percent(scores.val_miou)}"
        table.add_row("selected", f"epoch {scores.epoch}, {on}")
    for name, value in (content.chosen or {}).items():
        table.add_row(name, f"{value:g}, the best on {_CHOSEN_ON[content.selected_on or 'test']}")
    if config.backbone != NO_MODEL and content.parameters and content.parameters.total:
        trained = content.parameters.trainable.total
        table.add_row("trained", f"{trained:,} of {content.parameters.total:,} parameters")
    if scores.instances_large and isinstance(scores.miou_large, float):
        of = f"{scores.instances_large:,} instances of at least {LARGE_SHARE} of the picture"
        table.add_row("mIoU, large", f"{_percent(scores.miou_large)} ({of})")
    at_once = content.micro_batch
    if at_once and at_once * (content.processes or 1) < config.batch_size:
        table.add_row("at once", f"{at_once} of {config.batch_size} images of a step: memory lacked")
    peak = content.peak_memory_bytes
    memory = f", peak memory {peak / 1e9:.1f} GB" if peak else ""
    table.add_row("time", f"{content.seconds:.0f} s{memory}")
    out.print(table)
    out.print(f"pictures with clicks, truth and prediction: {record.path / SAMPLES}", markup=False)


def _rates_table(rates: Any) -> Table:
    table = add_columns(Table(), "rate", "mIoU", "", left=("rate", ""))
    split = "test" if rates.best.scores.val_miou is None else "val"
    for rate, score in rates.scores.items():
        note = "training failed" if score is None else "stopped early" if rate in rates.stopped else ""
        note = f"chosen on {split}" if rate == rates.best.config.lr else note
        table.add_row(f"{rate:g}", "" if score is None else _percent(score), note)
    return table


_CHOSEN_ON = {"train": "the training part", "test": "the test split"}


def _percent(score: float) -> str:
    return f"{100 * score:.2f} %"


def _epoch_line(line: EpochLine) -> str:
    text = f"epoch {line.epoch:>3}"
    # The start, epoch 0, has neither.
    if line.epoch:
        text += f"  loss {line.loss:.4f}  lr {line.lr:.2g}"
    for split in ("val", "test"):
        if (miou := line.miou(split)) is not None:
            text += f"  {split} mIoU {_percent(miou)}"
    return text
