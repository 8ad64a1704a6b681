"""Describes the condition of a table in words."""

from __future__ import annotations

from aims.core.config import NO_MODEL, RANDOM_WEIGHTS
from aims.reports.runs.conditions import Condition


def condition_facts(condition: Condition) -> list[str]:
    """The protocol, backbone, weights and limit of a condition, one phrase each."""
    facts = [f"protocol {condition.protocol}"]
    if condition.backbone == NO_MODEL:
        facts.append("floors: no sensor, no model")
    else:
        start = {
            None: "scratch alone, from random weights",
            RANDOM_WEIGHTS: "RANDOM WEIGHTS, NOT PRETRAINED",
        }.get(condition.weights, f"pretrained weights {(condition.weights or '')[:8]}")
        facts += [f"backbone {condition.backbone}", start]
    return facts + ([] if condition.limit is None else [f"LIMITED to {condition.limit} images of each split"])


def condition_title(condition: Condition | None) -> str:
    """Title of a table: the condition of its results, or for None that there are no runs."""
    if condition is None:
        return "No runs yet: published numbers only"
    text = ", ".join(condition_facts(condition))
    return text[0].upper() + text[1:]
