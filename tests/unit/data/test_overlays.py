"""Masks of runs, which others may have written, are drawn or refused."""

from __future__ import annotations

import numpy as np
import pytest

from aims.core.errors import AimsError
from aims.data.overlays import predicted_mask
from aims.engine.masks import encode_mask


def row(rle):
    return {"image_id": "a", "instance_id": 1, "rle_native": None, "rle_grid": rle}


def test_a_mask_is_stretched_to_the_image():
    mask = np.eye(4, dtype=bool)
    assert predicted_mask(row(encode_mask(mask)), (8, 8)).sum() == 4 * mask.sum()


@pytest.mark.parametrize("size", [[60_000, 60_000], [-1, -1], [0, 5], [1 << 40, 1], [], [4]])
def test_a_mask_of_no_size_that_an_image_has(size):
    with pytest.raises(AimsError, match="instance 1 of 'a': its mask cannot be read"):
        predicted_mask(row({"size": size, "counts": "0"}), (8, 8))
