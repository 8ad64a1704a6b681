"""Connected regions on a device are those of `split_instances`, with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aims.data.instances import split_instances
from aims.pretrain.regions import connected_regions, label_regions


def spiral(side):
    """One path, one pixel wide and as long as half the picture, in a background that is one path as well."""
    picture = np.zeros((side, side), int)
    y, x, dy, dx = 0, -1, 0, 1
    lengths = [side, *(n for k in range(side - 1, 0, -2) for n in (k, k))]
    for length in lengths:
        for _ in range(length):
            y, x = y + dy, x + dx
            picture[y, x] = 1
        dy, dx = dx, -dy
    return picture + 1


def comb(side):
    """Teeth that meet in the last row alone."""
    picture = np.ones((side, side), int)
    picture[:-1, 1::2] = 2
    return picture


def serpentine(side):
    picture = np.ones((side, side), int)
    picture[1::2] = 2
    picture[1::4, -1] = picture[3::4, 0] = 1
    return picture


def chain(side):
    """Diagonal steps, so that four neighbours give as many regions as pixels."""
    return np.add.outer(np.arange(side), np.arange(side)) % 3


def star(side):
    """Many runs that touch one region last: no root is the lowest of its own neighbours at first."""
    picture = np.full((side, side), 2)
    picture[::2, :-1] = np.where(np.arange(side - 1) % 2, 3, 1)
    picture[:, -1] = 1
    return picture


def checkers(side):
    return np.indices((side, side)).sum(0) % 2 + 1


def random_trees(side):
    """A labyrinth: walls of one class, corridors of another, with every corridor reached by one way."""
    rng = np.random.default_rng(side)
    picture = np.ones((side, side), int)
    picture[1::2, 1::2] = 2
    for y in range(1, side - 1, 2):
        for x in range(1, side - 1, 2):
            dy, dx = ((0, 1), (1, 0))[int(rng.integers(2))]
            picture[min(y + dy, side - 1), min(x + dx, side - 1)] = 2
    return picture


PATTERNS = (spiral, comb, serpentine, chain, star, checkers, random_trees)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_adversarial_maps(pattern, connectivity):
    for side in (5, 32, 128):
        picture = pattern(side)
        maps = np.stack([picture, picture[::-1], picture.T, picture.max() - picture])
        expected = np.stack([split_instances(each, connectivity=connectivity) for each in maps])
        found = label_regions(torch.from_numpy(maps.copy()), connectivity=connectivity)
        assert found.dtype == torch.int32
        assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 12), (33, 64)])
def test_random_maps(size, connectivity):
    rng = np.random.default_rng(size)
    for classes in (1, 2, 3, 9):
        # Zero is no region; some maps are coarse, so that regions are large.
        fine = rng.integers(0, classes + 1, (20, *size))
        coarse = fine[:, : (size[0] + 2) // 3, : (size[1] + 2) // 3].repeat(3, 1).repeat(3, 2)
        for maps in (fine, coarse[:, : size[0], : size[1]]):
            expected = np.stack([split_instances(each, connectivity=connectivity) for each in maps])
            found = label_regions(torch.from_numpy(maps.copy()), connectivity=connectivity)
            assert np.array_equal(found.numpy(), expected)


def test_all_maps_of_three_by_four():
    maps = np.stack(np.meshgrid(*[np.arange(2)] * 12, indexing="ij"), -1).reshape(-1, 3, 4) + 1
    for connectivity in (4, 8):
        expected = np.stack([split_instances(each, connectivity=connectivity) for each in maps])
        found = label_regions(torch.from_numpy(maps), connectivity=connectivity)
        assert np.array_equal(found.numpy(), expected)


def test_negative_and_large_numbers_are_classes_too():
    maps = torch.tensor([[[-1, 2**31 - 2, -1], [-1, -1, 7]]])
    expected = split_instances(maps[0].numpy())
    assert np.array_equal(label_regions(maps)[0].numpy(), expected)


def test_a_cpu_gives_the_same():
    maps = torch.from_numpy(np.stack([spiral(16), checkers(16)]))
    assert torch.equal(connected_regions(maps, connectivity=4), label_regions(maps, connectivity=4))
