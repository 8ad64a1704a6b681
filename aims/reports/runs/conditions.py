"""Which results may share a table: those of equal protocol, backbone, limit and initial weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from aims.core.config import RANDOM_WEIGHTS
from aims.reports.runs.results import Result


@dataclass(frozen=True, kw_only=True)
class Condition:
    """The settings that all results of one table share.

    Attributes:
        protocol: name in `PROTOCOLS`.
        backbone: name in the registry.
        limit: number of images used of each split, None for all.
        weights: initial weights of the methods other than scratch: a checkpoint's SHA-256, "random", or None
            where scratch is the only method. Scratch starts from random weights by definition.
        weights_name: name and edition of the weights if they come with AIMS, e.g. "sam-tiny@1".
    """

    protocol: str
    backbone: str
    limit: int | None
    weights: str | None
    weights_name: str | None = field(default=None, compare=False)

    @property
    def weights_label(self) -> str:
        """The weights as shown: "random", "pretrained ec2df627", or empty."""
        if self.weights is None or self.weights == RANDOM_WEIGHTS:
            return self.weights or ""
        return f"pretrained {self.weights[:8]}"


def by_condition(results: Iterable[Result]) -> Iterator[tuple[Condition, list[Result]]]:
    """Groups results by condition; scratch results are repeated in the group of every initial weights."""
    places: dict[tuple[str, str, int | None], list[Result]] = {}
    for result in results:
        config = result.config
        places.setdefault((config.protocol, config.backbone, config.limit), []).append(result)
    for members in places.values():
        yield from by_start(members)


def by_start(results: Sequence[Result]) -> Iterator[tuple[Condition, list[Result]]]:
    """Groups results of one protocol, backbone and limit by their initial weights.

    Args:
        results: at least one; scratch results are repeated in every group.
    """
    config = results[0].config
    # A dict, not a set: it keeps the order of the results, pretrained weights before random ones.
    starts: dict[str | None, str | None] = {
        item.config.weights: item.weights_name for item in results if not _is_scratch(item)
    }
    for weights, name in (starts or {None: None}).items():
        condition = Condition(
            protocol=config.protocol,
            backbone=config.backbone,
            limit=config.limit,
            weights=weights,
            weights_name=name,
        )
        yield condition, [item for item in results if _is_scratch(item) or item.config.weights == weights]


def _is_scratch(result: Result) -> bool:
    return result.config.method == "scratch"
