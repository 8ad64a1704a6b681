"""Describes the condition of a table, and what tells its rows apart, in words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence

from aims.core.config import NO_MODEL, NO_TUNING, RANDOM_WEIGHTS, RunConfig, told_apart
from aims.reports.runs.conditions import Condition


def condition_facts(condition: Condition) -> list[str]:
    """The protocol, backbone, weights and limit of a condition, one phrase each."""
    facts = [f"protocol {condition.protocol}"]
    if condition.backbone == NO_MODEL:
        facts.append("floors: no sensor, no model")
    else:
        facts += [f"backbone {condition.backbone}", _start(condition)]
    return facts + ([] if condition.limit is None else [f"LIMITED to {condition.limit} images of each split"])


def _start(condition: Condition) -> str:
    if condition.weights is None:
        return "scratch alone, from random weights"
    if condition.weights == RANDOM_WEIGHTS:
        return "RANDOM WEIGHTS, NOT PRETRAINED"
    checksum = condition.weights[:8]
    named = f"{condition.weights_name} ({checksum})" if condition.weights_name else checksum
    return f"pretrained weights {named}"


def condition_title(condition: Condition | None) -> str:
    """Title of a table: the condition of its results, or for None that there are no runs."""
    if condition is None:
        return "No runs yet: published numbers only"
    text = ", ".join(condition_facts(condition))
    return text[0].upper() + text[1:]


def row_details(
    configs: Sequence[RunConfig], kind: Callable[[RunConfig], Hashable], *, without: Collection[str] = ()
) -> list[str]:
    """Returns tuning and options of each row, with the settings that tell it from others of its kind.

    Args:
        configs: the configuration of each row.
        kind: what rows have in common whose settings are compared.
        without: names of settings that are never named.
    """
    details = []
    for config, told in zip(configs, told_apart(configs, kind, without=without), strict=True):
        tuning = "" if config.tuning == NO_TUNING else config.tuning
        details.append(", ".join(filter(None, (tuning, config.options_text, *told))))
    return details
