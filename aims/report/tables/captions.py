"""What the results of a table share, in words."""

from __future__ import annotations

from aims.core.config import NO_MODEL, RANDOM_WEIGHTS
from aims.report.runs.conditions import Condition


def condition_facts(condition: Condition) -> list[str]:
    """What results share that may share a table."""
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
    """Heading of a table: it names everything that its results share; None where there are none."""
    if condition is None:
        return "No runs yet: published numbers only"
    text = ", ".join(condition_facts(condition))
    return text[0].upper() + text[1:]
