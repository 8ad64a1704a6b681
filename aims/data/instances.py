"""Connected instances of class maps, and the clicks of the protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from aims.core.errors import InputError

IntArray = NDArray[np.integer[Any]]

#: Instance maps are stored as 16-bit PNG.
MAX_INSTANCES = 65_535


def split_instances(
    class_map: IntArray, *, connectivity: int = 8, void: Sequence[int] = (0,)
) -> NDArray[np.int32]:
    """Splits a semantic map into its maximal connected regions of equal class (paper, section 11).

    Args:
        class_map: (height, width), integers.
        connectivity: 8, or 4 for regions that touch along edges only.
        void: classes that are not objects; their pixels become 0.

    Returns:
        (height, width) int32 map: 0 = nothing, 1..n = instances in row-major order of their first pixel.
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
    # Negative values, and values that int32 cannot hold, are replaced by their rank.
    if class_map.size and (class_map.min() < 0 or class_map.max() >= np.iinfo(np.int32).max):
        _, dense = np.unique(class_map, return_inverse=True)
        dense = dense.reshape(class_map.shape).astype(np.int32)
    else:
        dense = class_map.astype(np.int32)
    # Shifted by one: 0 marks void here, and class 0 may be an object.
    dense = np.where(np.isin(class_map, list(void)), 0, dense + 1)
    labels = measure.label(  # type: ignore[no-untyped-call]
        dense, background=0, connectivity=1 if connectivity == 4 else 2
    )
    return order_by_first_pixel(labels)


def order_by_first_pixel(instances: IntArray) -> NDArray[np.int32]:
    """Renumbers the non-zero ids of a map 1..n, int32, in row-major order of their first pixels."""
    # `first_pixels` allocates as many entries as the highest id, so sparse ids are made dense first.
    if instances.size and (instances.min() < 0 or instances.max() > instances.size):
        _, inverse = np.unique(np.append(instances.ravel(), 0), return_inverse=True)
        # The appended 0 shows to which index 0 was mapped.
        dense = np.where(inverse == inverse[-1], 0, inverse + 1)[:-1].reshape(instances.shape)
    else:
        dense = instances
    first = first_pixels(dense)
    present = np.flatnonzero(first[1:] >= 0) + 1
    rank = np.zeros(len(first), np.int32)
    rank[present[np.argsort(first[present])]] = np.arange(1, len(present) + 1)
    return rank[dense]


def first_pixels(instances: IntArray) -> NDArray[np.int64]:
    """Returns the row-major index of the first pixel of each id from 0 to the highest; -1 if it is absent.

    Runs in linear time: sorting the pixels, as `np.unique` does, would dominate the time of conversions.
    """
    flat = instances.ravel()
    first = np.full(int(flat.max(initial=0)) + 1, -1, np.int64)
    # Assignment to a repeated index keeps the last value, so pixels are taken in reverse order.
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    return first


def paper_clicks(instances: IntArray) -> NDArray[np.int64]:
    """Computes the clicks of the `paper` protocol: the middle of an instance's pixels in row-major order.

    The index is floor(n / 2), so the click lies in the instance but is not its centre: a rectangle with an
    even number of rows is clicked on its left edge (protocol.md, Evaluation).

    Args:
        instances: (height, width) map; ids need not be dense.

    Returns:
        (ids, 2) clicks (x, y), one for each non-zero id that occurs, in order of id.
    """
    flat = instances.ravel()
    count = np.bincount(flat)
    # NumPy sorts 16-bit integers with a radix sort, in linear time.
    order = np.argsort(flat.astype(np.uint16) if len(count) <= 1 << 16 else flat, kind="stable")
    start = np.cumsum(count) - count
    ids = np.flatnonzero(count[1:]) + 1
    middle = order[start[ids] + count[ids] // 2]
    return np.stack((middle % instances.shape[1], middle // instances.shape[1]), axis=1)


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
    for instance_id, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        # Padded, so that pixels beyond the box and beyond the image border count as outside.
        mask = np.pad((instances[box] == instance_id).astype(np.uint8), 1)
        distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Squared distances are integers: rounding makes ties exact (float32 suffices up to 2,000 pixels).
        y, x = np.unravel_index(np.argmax(np.rint(np.square(distance))), mask.shape)
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
    area = np.bincount(instances.ravel())[1:]
    boxes = ndimage.find_objects(instances)
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
        for k, (ys, xs) in enumerate(boxes, start=1)
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
