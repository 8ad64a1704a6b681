"""The numbers printed in the paper, read from the package `aims.leaderboards`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

#: Protocol and backbone of the published numbers.
PAPER_PROTOCOL = "paper"
PAPER_BACKBONE = "sam-vit-b"

#: Columns of the paper's Table 1: the paper's name by the name of the method.
TABLE1_METHODS: Mapping[str, str] = {"scratch": "scratch", "simcmf": "SimCMF"}

_STRATEGIES = {"full": "full fine-tuning", "lora": "LoRA", "adapter": "the MLP adapter", "prompt": "prompt"}


def load_content() -> dict[str, Any]:
    """Reads `published.toml` of `aims.leaderboards`."""
    text = resources.files("aims.leaderboards").joinpath("published.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def table1_footnotes(content: Mapping[str, Any]) -> dict[str, str]:
    """Footnotes on SimCMF's numbers in Table 1, by modality.

    Some of these numbers are not the highest of Table 3's strategies; the footnote names the strategy.

    Args:
        content: from `load_content`.
    """
    notes = {}
    strategies = {name: values for name, values in content["table3"].items() if name != "columns"}
    simcmf = dict(zip(content["table1"]["columns"], content["table1"]["simcmf"], strict=True))
    for index, modality in enumerate(content["table3"]["columns"]):
        by_strategy = {name: values[index] for name, values in strategies.items()}
        printed, best = simcmf[modality], max(by_strategy, key=lambda name: by_strategy[name])
        if by_strategy[best] != printed:
            source = next(_STRATEGIES[name] for name, value in by_strategy.items() if value == printed)
            notes[modality] = (
                f"The published {printed:.2f} is the cell of {source} in the paper's Table 3; "
                f"the best strategy there is {_STRATEGIES[best]} with {by_strategy[best]:.2f}."
            )
    return notes
