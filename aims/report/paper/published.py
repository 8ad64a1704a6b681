"""The numbers printed in the paper, read from the package `aims.leaderboards`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

#: The paper's numbers were made with this protocol and this backbone.
PAPER_PROTOCOL = "paper"
PAPER_BACKBONE = "sam-vit-b"

#: Columns of the paper's Table 1: name of the method, and how the paper writes it.
TABLE1_METHODS: Mapping[str, str] = {"scratch": "scratch", "simcmf": "SimCMF"}

_STRATEGIES = {"full": "full fine-tuning", "lora": "LoRA", "adapter": "the MLP adapter", "prompt": "prompt"}


@dataclass(frozen=True, kw_only=True)
class PublishedTable1:
    """Table 1 as printed, mIoU in percent.

    Attributes:
        modalities: rows in the paper's order.
        miou: by method, then modality.
        average: by method.
        footnotes: by (method, modality): what a reader must know about that number.
        backbone: as the paper names it.
    """

    modalities: tuple[str, ...]
    miou: Mapping[str, Mapping[str, float]]
    average: Mapping[str, float]
    footnotes: Mapping[tuple[str, str], str]
    backbone: str


def load_content() -> dict[str, Any]:
    """All that is printed, as it lies in `aims.leaderboards`."""
    text = resources.files("aims.leaderboards").joinpath("published.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def load_published() -> PublishedTable1:
    """Reads Table 1 of the paper from `aims.leaderboards`."""
    content = load_content()
    table = content["table1"]
    modalities = tuple(table["columns"])
    miou = {method: dict(zip(modalities, table[method], strict=True)) for method in TABLE1_METHODS}
    return PublishedTable1(
        modalities=modalities,
        miou=miou,
        average={method: table["average"][method] for method in TABLE1_METHODS},
        footnotes=_footnotes(miou["simcmf"], content["table3"]),
        backbone=content["paper"]["backbone"],
    )


def _footnotes(simcmf: Mapping[str, float], table3: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Finds the cells of Table 1 that are not the peak over Table 3's strategies (protocol.md, item 4)."""
    notes = {}
    for index, modality in enumerate(table3["columns"]):
        by_strategy = {name: values[index] for name, values in table3.items() if name != "columns"}
        printed, best = simcmf[modality], max(by_strategy, key=lambda name: by_strategy[name])
        if by_strategy[best] != printed:
            source = next(_STRATEGIES[name] for name, value in by_strategy.items() if value == printed)
            notes["simcmf", modality] = (
                f"The published {printed:.2f} is the cell of {source} in the paper's Table 3; "
                f"the best strategy there is {_STRATEGIES[best]} with {by_strategy[best]:.2f}."
            )
    return notes
