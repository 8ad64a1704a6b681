from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import measure

from aims.core.errors import InputError
from aims.data.instances import (
    describe_objects,
    order_by_first_pixel,
    paper_clicks,
    split_instances,
    stretch_nearest,
    strict_clicks,
)


def random_map(seed, size=(40, 53), classes=4, blur=1.5):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), blur)
    edges = np.quantile(noise, np.linspace(0, 1, classes + 1)[1:-1])
    return np.digitize(noise, edges)


def by_scipy(class_map, connectivity, void):
    """Components of every class by scipy, numbered by first pixel with a plain loop."""
    structure = np.ones((3, 3)) if connectivity == 8 else None
    regions = []
    for value in np.unique(class_map):
        if value not in void:
            labels, count = ndimage.label(class_map == value, structure)
            regions += [labels == k for k in range(1, count + 1)]
    regions.sort(key=lambda mask: np.flatnonzero(mask)[0])
    result = np.zeros(class_map.shape, np.int32)
    for k, mask in enumerate(regions, start=1):
        result[mask] = k
    return result


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("void", [(0,), (), (1, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_split_agrees_with_scipy_and_scikit_image(seed, void, connectivity):
    class_map = random_map(seed)
    ours = split_instances(class_map, connectivity=connectivity, void=void)
    np.testing.assert_array_equal(ours, by_scipy(class_map, connectivity, void))
    theirs = measure.label(class_map + 1, connectivity=connectivity // 4)
    theirs[np.isin(class_map, void)] = 0
    # The same partition: every pair (ours, theirs) occurs for one region only.
    pairs = np.unique(np.stack((ours.ravel(), theirs.ravel())), axis=1)
    assert pairs.shape[1] == len(np.unique(ours)) == len(np.unique(theirs))
    assert ours.max() > 10


@pytest.mark.parametrize("rows", [1, 2, 7, 39])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_bands_change_nothing(monkeypatch, rows, connectivity):
    class_map = random_map(rows, blur=0.8)
    class_map[:, 20] = 1  # through all bands
    whole = split_instances(class_map, connectivity=connectivity)
    classes = dict.fromkeys(range(1, whole.max() + 1), 1)
    objects, drawn = describe_objects(whole, classes), whole[::-1] * 3
    ordered = order_by_first_pixel(drawn)
    monkeypatch.setattr("aims.data.instances._BAND_PIXELS", rows * class_map.shape[1])
    for dtype in (np.int32, np.uint16, np.int8):
        banded = split_instances(class_map, connectivity=connectivity, dtype=dtype)
        np.testing.assert_array_equal(banded, whole)
        assert banded.dtype == (np.int32 if dtype == np.int8 else dtype)
    assert describe_objects(banded, classes) == objects
    assert describe_objects(banded.astype(np.uint16), classes) == objects
    np.testing.assert_array_equal(order_by_first_pixel(drawn, np.uint16), ordered)


def test_split_by_hand():
    class_map = np.array([[2, 0, 1, 1], [0, 2, 0, 1], [1, 0, 0, 0], [1, 0, 9, 9]])
    np.testing.assert_array_equal(
        split_instances(class_map, void=(0, 9)), [[1, 0, 2, 2], [0, 1, 0, 2], [3, 0, 0, 0], [3, 0, 0, 0]]
    )
    assert split_instances(class_map, connectivity=4).max() == 5
    assert split_instances(np.zeros((3, 4), np.uint8)).max() == 0
    # Negative and large classes, an int64 map and a boolean one.
    assert split_instances(np.array([[-1, 2**40, -1]]), void=()).tolist() == [[1, 2, 3]]
    assert split_instances(np.array([[True, False, True]])).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize(
    ("class_map", "kwargs", "message"),
    [
        (np.zeros((2, 2, 1), int), {}, "two dimensions"),
        (np.zeros((2, 2)), {}, "whole numbers"),
        (np.zeros((2, 2), int), {"connectivity": 6}, "4 or 8"),
    ],
)
def test_split_refuses(class_map, kwargs, message):
    with pytest.raises(InputError, match=message):
        split_instances(class_map, **kwargs)


def test_instance_maps_of_any_numbers_are_ordered():
    for big in (9, 2**40, -3):
        drawn = np.array([[0, big, 4], [4, 0, big]])
        np.testing.assert_array_equal(order_by_first_pixel(drawn), [[0, 1, 2], [2, 0, 1]])
    np.testing.assert_array_equal(order_by_first_pixel(np.full((2, 2), -7)), np.ones((2, 2)))
    np.testing.assert_array_equal(order_by_first_pixel(np.zeros((2, 2), int)), np.zeros((2, 2)))


def test_paper_click_is_the_middle_pixel_in_row_major_order():
    # 2 rows x 3 columns: six pixels, index 3 is the first of the second row - the left edge.
    even = np.zeros((4, 6), int)
    even[1:3, 2:5] = 1
    assert paper_clicks(even).tolist() == [[2, 2]]
    # 3 rows x 3 columns: nine pixels, index 4 is the centre.
    odd = np.zeros((5, 6), int)
    odd[1:4, 2:5] = 1
    assert paper_clicks(odd).tolist() == [[3, 2]]
    # One pixel, and ids with a gap.
    sparse = np.array([[0, 7], [3, 0]])
    assert paper_clicks(sparse).tolist() == [[0, 1], [1, 0]]


def test_strict_click_is_farthest_from_the_boundary():
    box = np.zeros((9, 9), int)
    box[2:7, 2:7] = 1
    assert strict_clicks(box).tolist() == [[4, 4]]
    # The picture's border counts as boundary: a full picture is clicked in its middle, not in a corner.
    assert strict_clicks(np.ones((5, 5), int)).tolist() == [[2, 2]]
    # Ties go to the first pixel in row-major order.
    assert strict_clicks(np.ones((2, 4), int)).tolist() == [[0, 0]]
    assert strict_clicks(np.ones((4, 6), int)).tolist() == [[1, 1]]
    # Another instance is boundary as much as nothing is.
    halves = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    assert strict_clicks(halves).tolist() == [[1, 1], [4, 1]]


@pytest.mark.parametrize("seed", range(4))
def test_strict_click_agrees_with_scipy(seed):
    instances = split_instances(random_map(seed, size=(90, 120), blur=5))
    for k, click in enumerate(strict_clicks(instances), start=1):
        squared = np.rint(ndimage.distance_transform_edt(np.pad(instances == k, 1))[1:-1, 1:-1] ** 2)
        assert click.tolist() == list(np.unravel_index(np.argmax(squared), squared.shape))[::-1]


def test_objects_by_hand():
    instances = np.array([[0, 1, 1, 0], [2, 2, 1, 0], [2, 0, 0, 0]])
    assert describe_objects(instances, {1: 5, 2: 3}) == [
        {
            "id": 1,
            "class_id": 5,
            "area": 3,
            "bbox": [1, 0, 2, 2],
            "click_paper": [2, 0],
            "click_strict": [1, 0],
        },
        {
            "id": 2,
            "class_id": 3,
            "area": 3,
            "bbox": [0, 1, 2, 2],
            "click_paper": [1, 1],
            "click_strict": [0, 1],
        },
    ]


@pytest.mark.parametrize("size", [(1024, 1024), (256, 256), (7, 90), (37, 5)])
def test_nearest_is_pils(size):
    values = np.random.default_rng(0).integers(0, 60_000, (37, 90)).astype(np.int32)
    theirs = np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(stretch_nearest(values, size), theirs)
