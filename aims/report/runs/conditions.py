"""Which results may share a table: protocol, backbone, limit, and where training starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aims.core.config import RANDOM_WEIGHTS
from aims.report.runs.results import Result


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What results have in common that may share a table.

    Attributes:
        protocol: name in `PROTOCOLS`.
        backbone: name in the registry.
        limit: images used of each split, None for all.
        weights: where the methods other than scratch start: a checkpoint's SHA-256, "random", or None where
            scratch is the only method. Scratch starts from random weights by definition.
    """

    protocol: str
    backbone: str
    limit: int | None
    weights: str | None

    @property
    def weights_label(self) -> str:
        """The weights as shown: "random", "pretrained ec2df627", or empty."""
        if self.weights is None or self.weights == RANDOM_WEIGHTS:
            return self.weights or ""
        return f"pretrained {self.weights[:8]}"


def by_condition(results: Iterable[Result]) -> Iterator[tuple[Condition, list[Result]]]:
    """Groups results by condition; scratch, which starts from random weights, stands beside every start."""
    places: dict[tuple[str, str, int | None], list[Result]] = {}
    for result in results:
        config = result.config
        places.setdefault((config.protocol, config.backbone, config.limit), []).append(result)
    for members in places.values():
        yield from by_start(members)


def by_start(results: Sequence[Result]) -> Iterator[tuple[Condition, list[Result]]]:
    """Groups results of one protocol, backbone and limit by the weights from which they start.

    Args:
        results: at least one.
    """
    config = results[0].config
    # A dict keeps their order: pretrained weights before random ones.
    starts = dict.fromkeys(item.config.weights for item in results if not _is_scratch(item))
    columns: list[str | None] = list(starts) or [None]
    for weights in columns:
        condition = Condition(
            protocol=config.protocol, backbone=config.backbone, limit=config.limit, weights=weights
        )
        yield condition, [item for item in results if _is_scratch(item) or item.config.weights == weights]


def _is_scratch(result: Result) -> bool:
    return result.config.method == "scratch"
