"""Finds the files of the same images in families of other names."""

from __future__ import annotations

from collections.abc import Sequence

from .families import Family, Key

#: Share of the images that must have a file, for names to be taken as they are.
HALF = 0.5


def named_as(first: Family, labels: Sequence[Family]) -> Family:
    """Returns the family of images, without what all its names share if the labels' names lack that."""

    def paired(family: Family) -> float:
        return max((align(label, family)[1] for label in labels), default=0.0)

    best, most = first, paired(first)
    for other in first.stripped() if most < HALF else ():
        if (found := paired(other)) > most:
            best, most = other, found
    return best


def align(family: Family, first: Family) -> tuple[Family, float]:
    """Returns a family as the parts of the images name it, and the share of the images that have a file."""
    ids = {key[first.parts.index("id")] for key in first.files}
    candidates = [family, *family.stripped(), *family.of_folders()]
    candidates += [
        each.without(part for part in each.parts if part not in first.parts) for each in [*candidates]
    ]
    candidates += family.beginning(ids)
    best, share, most = family, 0.0, 0.0
    for candidate in candidates:
        if not candidate.parts or not set(candidate.parts) <= set(first.parts) or "id" not in candidate.parts:
            continue
        wanted = [project(key, first, candidate) for key in first.files]
        found = len(set(wanted) & set(candidate.files))
        # Of patterns for as many images, the first is the simplest.
        if found and found / len(candidate.files) + found / len(wanted) > most:
            best, share = candidate, found / len(wanted)
            most = found / len(candidate.files) + found / len(wanted)
    return best, share


def project(key: Key, first: Family, other: Family) -> Key:
    """Returns the key of an image among the files of another family, which may have fewer parts."""
    values = dict(zip(first.parts, key, strict=True))
    return tuple(values[part] for part in other.parts)
