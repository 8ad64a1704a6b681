"""Masks in colours that the picture does not have."""

from __future__ import annotations

import tracemalloc

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage

from aims.data.overlays import PALETTE, contrasting_colours, predicted_map, predicted_mask, tinted
from helpers import seeded


@pytest.mark.parametrize("colour", PALETTE)
def test_a_colour_of_the_picture_is_not_taken(colour):
    found = contrasting_colours(np.full((40, 60, 3), colour, np.uint8))
    assert colour not in found[: len(PALETTE) // 2]
    assert len(found) >= len(PALETTE) // 2


@pytest.mark.parametrize("colour_map", ["gray", "viridis", "inferno", "magma", "twilight"])
def test_a_mask_is_seen_in_every_colour_map(colour_map):
    levels = seeded("tinted").random((40, 60))
    picture = np.rint(255 * mpl.colormaps[colour_map](levels)[:, :, :3]).astype(np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:50] = True
    drawn = tinted(picture, mask)
    assert np.array_equal(drawn[~mask], picture[~mask])
    before, after = (
        cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for each in (picture, drawn)
    )
    # About 2.3 can just be told apart.
    assert np.percentile(np.linalg.norm(after - before, axis=2)[mask], 5) > 23


def row(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    rle = {"size": rle["size"], "counts": rle["counts"].decode()}
    return {"image_id": "a", "instance_id": 1, "rle_native": None, "rle_grid": rle}


def test_small_masks_lie_on_top_and_colours_differ():
    picture = np.full((20, 20, 3), 128, np.uint8)
    large, small = np.ones((20, 20), bool), np.zeros((20, 20), bool)
    small[5:8, 5:8] = True
    seen = predicted_map([row(small), row(large)], (20, 20))
    np.testing.assert_array_equal(seen, np.where(small, 1, 2))
    drawn = tinted(picture, seen)
    assert drawn[6, 6].tolist() == tinted(picture, small)[6, 6].tolist()
    assert drawn[0, 0].tolist() != drawn[6, 6].tolist()


@pytest.mark.parametrize("size", [(16, 16), (37, 50), (7, 9), (100, 3)])
def test_a_map_of_masks_is_made_of_whole_masks(size):
    rng = seeded("map of masks")
    rows = [row(ndimage.binary_dilation(rng.random((16, 16)) > 0.97, iterations=k)) for k in range(1, 6)]
    rows.append(row(np.zeros((16, 16))))
    expected = np.zeros(size, int)
    for place in sorted(range(len(rows)), key=lambda k: -int(coco_mask.area(rows[k]["rle_grid"]))):
        expected[predicted_mask(rows[place], size)] = place + 1
    np.testing.assert_array_equal(predicted_map(rows, size), expected)


def test_thousands_of_masks_do_not_lie_in_memory_together():
    size, rows = (1500, 2000), []
    for k in range(2000):
        mask = np.zeros((64, 64), np.uint8)
        mask[k // 64 % 64, k % 64] = 1
        rows.append(row(mask))
    tracemalloc.start()
    seen = predicted_map(rows, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(seen)) == 2001
    # The map and little else; the masks would take 6 GB.
    assert peak < 2 * seen.nbytes
