"""What `aims evaluate` adds to a finished run: its files and their content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aims.core.config import RunConfig
from aims.core.errors import InputError
from aims.core.structs import Count, Share, convert_struct, read_struct

#: Scores under further prompts: one row an instance, and the means.
PROMPT_ROWS, PROMPT_MEANS = "prompts.parquet", "prompts.json"
#: Scores of all objects that are found without a prompt.
EVERYTHING = "everything.json"
#: Those of its scores that are means over images and thresholds, with which reports compare.
EVERYTHING_SCORES = ("ap", "ap_50", "ap_75", "recall")


@dataclass(frozen=True, kw_only=True)
class PromptPlan:
    """The prompts under which a model is evaluated.

    Attributes:
        clicks: largest number of clicks per instance; all but the first are at the largest error.
        jitter: number of single clicks drawn uniformly in the instance.
        seed: seed of the drawn clicks.
        last_mask: whether every further click comes with the mask logits of the answer before, as in SAM's
            own interactive evaluation. Files without it are of versions that gave the clicks alone.
    """

    clicks: int = 20
    jitter: int = 5
    seed: int = 0
    last_mask: bool = False


class EverythingScores(msgspec.Struct, frozen=True, kw_only=True):
    """COCO's scores of masks without classes, 0..1; instances below the protocol's size count neither way.

    Attributes:
        ap: average precision, mean over IoU thresholds 0.5, 0.55, ..., 0.95.
        ap_50: average precision at IoU 0.5.
        ap_75: average precision at IoU 0.75.
        recall: largest recall, mean over the thresholds.
        instances: number of instances that count.
        objects: number of objects that were found.
        images: number of test images.
        trained_on: training prompts of the run (`aims.core.vocabulary.TRAINING_PROMPTS`); None if nothing was
            trained.
    """

    ap: Share
    ap_50: Share
    ap_75: Share
    recall: Share
    instances: Count
    objects: Count
    images: Count
    trained_on: str | None = None


def read_everything(folder: Path, config: RunConfig) -> tuple[EverythingScores, Mapping[str, Any]] | None:
    """Reads the scores of all found objects of a run; None if it was not evaluated so.

    Args:
        folder: folder of the run.
        config: configuration of the run.

    Returns:
        The scores, and the grid and the thresholds with which they were found.

    Raises:
        InputError: the file is damaged, or another run's.
    """
    path = folder / EVERYTHING
    if not path.exists():
        return None
    again = "`aims evaluate --everything` writes it again"
    try:
        content = read_struct(path, dict[str, Any], what="the scores of found objects")
        scores = convert_struct(content, EverythingScores, where=f"{path}: not the scores of found objects")
    except InputError as error:
        raise InputError(f"{error}; {again}") from None
    if content.get("run") != config.run_name:
        raise InputError(f"{path}: of the run {content.get('run')}, not of {config.run_name}; {again}")
    scored = {"run", *EverythingScores.__struct_fields__}
    return scores, {name: value for name, value in content.items() if name not in scored}
