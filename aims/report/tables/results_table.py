"""Markdown and CSV of the tables. The same results give the same bytes: no dates, no paths."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from aims.core.config import TELLING_SETTINGS
from aims.core.sizes import LARGE_NAME
from aims.report.runs.conditions import Condition
from aims.report.runs.results import Result
from aims.report.tables.captions import (
    below_disc,
    capital,
    condition_facts,
    interval,
    percent,
    seeds,
)
from aims.report.tables.markdown import escape_markdown, markdown_table, markdown_text

#: What tells results on the same data apart, but for their seeds.
SETTING_FIELDS = ("method", "tuning", "options", *(setting.name for setting in TELLING_SETTINGS))
RESULT_FIELDS = (
    *("dataset", "modality", "fingerprint", *SETTING_FIELDS),
    *("seeds", "miou", "low", "high", "val_miou", "instances", "images", "miou_large", "instances_large"),
    *("disc", "below_disc"),
)

#: What a result cost, behind its other fields.
COST_FIELDS = (
    *("trained_parameters", "flops", "seconds", "device", "device_hours", "peak_memory_bytes"),
    "learning_rates",
)


def results_markdown(results: Sequence[Result], left_out: int) -> str:
    """Every result of every method in Markdown, one table per protocol, backbone, weights and limit.

    Args:
        results: in order of their settings.
        left_out: how many run folders are in no table.
    """
    lines = ["# All runs", ""]
    lines += [
        "Every finished run, grouped over seeds. "
        "mIoU in percent with its 95 % interval (bootstrap over images). "
        f"{LARGE_NAME}: of the instances that cover at least so much of their picture. "
        "Disc: what one disc around every click scores on the same test instances without seeing anything; a "
        "method below it is marked. "
        f"Run folders left out: {left_out}" + (" (`aims report` says why)." if left_out else "."),
        "",
    ]
    for condition, members in groupby(results, key=_condition):
        lines += [f"## {escape_markdown(_results_title(condition))}", "", *_results_table(members), ""]
    return markdown_text(lines)


def _condition(result: Result) -> Condition:
    config = result.config
    return Condition(
        protocol=config.protocol, backbone=config.backbone, limit=config.limit, weights=config.weights
    )


def _results_title(condition: Condition) -> str:
    facts = condition_facts(
        condition,
        random="RANDOM WEIGHTS, not pretrained",
        pretrained="pretrained",
        floors="floors: no sensor, no model",
    )
    return capital(", ".join(facts))


def _results_table(results: Iterable[Result]) -> list[str]:
    header = ["dataset", "content", "modality", "method", "tuning", "options", "loss", "precision", "seeds"]
    left = len(header)
    header += [
        "lr",
        "epochs",
        "batch",
        "clicks",
        "train images",
        "mIoU",
        "95 % interval",
        f"mIoU, {LARGE_NAME}",
        "disc",
        "validation mIoU",
    ]
    header += ["instances", "images"]
    rows = []
    for item in results:
        config = item.config
        names = [config.dataset, config.fingerprint[:8], config.modality, config.method, config.tuning]
        names += [config.options_text, config.loss, config.precision, seeds(item)]
        numbers = [f"{config.lr:g}", str(config.epochs), str(config.batch_size), str(config.clicks)]
        numbers += [str(config.train_images or "all")]
        numbers += [percent(item.miou)]
        numbers += [interval(item), percent(item.large[1]) if item.large else ""]
        numbers += ["<br>".join([percent(item.disc), *below_disc(item)[:1]])]
        numbers += [percent(item.val_miou), str(item.instances), str(item.images)]
        rows.append([*map(escape_markdown, names), *numbers])
    return markdown_table(header, rows, left)


def write_csv(fields: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """CSV with a header; what a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def result_fields(result: Result | None) -> dict[str, Any]:
    """The fields of a result in a CSV file."""
    if result is None:
        return {}
    config = result.config
    low, high = result.interval or (None, None)
    fields = {name: getattr(config, name) for name in RESULT_FIELDS if hasattr(config, name)}
    return {
        **fields,
        "options": config.options_text,
        "seeds": " ".join(map(str, result.seeds)),
        "miou": percent(result.miou),
        "low": percent(low),
        "high": percent(high),
        "val_miou": percent(result.val_miou),
        "instances": result.instances,
        "images": result.images,
        "miou_large": percent(result.large[1]) if result.large else "",
        "instances_large": result.large[0] if result.large else "",
        "disc": percent(result.disc),
        "below_disc": "yes" if result.below_disc else "",
    }


def cost_fields(result: Result | None) -> dict[str, Any]:
    """What a result cost, in a CSV file; empty where its runs do not say."""
    if result is None:
        return {}
    return {
        "trained_parameters": result.trained,
        "flops": whole(result.flops),
        "seconds": None if result.seconds is None else f"{result.seconds:.6g}",
        "device": result.device,
        "device_hours": None if result.hours is None else f"{result.hours:.6g}",
        "peak_memory_bytes": whole(result.peak_bytes),
        "learning_rates": result.learning_rates,
    }


def whole(number: float | None) -> int | None:
    """A count that was kept as a float."""
    return None if number is None else int(number)


def condition_fields(condition: Condition | None) -> dict[str, Any]:
    """The fields of a condition in a CSV file."""
    if condition is None:
        return {}
    limit = "" if condition.limit is None else condition.limit
    return {
        "protocol": condition.protocol,
        "backbone": condition.backbone,
        "limit": limit,
        "weights": condition.weights_label,
    }


def results_csv(results: Sequence[Result]) -> str:
    """Every result of every method, one line each."""
    rows = [
        {
            **condition_fields(_condition(item)),
            "weights": item.config.weights,
            **result_fields(item),
            **cost_fields(item),
        }
        for item in results
    ]
    return write_csv(("protocol", "backbone", "limit", "weights", *RESULT_FIELDS, *COST_FIELDS), rows)
