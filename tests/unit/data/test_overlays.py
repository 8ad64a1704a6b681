"""Masks in colours that the picture does not have."""

from __future__ import annotations

import cv2
import matplotlib as mpl
import numpy as np
import pytest

from aims.data.overlays import PALETTE, contrasting_colours, tinted
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
    drawn = tinted(picture, [mask])
    assert np.array_equal(drawn[~mask], picture[~mask])
    before, after = (
        cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for each in (picture, drawn)
    )
    # About 2.3 can just be told apart.
    assert np.percentile(np.linalg.norm(after - before, axis=2)[mask], 5) > 23


def test_small_masks_lie_on_top_and_colours_differ():
    picture = np.full((20, 20, 3), 128, np.uint8)
    large, small = np.ones((20, 20), bool), np.zeros((20, 20), bool)
    small[5:8, 5:8] = True
    drawn = tinted(picture, [small, large])
    assert drawn[6, 6].tolist() == tinted(picture, [small])[6, 6].tolist()
    assert drawn[0, 0].tolist() != drawn[6, 6].tolist()
