"""Connected instances of class maps, and the clicks of the protocols.

SciPy and scikit-image are imported where they are called: reading a dataset needs neither, and importing them
takes longer than all else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from aims.core.errors import InputError

IntArray = NDArray[np.integer[Any]]

#: Instance maps are stored as 16-bit PNG.
MAX_INSTANCES = 65_535
# Larger maps are worked through in bands of rows, as most steps need 8 to 32 bytes a pixel.
_BAND_PIXELS = 1 << 21


def split_instances(
    class_map: IntArray, *, connectivity: int = 8, void: Sequence[int] = (0,), dtype: DTypeLike = np.int32
) -> IntArray:
    """Splits a semantic map into its maximal connected regions of equal class (paper, section 11).

    Args:
        class_map: (height, width), integers.
        connectivity: 8, or 4 for regions that touch along edges only.
        void: classes that are not objects; their pixels become 0.
        dtype: dtype of the result; int32 if it cannot hold the number of instances.

    Returns:
        (height, width) map: 0 = nothing, 1..n = instances in row-major order of their first pixel.
        The class of instance k is `class_map[instances == k][0]`.

    Raises:
        InputError: the map is not a two-dimensional integer array, or connectivity is neither 4 nor 8.

    Example:
        >>> split_instances(np.array([[7, 0, 7], [7, 2, 0]]))
        array([[1, 0, 2],
               [1, 3, 0]], dtype=int32)
    """
    if class_map.ndim != 2 or class_map.dtype.kind not in "iub":
        raise InputError(
            f"a class map has two dimensions and whole numbers, not {class_map.ndim} and {class_map.dtype}"
        )
    if connectivity not in (4, 8):
        raise InputError(f"connectivity is 4 or 8, not {connectivity}")
    result, bands = np.empty(class_map.shape, dtype), _bands(class_map)
    # Regions of each band are numbered from 1; `starts` are the numbers before them in the whole map.
    starts, seams = [0], [np.zeros((0, 2), np.int64)]
    for rows in bands:
        labels = _label(class_map[rows], connectivity, void)
        highest = int(labels.max(initial=0))
        if highest > np.iinfo(result.dtype).max:
            result = result.astype(np.int32)
        result[rows] = labels
        if rows.start:
            seams.append(_touching(class_map, result, rows.start, connectivity) + starts[-2:])
        starts.append(starts[-1] + highest)
    regions = _join(starts[-1], np.concatenate(seams))
    if regions.max(initial=0) > np.iinfo(result.dtype).max:
        result = result.astype(np.int32)
    for rows, start, end in zip(bands, starts[:-1], starts[1:], strict=True):
        result[rows] = np.append(0, regions[start + 1 : end + 1])[result[rows]]
    return result


def _bands(array: NDArray[Any]) -> list[slice]:
    """Returns the rows of bands of a (height, width) map, so that what is computed of a band stays small."""
    height, width = array.shape
    rows = max(1, _BAND_PIXELS // max(width, 1))
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def _label(class_map: IntArray, connectivity: int, void: Sequence[int]) -> IntArray:
    """Labels the connected regions of a map, numbered in row-major order of their first pixels."""
    # Negative values, and values that int32 cannot hold, are replaced by their rank.
    if class_map.size and (class_map.min() < 0 or class_map.max() >= np.iinfo(np.int32).max):
        _, dense = np.unique(class_map, return_inverse=True)
        dense = dense.reshape(class_map.shape).astype(np.int32)
    else:
        dense = class_map.astype(np.int32)
    # Shifted by one: 0 marks void here, and class 0 may be an object.
    dense = np.where(np.isin(class_map, list(void)), 0, dense + 1)
    from skimage import measure

    labels = measure.label(  # type: ignore[no-untyped-call]
        dense, background=0, connectivity=1 if connectivity == 4 else 2
    )
    return order_by_first_pixel(labels)


def _touching(class_map: IntArray, labels: IntArray, row: int, connectivity: int) -> NDArray[np.int64]:
    """Returns the (pairs, 2) labels of one class that touch across the upper edge of a row."""
    pairs = []
    width = class_map.shape[1]
    for step in (0,) if connectivity == 4 else (-1, 0, 1):
        above, below = (slice(max(0, way), width + min(0, way)) for way in (-step, step))
        upper, lower = labels[row - 1, above], labels[row, below]
        same = (class_map[row - 1, above] == class_map[row, below]) & (upper > 0) & (lower > 0)
        pairs.append(np.stack((upper[same], lower[same]), axis=1).astype(np.int64))
    return np.unique(np.concatenate(pairs), axis=0)


def _join(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers joined regions 1..n in the order of their first; returns (count + 1,), 0 for region 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), np.int8), tuple(pairs.T)), shape=(count + 1, count + 1))
    _, joined = connected_components(links, directed=False)
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def order_by_first_pixel(instances: IntArray, dtype: DTypeLike = np.int32) -> IntArray:
    """Renumbers the non-zero ids of a map 1..n in row-major order of their first pixels.

    Args:
        instances: (height, width) map; ids may be sparse, and negative.
        dtype: dtype of the result; int32 if it cannot hold the number of instances.
    """
    # `first_pixels` allocates as many entries as the highest id, so sparse ids are made dense first.
    if instances.size and (instances.min() < 0 or instances.max() > instances.size):
        _, inverse = np.unique(np.append(instances.ravel(), 0), return_inverse=True)
        # The appended 0 shows to which index 0 was mapped.
        dense = np.where(inverse == inverse[-1], 0, inverse + 1)[:-1].reshape(instances.shape)
    else:
        dense = instances
    first = first_pixels(dense)
    present = np.flatnonzero(first[1:] >= 0) + 1
    rank = np.zeros(len(first), dtype if len(present) <= np.iinfo(dtype).max else np.int32)
    rank[present[np.argsort(first[present])]] = np.arange(1, len(present) + 1)
    result = np.empty(dense.shape, rank.dtype)
    for rows in _bands(dense):
        result[rows] = rank[dense[rows]]
    return result


def first_pixels(instances: IntArray) -> NDArray[np.int64]:
    """Returns the row-major index of the first pixel of each id from 0 to the highest; -1 if it is absent.

    Runs in linear time: sorting the pixels, as `np.unique` does, would dominate the time of conversions.
    """
    first = np.full(int(instances.max(initial=0)) + 1, -1, np.int64)
    # Assignment to a repeated index keeps the last value, so pixels are taken in reverse order.
    for rows in reversed(_bands(instances)):
        flat = instances[rows].ravel()
        start = rows.start * instances.shape[1]
        first[flat[::-1]] = np.arange(start + flat.size - 1, start - 1, -1)
    return first


def count_pixels(instances: IntArray) -> NDArray[np.int64]:
    """Returns the number of pixels of each id from 0 to the highest."""
    count = np.zeros(int(instances.max(initial=0)) + 1, np.int64)
    for rows in _bands(instances):
        count += np.bincount(instances[rows].ravel(), minlength=len(count))
    return count


def paper_clicks(instances: IntArray) -> NDArray[np.int64]:
    """Computes the clicks of the `paper` protocol: the middle of an instance's pixels in row-major order.

    The index is floor(n / 2), so the click lies in the instance but is not its centre: a rectangle with an
    even number of rows is clicked on its left edge (protocol.md, Evaluation).

    Args:
        instances: (height, width) map; ids need not be dense.

    Returns:
        (ids, 2) clicks (x, y), one for each non-zero id that occurs, in order of id.
    """
    count, width = count_pixels(instances), instances.shape[1]
    # Of each id: the rank of its middle pixel, less its pixels in the bands before; that pixel.
    rank, middle = count // 2, np.zeros(len(count), np.int64)
    for rows in _bands(instances):
        flat = instances[rows].ravel()
        here = np.bincount(flat, minlength=len(count))
        # NumPy sorts 16-bit integers with a radix sort, in linear time.
        order = np.argsort(flat.astype(np.uint16) if len(count) <= 1 << 16 else flat, kind="stable")
        ids = np.flatnonzero((rank >= 0) & (rank < here))
        middle[ids] = rows.start * width + order[(np.cumsum(here) - here)[ids] + rank[ids]]
        rank -= here
    chosen = middle[1:][count[1:] > 0]
    return np.stack((chosen % width, chosen // width), axis=1)


def _boxes(instances: IntArray) -> list[Any]:
    """Returns the (rows, columns) slices of each id from 1 to the highest; None if it is absent."""
    from scipy import ndimage

    boxes: list[Any] = ndimage.find_objects(instances)
    return boxes


def strict_clicks(instances: IntArray) -> NDArray[np.int64]:
    """Computes the clicks of the `strict` protocol: the pixel farthest from the instance's boundary.

    The distance is Euclidean, to the nearest pixel outside the instance; pixels beyond the image border are
    outside. Ties go to the first pixel in row-major order (SAM's own protocol, protocol.md).

    Args:
        instances: (height, width) map; ids need not be dense.

    Returns:
        (ids, 2) clicks (x, y), one for each non-zero id that occurs, in order of id.
    """
    clicks = []
    for instance_id, box in enumerate(_boxes(instances), start=1):
        if box is None:
            continue
        # Padded, so that pixels beyond the box and beyond the image border count as outside.
        mask = np.zeros([side.stop - side.start + 2 for side in box], np.uint8)
        np.equal(instances[box], instance_id, out=mask[1:-1, 1:-1].view(np.bool_))
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Squared distances are integers: rounding makes ties exact (float32 suffices up to 2,000 pixels).
        np.rint(np.square(distance, out=distance), out=distance)
        y, x = np.unravel_index(np.argmax(distance), mask.shape)
        clicks.append((x - 1 + box[1].start, y - 1 + box[0].start))
    return np.array(clicks, np.int64).reshape(-1, 2)


def describe_objects(instances: IntArray, class_ids: Mapping[int, int]) -> list[dict[str, Any]]:
    """Returns the value of the `objects` column for an instance map.

    Args:
        instances: (height, width) map with dense ids 1..n.
        class_ids: class of every id.

    Returns:
        One dictionary per instance: id, class_id, area (pixels), bbox (x, y, width, height) and the clicks
        (x, y) of both protocols, in pixels of this map.
    """
    area = count_pixels(instances)[1:]
    middles, centres = paper_clicks(instances), strict_clicks(instances)
    return [
        {
            "id": k,
            "class_id": int(class_ids[k]),
            "area": int(area[k - 1]),
            "bbox": [xs.start, ys.start, xs.stop - xs.start, ys.stop - ys.start],
            "click_paper": middles[k - 1].tolist(),
            "click_strict": centres[k - 1].tolist(),
        }
        for k, (ys, xs) in enumerate(_boxes(instances), start=1)
    ]


def stretch_nearest(array: NDArray[Any], size: tuple[int, int], rule: str = "pil") -> NDArray[Any]:
    """Resizes a (height, width, ...) map by nearest-neighbour interpolation.

    Args:
        array: the map, of any dtype.
        size: target (height, width).
        rule: "pil" or "torch", see `nearest_indices`.
    """
    rows, columns = (
        nearest_indices(source, target, rule) for target, source in zip(size, array.shape[:2], strict=True)
    )
    # Columns first: the second step then copies whole rows, several times faster than single pixels.
    stretched: NDArray[Any] = array[:, columns][rows]
    return stretched


def nearest_indices(source: int, target: int, rule: str = "pil") -> NDArray[np.int64]:
    """Returns the (target,) source indices of nearest-neighbour interpolation along one axis.

    Args:
        source: number of source pixels.
        target: number of target pixels.
        rule: "pil" takes floor((i + 0.5) * source / target), the source pixel at the target's centre;
            "torch" takes floor(i * source / target) in exact arithmetic, as
            `torch.nn.functional.interpolate` does with mode "nearest".
    """
    if rule == "torch":
        return np.arange(target) * source // target
    return ((np.arange(target) + 0.5) * (source / target)).astype(np.int64)
