"""Describes the condition of a table, and what tells its rows apart, in words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence

from aims.core.config import (
    NO_MODEL,
    NO_TUNING,
    RANDOM_WEIGHTS,
    TELLING_SETTINGS,
    RunConfig,
    differing_settings,
)
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
    of_a_kind: dict[Hashable, list[RunConfig]] = {}
    for config in configs:
        of_a_kind.setdefault(kind(config), []).append(config)
    differing = {key: differing_settings(alike) for key, alike in of_a_kind.items()}
    details = []
    for config in configs:
        parts = [] if config.tuning == NO_TUNING else [config.tuning]
        parts += [config.options_text] if config.options_text else []
        for item in TELLING_SETTINGS:
            value = getattr(config, item.name)
            # An optional setting is named wherever it is set, even if all alike rows share it.
            told = item in differing[kind(config)] or item.optional
            if value is not None and told and item.name not in without:
                parts.append(item.label.format(value))
        details.append(", ".join(parts))
    return details
