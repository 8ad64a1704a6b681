"""The table of all results, one line per result, as CSV and as Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from aims.core.checks import SELECTION
from aims.core.config import TELLING_SETTINGS, RunConfig
from aims.core.sizes import LARGE_NAME
from aims.reports.runs.conditions import Condition
from aims.reports.runs.costs import Costs
from aims.reports.runs.results import Result
from aims.reports.tables.captions import condition_title
from aims.reports.tables.everything import (
    FIELDS,
    HEADINGS,
    everything_fields,
    everything_note,
    has_everything,
)
from aims.reports.tables.markdown import markdown_lines, markdown_text
from aims.reports.tables.marks import NOT_CHECKED, check_words, marked
from aims.reports.tables.numbers import interval, percent, seed_list
from aims.reports.tables.table import text_table

#: CSV fields of the condition that results of a table share (`Condition`).
CONDITION_FIELDS = tuple(item.name for item in dataclasses.fields(Condition))
#: CSV fields that distinguish results on the same data, except for their seeds.
SETTING_FIELDS = ("method", "tuning", "options", *(item.name for item in TELLING_SETTINGS))
RESULT_FIELDS = (
    *("dataset", "modality", "fingerprint", *SETTING_FIELDS),
    *("seeds", "miou", "low", "high", "val_miou", "instances", "images", "miou_large", "instances_large"),
    *("disc", "below_disc", "check"),
)
#: CSV fields of a result's costs, after its other fields.
COST_FIELDS = tuple(item.name for item in dataclasses.fields(Costs))


def write_csv(fields: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """CSV with a header; a field that a row lacks is empty, keys that are no field are ignored."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def condition_fields(condition: Condition | None) -> dict[str, Any]:
    """The fields of a condition in a CSV file."""
    if condition is None:
        return {}
    return {**dataclasses.asdict(condition), "weights": condition.weights_label}


def setting_fields(config: RunConfig) -> dict[str, Any]:
    """The fields of a setting in a CSV file."""
    return {**{name: getattr(config, name, None) for name in SETTING_FIELDS}, "options": config.options_text}


def result_fields(result: Result | None) -> dict[str, Any]:
    """The fields of a result in a CSV file; scores in percent."""
    if result is None:
        return {}
    low, high = result.interval or (None, None)
    instances_large, miou_large = result.large or ("", None)
    return {
        **{name: getattr(result.config, name) for name in ("dataset", "modality", "fingerprint")},
        **setting_fields(result.config),
        "seeds": " ".join(map(str, result.seeds)),
        "miou": percent(result.miou),
        "low": percent(low),
        "high": percent(high),
        "val_miou": percent(result.val_miou),
        "instances": result.instances,
        "images": result.images,
        "miou_large": percent(miou_large),
        "instances_large": instances_large,
        "disc": percent(result.disc),
        "below_disc": "yes" if result.below_disc else "",
        "check": result.check.level,
        **everything_fields(result),
    }


def cost_fields(costs: Costs | None) -> dict[str, Any]:
    """The fields of costs in a CSV file; empty where they are not known."""
    known = costs.most if costs else {}
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in known.items()}


def results_csv(results: Sequence[Result]) -> str:
    """Every result of every method, one line each."""
    lines = (
        {
            **condition_fields(_condition(item)),
            **result_fields(item),
            **cost_fields(item.costs),
            "weights": item.config.weights,
        }
        for item in results
    )
    fields = (*CONDITION_FIELDS, *RESULT_FIELDS, *COST_FIELDS, *(FIELDS if has_everything(results) else ()))
    return write_csv(fields, lines)


def results_markdown(results: Sequence[Result], left_out: int) -> str:
    """Every result in Markdown, one table per protocol, backbone, weights and limit.

    Args:
        results: sorted by `Result.setting`, so that results of one condition are adjacent.
        left_out: number of run folders that are in no table.
    """
    lines = ["# All runs", ""]
    lines += [
        "Every finished run, grouped over seeds. "
        "mIoU in percent with its 95 % interval (bootstrap over images). "
        f"{LARGE_NAME}: of the instances that cover at least so much of their picture. "
        "Disc: what one disc around every click scores on the same test instances without seeing anything; a "
        "method below it is marked. "
        f"{check_words({item.check.level for item in results})} {NOT_CHECKED} "
        f"Run folders left out: {left_out}" + (" (`aims report` says why)." if left_out else "."),
        "",
    ]
    lines += [line for note in everything_note(results) for line in (f"{note[0].upper()}{note[1:]}", "")]
    for condition, members in groupby(results, key=_condition):
        together = [*members]
        found = [_shown(item, HEADINGS if has_everything(together) else {}) for item in together]
        texts = 1 + list(found[0]).index("seeds")
        header, rows = list(found[0]), [[*each.values()] for each in found]
        lines += markdown_lines(text_table(condition_title(condition), header, rows, texts=texts))
    return markdown_text(lines)


def _condition(result: Result) -> Condition:
    config = result.config
    return Condition(
        protocol=config.protocol,
        backbone=config.backbone,
        limit=config.limit,
        weights=config.weights,
        weights_name=result.weights_name,
    )


def _shown(result: Result, everything: Mapping[str, str]) -> dict[str, str]:
    """A line in Markdown as cells by heading: names, then numbers.

    Args:
        result: the result.
        everything: headings of scores of all found objects, by score.
    """
    config = result.config
    settings = {
        item.name.replace("_", " "): _setting(getattr(config, item.name)) for item in TELLING_SETTINGS
    }
    below = "BELOW " if result.below_disc else ""
    return {
        "dataset": config.dataset,
        "content": config.fingerprint[:8],
        "modality": config.modality,
        "method": config.method,
        "tuning": config.tuning,
        "options": config.options_text,
        "seeds": seed_list(result.seeds),
        **settings,
        "mIoU": percent(result.miou),
        "95 % interval": interval(result.interval),
        f"mIoU, {LARGE_NAME}": percent(result.large[1] if result.large else None),
        "disc": f"{below}{percent(result.disc)}",
        "validation mIoU": marked(percent(result.val_miou), SELECTION in result.check.not_checked),
        "instances": str(result.instances),
        "images": str(result.images),
        "check": result.check.level,
        **{heading: percent(result.everything.get(name)) for name, heading in everything.items()},
    }


def _setting(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:g}"
