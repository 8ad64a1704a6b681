"""Reads dropped.jsonl, what a conversion left out, and groups it by reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aims.core.errors import InputError
from aims.core.structs import read_lines
from aims.data.format import DROPPED
from aims.data.manifest import DroppedLine

_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Images or objects that were left out for one reason.

    Attributes:
        kind: kind of loss, as in dropped.jsonl (`DroppedLine`).
        reason: why they were left out; "{id}" stands for the image id.
        splits: number of lines by split.
        examples: the first few image ids.
    """

    kind: str
    reason: str
    splits: Mapping[str, int]
    examples: Sequence[str]

    @property
    def count(self) -> int:
        """Number of lines over all splits."""
        return sum(self.splits.values())


def dropped_lines(folder: Path) -> list[DroppedLine]:
    """Reads the lines of dropped.jsonl.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return read_lines(folder / DROPPED, DroppedLine)
    except InputError as error:
        raise InputError(f"{error}; see `aims verify {folder}`") from None


def read_dropped(folder: Path) -> list[Dropped]:
    """Groups the lines of dropped.jsonl by kind and reason, the most frequent first.

    Raises:
        InputError: the file is missing or damaged.
    """
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for entry in dropped_lines(folder):
        # Reasons that differ only in the image id count as one.
        name = rf"(?<![^\W_]){re.escape(entry.image_id)}(?![^\W_])"
        reason = re.sub(name, "{id}", entry.reason) if entry.image_id else entry.reason
        groups.setdefault((entry.kind, reason), []).append((entry.split, entry.image_id))
    found = [
        Dropped(
            kind=kind,
            reason=reason,
            splits=dict(Counter(split for split, _ in entries)),
            examples=tuple(dict.fromkeys(image_id for _, image_id in entries))[:_EXAMPLES],
        )
        for (kind, reason), entries in groups.items()
    ]
    return sorted(found, key=lambda item: -item.count)
