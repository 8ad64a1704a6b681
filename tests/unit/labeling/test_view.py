"""Pictures on the screen: every pixel and click at its place, whatever the zoom."""

from __future__ import annotations

import numpy as np
import pytest

from aims.core.schema import StreamSpec
from aims.data.pictures import draw
from aims.labeling.session import Asked
from aims.labeling.view import ANSWER, LARGEST, Region, View, show, value_range

SPEC = StreamSpec(channels=1, unit="V", missing=-1.0)
VIEW = View(stream="signal")


def shown(array, view=VIEW):
    return show({"signal": array}, {"signal": SPEC}, view)


def test_small_pictures_are_enlarged_pixel_by_pixel():
    array = np.arange(12.0).reshape(3, 4, 1)
    large = shown(array).pixels
    times = large.shape[0] // 3
    assert large.shape == (3 * times, 4 * times, 3)
    assert np.array_equal(large[::times, ::times], draw(array, "signal", SPEC).pixels)
    assert np.array_equal(large[times - 1 :: times, times - 1 :: times], large[::times, ::times])


def test_large_pictures_are_thinned_out():
    drawn = shown(np.zeros((40, 3 * LARGEST, 1), np.float32))
    assert drawn.pixels.shape == (14, LARGEST, 3)


def test_a_part_keeps_its_colours():
    array = np.random.default_rng(0).normal(size=(64, 64, 1))
    whole = shown(array).pixels
    region = Region(8, 16, 32, 32)
    part = shown(array, View(stream="signal", region=region)).pixels
    scale, larger = whole.shape[0] // 64, part.shape[0] // 32
    assert np.array_equal(part[::larger, ::larger], whole[::scale, ::scale][16:48, 8:40])


@pytest.mark.parametrize("size", [(20, 30), (300, 500), (3000, 2100)])
@pytest.mark.parametrize("zoom", [1.0, 2.0, 7.0])
def test_a_click_is_drawn_where_it_was_made(size, zoom):
    array = np.zeros((*size, 1), np.float32)
    region = Region.whole(size).zoomed(zoom, (0.6, 0.4), size)
    place = (0.37, 0.61)
    x, y = region.pixel(place)
    drawn = shown(array, View(stream="signal", region=region))
    marked = drawn.compose([], None, Asked(points=((x, y),), labels=(1,)))
    changed = np.argwhere((marked != drawn.pixels).any(2))
    rows, columns = changed.mean(0)
    # Within the pixel that was clicked on.
    assert abs(rows / marked.shape[0] - place[1]) <= 1 / region.height
    assert abs(columns / marked.shape[1] - place[0]) <= 1 / region.width


def test_a_mask_is_drawn_where_it_is():
    mask = np.zeros((64, 64), bool)
    mask[20:40, 10:30] = True
    drawn = shown(np.zeros((64, 64, 1)))
    times = drawn.pixels.shape[0] // 64
    changed = (drawn.compose([], mask) != drawn.pixels).any(2)
    assert changed[20 * times : 40 * times, 10 * times : 30 * times].all()
    assert changed.sum() < 1.1 * mask.sum() * times**2
    outlined = drawn.compose([mask], None)
    assert (outlined[30 * times, 20 * times] == drawn.pixels[30 * times, 20 * times]).all()
    assert (outlined != drawn.pixels).any()
    assert (drawn.compose([], mask) == np.array(ANSWER)).all(2).any()


def test_zooming_keeps_the_pixel_under_the_pointer():
    size, place = (300, 400), (0.25, 0.75)
    region = Region.whole(size)
    x, y = region.pixel(place)
    for _ in range(3):
        region = region.zoomed(1.5, place, size)
        assert np.allclose(region.pixel(place), (x, y), atol=2)
    for _ in range(12):
        region = region.zoomed(1.5, place, size)
    assert max(region.width, region.height) == 16
    for _ in range(30):
        region = region.zoomed(1 / 1.5, place, size)
    assert region == Region.whole(size)


def test_moving_ends_at_the_edge():
    region = Region(0, 0, 100, 80).moved(0.5, 0.5, (300, 400))
    assert region == Region(50, 40, 100, 80)
    assert region.moved(99, -99, (300, 400)) == Region(300, 0, 100, 80)


def test_channels_windows_and_ranges():
    array = np.stack([np.full((4, 4), 2.0), np.arange(16.0).reshape(4, 4)], 2)
    array[0, 0] = -1.0
    streams = {"signal": StreamSpec(channels=2, unit="V", missing=-1.0)}
    second = View(stream="signal", channel=2, window=(0.0, 30.0))
    assert value_range({"signal": array}, streams, second) == (1.0, 15.0)
    drawn = show({"signal": array}, streams, second)
    assert drawn.pixels[-1, -1].tolist() == [128, 128, 128]
    assert "window 0 to 30" in drawn.note
    nothing = {"signal": np.full((4, 4, 1), np.nan)}
    assert value_range(nothing, {"signal": SPEC}, VIEW) == (0.0, 1.0)
    assert value_range({"signal": np.full((4, 4, 1), 5)}, {"signal": SPEC}, VIEW) == (5.0, 6.0)
