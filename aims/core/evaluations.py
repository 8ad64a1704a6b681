"""What `aims evaluate` adds to a finished run: its files and their content."""

from __future__ import annotations

from dataclasses import dataclass

#: Scores under further prompts: one row an instance, and the means.
PROMPT_ROWS, PROMPT_MEANS = "prompts.parquet", "prompts.json"
#: Scores of all objects that are found without a prompt.
EVERYTHING = "everything.json"


@dataclass(frozen=True, kw_only=True)
class PromptPlan:
    """The prompts under which a model is evaluated.

    Attributes:
        clicks: largest number of clicks per instance; all but the first are at the largest error.
        jitter: number of single clicks drawn uniformly in the instance.
        seed: seed of the drawn clicks.
    """

    clicks: int = 20
    jitter: int = 5
    seed: int = 0
