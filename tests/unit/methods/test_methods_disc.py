"""Discs around clicks: counts by hand, and against a plain loop over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.methods import METHODS, ClickedMap, Floor, Method, build_model, default_tuning, has_model
from aims.methods.disc import RADII, Disc, OracleDisc, radius_scores

GRID = (256, 256)
# Sizes of discs around the middle of a pixel, as far as a map goes: 1; 5; 9; 13 pixels for radius 0.5 to 2.
PIXEL, PLUS, BLOCK = (1, 1 / 5, 1 / 9, 1 / 13), (1 / 5, 1, 5 / 9, 5 / 13), (1 / 9, 5 / 9, 1, 9 / 13)


def shown(instances: np.ndarray, clicks: dict[int, tuple[float, float]]) -> ClickedMap:
    return ClickedMap(
        instances=instances,
        ids=np.array(list(clicks), np.int64),
        clicks=np.array(list(clicks.values()), np.float64).reshape(-1, 2),
    )


@pytest.fixture
def shapes() -> ClickedMap:
    """One pixel, a plus of five and a block of nine, each clicked in its middle, (x, y)."""
    instances = np.zeros(GRID, np.uint16)
    instances[20, 10] = 1
    instances[100, 49:52] = instances[99:102, 50] = 2
    instances[199:202, 229:232] = 4
    return shown(instances, {1: (10, 20), 2: (50, 100), 4: (230, 200)})


def by_loop(image: ClickedMap, click: np.ndarray, radius: float, size: tuple[int, int]) -> np.ndarray:
    """The disc, pixel by pixel: its middle moved into the frame, and the radius times a 256th of the side."""
    height, width = image.instances.shape
    reach = radius * math.sqrt(height * width) / 256
    mask = np.zeros(size, bool)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5) * height / size[0] - 0.5
            x = (column + 0.5) * width / size[1] - 0.5
            mask[row, column] = math.hypot(x - click[0], y - click[1]) <= reach
    mask[int((click[1] + 0.5) * size[0] / height), int((click[0] + 0.5) * size[1] / width)] = True
    return mask


def test_the_radii_are_the_stated_list() -> None:
    assert (RADII[0], RADII[1], RADII[-1], len(RADII)) == (0.5, 1.0, 384.0, 768)


def test_scores_by_hand(shapes: ClickedMap) -> None:
    np.testing.assert_allclose(radius_scores(shapes)[:, :4], [PIXEL, PLUS, BLOCK], rtol=1e-15)
    # The largest disc is the whole map.
    np.testing.assert_allclose(radius_scores(shapes)[:, -1], np.array([1, 5, 9]) / 256**2, rtol=1e-15)


def test_a_disc_ends_at_the_border() -> None:
    instances = np.zeros(GRID, np.uint16)
    instances[:2, :2] = 1
    # Of the discs around the corner's pixel 1, 3, 4 and 6 pixels are on the map.
    scores = radius_scores(shown(instances, {1: (0, 0)}))[0, :4]
    np.testing.assert_allclose(scores, [1 / 4, 3 / 4, 1, 4 / 6], rtol=1e-15)


def test_a_radius_is_in_256ths_of_the_side() -> None:
    instances = np.zeros((512, 512), np.uint16)
    instances[100, 100] = 1
    # Twice the pixels of the grid: radius 0.5 reaches one pixel, a plus of five.
    assert radius_scores(shown(instances, {1: (100, 100)}))[0, 0] == 1 / 5
    # A picture of 128 x 512 is as large as the grid: radius 4 reaches 4 pixels, of which a row has nine.
    (mask,) = next(Disc().predict(shown(instances[:128], {1: (100, 100)}), [(128, 512)], {"radius": 4.0}))
    assert (mask[100].sum(), mask[:, 100].sum()) == (9, 9)


@pytest.mark.parametrize("size", [(48, 64), (20, 90)])
def test_every_radius_agrees_with_a_loop(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    instances = np.zeros(size, np.uint16)
    instances[3:12, 5:30], instances[10:18, 20:44] = 1, 3
    image = shown(instances, {1: (6.125, 5.375), 3: (40, 17)})
    scores = radius_scores(image)
    for radius in rng.choice(RADII[:400], 12, replace=False).tolist():
        for k, instance_id in enumerate(image.ids):
            mask, truth = by_loop(image, image.clicks[k], radius, size), instances == instance_id
            expected = (mask & truth).sum() / (mask | truth).sum()
            assert scores[k, int(2 * radius) - 1] == pytest.approx(expected, abs=1e-15)


def test_masks_agree_with_a_loop_on_every_size() -> None:
    instances = np.zeros((30, 70), np.uint16)
    instances[4:20, 30:60] = 2
    image = shown(instances, {2: (41.375, 9.125)})
    sizes = [(30, 70), (64, 64), (15, 140)]
    masks = next(Disc().predict(image, sizes, {"radius": 37.5}))
    for mask, size in zip(masks, sizes, strict=True):
        np.testing.assert_array_equal(mask, by_loop(image, image.clicks[0], 37.5, size))


def test_the_radius_is_the_best_over_instances(shapes: ClickedMap) -> None:
    # 1 + 1/5 + 1/9 < 5/9 + 1 + 1/5 > 1/9 + 5/9 + 1: radius 1.
    assert Disc().fit([shapes]) == {"radius": 1.0}
    # Two pixels in another picture outweigh it: 1.31 + 2 against 1.76 + 2/5. Instances count, not images.
    instances = np.zeros(GRID, np.uint16)
    instances[7, 8], instances[70, 80] = 1, 2
    pixels = shown(instances, {1: (8, 7), 2: (80, 70)})
    assert Disc().fit(iter([shapes, pixels])) == {"radius": 0.5}


def test_of_equal_radii_the_smallest_is_chosen(shapes: ClickedMap) -> None:
    # A pixel and a plus: 1 + 1/5 for radius 0.5 and for 1.
    two = ClickedMap(instances=shapes.instances, ids=shapes.ids[:2], clicks=shapes.clicks[:2])
    assert Disc().fit([two]) == {"radius": 0.5}


def test_the_oracle_takes_the_best_for_each(shapes: ClickedMap) -> None:
    assert OracleDisc().fit([shapes]) == {}
    masks = [mask for (mask,) in OracleDisc().predict(shapes, [GRID], {})]
    for mask, instance_id in zip(masks, shapes.ids, strict=True):
        np.testing.assert_array_equal(mask, shapes.instances == instance_id)


def test_an_instance_that_vanished_scores_nothing() -> None:
    # `paper` clicks on the finer grid: 123 and 45 there lie in the pixel 30, 11 here.
    image = shown(np.zeros(GRID, np.uint16), {9: ((123.5 / 4) - 0.5, (45.5 / 4) - 0.5)})
    assert not radius_scores(image).any()
    for floor in (Disc(), OracleDisc()):
        (mask,) = next(floor.predict(image, [GRID], {"radius": 0.5}))
        assert mask[11, 30]


def test_without_an_instance_nothing_is_chosen() -> None:
    empty = shown(np.zeros(GRID, np.uint16), {})
    with pytest.raises(InputError, match="no instance of sufficient size"):
        Disc().fit([empty])
    assert list(Disc().predict(empty, [GRID], {"radius": 1.0})) == []


@pytest.mark.parametrize("name", ["disc", "oracle-disc"])
def test_a_floor_has_no_model(name: str) -> None:
    assert issubclass(METHODS[name], Floor)
    assert not issubclass(METHODS[name], Method)
    assert (has_model(name), has_model("zero-shot")) == (False, True)
    assert default_tuning(name, pretrained=True) == default_tuning(name, pretrained=False) == NO_TUNING
    with pytest.raises(InputError, match=f"method '{name}' has no model"):
        build_model(method=name, tuning="none", backbone="sam-tiny", channels=1, weights=None, seed=0)
