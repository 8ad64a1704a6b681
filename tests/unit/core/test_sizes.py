"""Size classes: where they begin, and what is large."""

from __future__ import annotations

import numpy as np
import pytest

from aims.core.sizes import LARGE, SIZES, large_scores, sums_by_size


def test_classes_begin_at_their_edges() -> None:
    # Of 10,000 pixels: just below and exactly 0.25, 1 and 4 %.
    areas = np.array([24, 25, 99, 100, 399, 400])
    sums, counts = sums_by_size(np.arange(6.0), areas, np.full(6, 10_000))
    assert counts.tolist() == [1, 2, 2, 1]
    assert sums.tolist() == [0, 1 + 2, 3 + 4, 5]
    assert len(SIZES) == 4


def test_large_is_from_one_percent_on() -> None:
    assert LARGE == 0.01
    # 123 of 12,300 is exactly one percent.
    found = large_scores(np.array([0.1, 0.2, 0.7]), np.array([122, 123, 9_000]), np.full(3, 12_300))
    assert found == (pytest.approx(0.45), 2)


def test_no_large_instance_has_no_score() -> None:
    found = large_scores(np.array([0.5]), np.array([1]), np.array([101]))
    assert found == (None, 0)
