"""`aims evaluate RUN`: a run's model under other prompts than the protocol's one click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource
from rich.table import Table

import aims.api
from aims.cli._options import MODEL, data_option, device_option, json_option, trust_option, weights_option
from aims.cli._terminal import add_columns, counting, out, print_json
from aims.core.evaluations import EVERYTHING, PROMPT_MEANS, PROMPT_ROWS, PromptPlan
from aims.core.vocabulary import TRAINING_PROMPTS
from aims.prediction.options import Everything

if TYPE_CHECKING:
    from aims.engine.prompt_scores import PromptRow
    from aims.engine.prompts import PromptReport


@click.command()
@click.argument("run", type=MODEL)
@data_option("A converted folder, or a folder of several, with the run's dataset.")
@weights_option()
@click.option(
    "--clicks",
    type=click.IntRange(1, 100),
    default=PromptPlan.clicks,
    show_default=True,
    help="At most so many for an instance, each where the error is largest.",
)
@click.option(
    "--jitter",
    type=click.IntRange(0, 100),
    default=PromptPlan.jitter,
    show_default=True,
    help="Single clicks drawn anywhere in an instance.",
)
@click.option("--seed", type=click.IntRange(0), default=PromptPlan.seed, show_default=True, help="Of these.")
@click.option(
    "--last-mask",
    is_flag=True,
    help="Give the mask of the answer before with every further click, as SAM's own evaluation does.",
)
@click.option(
    "--everything", "find_all", is_flag=True, help="Find all objects without a prompt, in place of prompts."
)
@trust_option()
@device_option()
@json_option("Print the means as JSON.")
def command(
    run: Path,
    data: Path,
    weights: Path | None,
    clicks: int,
    jitter: int,
    seed: int,
    last_mask: bool,
    find_all: bool,
    trust: bool,
    device: str,
    as_json: bool,
) -> None:
    """Evaluate a run's model with more clicks, boxes and jitter.

    RUN is the folder of a finished run. Beside its scores go prompts.parquet, one row a test instance, and
    prompts.json, the means: mIoU after each click, the clicks until an IoU of 0.85 and 0.90 (NoC), boxes,
    clicks anywhere, boundary IoU, and mIoU by class, by size and by image. A model answers well to the
    prompts that it was trained on (`aims run --prompts`), which the first line names.

    With --everything the model finds all objects from a grid of clicks, and everything.json holds COCO's
    average precision and recall.
    """
    if find_all:
        _refuse_prompts(click.get_current_context())
        _everything(run, data, weights, device, trust, as_json)
        return
    with counting("evaluate") as counter:
        report = aims.api.evaluate(
            run,
            data=data,
            weights=weights,
            clicks=clicks,
            jitter=jitter,
            seed=seed,
            last_mask=last_mask,
            device=device,
            trust=trust,
            on_total=counter.total,
            on_image=counter.advance,
        )
    if as_json:
        print_json(report.as_json())
        return
    out.print(_trained_on(report.trained_on), markup=False)
    out.print(_table(report))
    out.print(f"written: {run / PROMPT_ROWS}, {run / PROMPT_MEANS}", markup=False)


def _refuse_prompts(context: click.Context) -> None:
    """Raises UsageError if an option of prompts was given: a grid of clicks takes none."""
    for name in ("clicks", "jitter", "seed", "last_mask"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} is of prompts; leave it or --everything out", context)


def _everything(run: Path, data: Path, weights: Path | None, device: str, trust: bool, as_json: bool) -> None:
    # Imported here: torch takes seconds.
    from aims.prediction.scores import evaluate_everything

    with counting("evaluate") as counter:
        scores = evaluate_everything(
            run,
            data,
            Everything(),
            weights=weights,
            device=device,
            trust=trust,
            on_total=counter.total,
            on_image=counter.advance,
        )
    if as_json:
        print_json(msgspec.to_builtins(scores))
        return
    out.print(_trained_on(scores.trained_on), markup=False)
    table = Table(title=f"{scores.instances:,} instances, {scores.images:,} images, {scores.objects:,} found")
    add_columns(table, "everything", "%", left=["everything"])
    table.add_row("average precision", f"{100 * scores.ap:.2f}")
    table.add_row("at IoU 50 %", f"{100 * scores.ap_50:.2f}")
    table.add_row("at IoU 75 %", f"{100 * scores.ap_75:.2f}")
    table.add_row("recall", f"{100 * scores.recall:.2f}")
    out.print(table)
    out.print(f"written: {run / EVERYTHING}", markup=False)


def _trained_on(prompts: str | None) -> str:
    if prompts is None:
        return "nothing was trained; the model answers with its pretrained weights"
    return f"trained on {TRAINING_PROMPTS[prompts].text} (--prompts {prompts})"


def _table(report: PromptReport) -> Table:
    rows, means = report.rows, report.scores
    further = ", further clicks with the last mask" if report.plan.last_mask else ""
    table = Table(title=f"{means.instances:,} instances, {means.images:,} images{further}")
    add_columns(table, "prompt", "mIoU, %", left=["prompt"])
    after = means.miou_clicks
    for count in sorted({1, 2, 3, 5, 10, len(after)}):
        if count <= len(after):
            table.add_row(
                f"{count} click{'s' * (count > 1)}",
                _with_interval(rows, lambda row, k=count - 1: row["iou_clicks"][k]),
            )
    table.add_row("box", _with_interval(rows, lambda row: row["iou_box"]))
    if means.miou_jitter is not None:
        spread = "" if means.jitter_sd is None else f", ± {100 * means.jitter_sd:.2f} within an instance"
        table.add_row(f"1 click anywhere{spread}", f"{100 * means.miou_jitter:.2f}")
    table.add_row("1 click, boundary IoU", f"{100 * means.boundary_iou:.2f}")
    table.add_row("box, boundary IoU", f"{100 * means.boundary_iou_box:.2f}")
    table.add_section()
    for goal, clicks, failed in (
        (85, means.noc_85, means.noc_85_failed),
        (90, means.noc_90, means.noc_90_failed),
    ):
        table.add_row(f"clicks until IoU {goal} % ({100 * failed:.1f} % never)", f"{clicks:.2f} clicks")
    return table


def _with_interval(rows: list[PromptRow], score: Any) -> str:
    import numpy as np

    from aims.reports.statistics.intervals import clustered_interval

    ious = np.array([score(row) for row in rows])
    _, groups = np.unique([row["group"] for row in rows], return_inverse=True)
    sums, counts = np.bincount(groups, weights=ious), np.bincount(groups).astype(np.float64)
    interval = clustered_interval(sums.astype(np.float64), counts)
    ends = f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
    return f"{100 * ious.mean():.2f}{ends}"
