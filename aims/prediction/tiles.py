"""Pictures that are larger than a model can see at once: tiles that overlap, and objects across their seams.

Two tiles that share a strip see the same object if, within the strip, the IoU of their masks is at least
`SAME`; the object is the union of both. What ends at an edge of its tile goes on in the neighbour, which sees
more of it: it is left out where no neighbour sees the same. All pairs of tiles are compared before any are
joined, so that the result does not depend on their order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from aims.core.schema import Array
from aims.prediction.everything import segment_everything
from aims.prediction.instances import Instances, merge
from aims.prediction.model import Model
from aims.prediction.options import Everything, Tiling

#: Least IoU, within the strip that two tiles share, of masks that are one object.
SAME = 0.5


class Tile(NamedTuple):
    """A part of a picture in pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the tile."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def moved(self, x: int, y: int) -> Tile:
        """Returns the tile moved by x columns and y rows."""
        return Tile(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def shared(self, other: Tile) -> Tile | None:
        """Returns the part that two tiles have in common; None if there is none."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Tile(left, top, right, bottom) if left < right and top < bottom else None


def tiles_of(size: tuple[int, int], tiling: Tiling) -> list[Tile]:
    """Returns tiles that cover a (height, width) picture evenly, row by row; all are of one size."""
    rows, columns = (_spans(length, tiling) for length in size)
    return [Tile(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def everything_in_tiles(
    model: Model, arrays: Mapping[str, Array], tiling: Tiling, options: Everything
) -> Instances:
    """Finds all objects of a large picture, tile by tile.

    Args:
        model: the model.
        arrays: streams of the picture, from `InputRules.read`.
        tiling: how it is cut.
        options: grid and thresholds within a tile.

    Returns:
        The objects by falling rank; a joined one has the scores and the click of its largest part.
    """
    height, width = next(iter(arrays.values())).shape[:2]
    tiles = tiles_of((height, width), tiling)
    found = []
    for tile in tiles:
        cut = {name: array[tile.place] for name, array in arrays.items()}
        inside = segment_everything(model.embed_arrays(cut), cut, options)
        points = None if inside.points is None else inside.points + np.array([tile.left, tile.top])
        found.append(
            Instances(
                size=(height, width),
                parts=inside.parts,
                corners=inside.corners + np.array([tile.left, tile.top]),
                scores=inside.scores,
                stability=inside.stability,
                points=points,
            )
        )
    joined = join(tiles, found)
    return joined.chosen(np.argsort(-options.ranks(joined), kind="stable"))


def join(tiles: list[Tile], found: list[Instances]) -> Instances:
    """Makes one object of the parts that neighbouring tiles see of it.

    Args:
        tiles: parts of one picture.
        found: the objects of each, in pixels of the picture.
    """
    size = found[0].size
    together = merge(found, size)
    first = np.cumsum([0, *map(len, found)])
    pairs: list[tuple[int, int]] = []
    for one, other in itertools.combinations(range(len(tiles)), 2):
        strip = tiles[one].shared(tiles[other])
        if strip is not None:
            places = _same(found[one], found[other], strip)
            pairs += [(first[one] + k, first[other] + j) for k, j in places]
    count = len(together)
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs), bool), (rows, columns)), shape=(count, count))
    _, groups = connected_components(graph, directed=False) if count else (0, np.zeros(0, np.int64))
    cut = np.concatenate([_cut(tile, each) for tile, each in zip(tiles, found, strict=True)])
    members = (np.flatnonzero(groups == group) for group in np.unique(groups))
    return merge([_union(together, each) for each in members if len(each) > 1 or not cut[each[0]]], size)


def _spans(length: int, tiling: Tiling) -> list[tuple[int, int]]:
    """Returns the ends of the tiles along one axis: evenly spaced, from border to border."""
    side = min(tiling.side, length)
    step = max(1, int(side * (1 - tiling.overlap)))
    count = 1 + -(-(length - side) // step)
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    return [(start, start + side) for start in starts]


def _cut(tile: Tile, instances: Instances) -> NDArray[np.bool_]:
    """Returns which objects of a tile end at an edge of it that is none of the picture."""
    height, width = instances.size
    first, last = instances.corners, instances.corners + instances.boxes[:, 2:]
    cut: NDArray[np.bool_] = (first == (tile.left, tile.top)) & (first > 0)
    cut |= (last == (tile.right, tile.bottom)) & (last < (width, height))
    touching: NDArray[np.bool_] = np.any(cut, axis=1)
    return touching


def _same(one: Instances, other: Instances, strip: Tile) -> list[tuple[int, int]]:
    """Returns the pairs of objects of two tiles that are one object."""
    ours, theirs = ([_within(each, k, strip) for k in range(len(each))] for each in (one, other))
    found = []
    for k, mask in enumerate(ours):
        for j, candidate in enumerate(theirs):
            if mask is None or candidate is None:
                continue
            common = int((mask & candidate).sum())
            if common and common >= SAME * int((mask | candidate).sum()):
                found.append((k, j))
    return found


def _within(instances: Instances, k: int, strip: Tile) -> NDArray[np.bool_] | None:
    """Returns the mask of an object within a strip; None if it is not there."""
    (x, y), part = instances.corners[k].tolist(), instances.parts[k]
    shared = strip.shared(Tile(x, y, x + part.shape[1], y + part.shape[0]))
    if shared is None:
        return None
    mask = np.zeros((strip.bottom - strip.top, strip.right - strip.left), bool)
    mask[shared.moved(-strip.left, -strip.top).place] = part[shared.moved(-x, -y).place]
    return mask if mask.any() else None


def _union(instances: Instances, places: NDArray[np.int64]) -> Instances:
    """Returns the union of some objects as one."""
    if len(places) == 1:
        return instances.chosen(places)
    chosen = instances.chosen(places)
    x, y = chosen.corners.min(0).tolist()
    right, bottom = (chosen.corners + chosen.boxes[:, 2:]).max(0).tolist()
    mask = np.zeros((bottom - y, right - x), bool)
    for part, (left, top) in zip(chosen.parts, chosen.corners.tolist(), strict=True):
        mask[top - y : top - y + part.shape[0], left - x : left - x + part.shape[1]] |= part
    largest = chosen.chosen(np.array([int(chosen.areas.argmax())]))
    return Instances(
        size=instances.size,
        parts=[mask],
        corners=np.array([[x, y]], np.int64),
        scores=largest.scores,
        stability=largest.stability,
        points=largest.points,
    )
