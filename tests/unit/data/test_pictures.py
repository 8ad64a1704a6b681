"""Colours at points that can be worked out by hand. End colours: the published hex codes of the maps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aims.core.schema import StreamSpec
from aims.data.pictures import HATCH, Scale, draw, picture
from helpers import seeded

VIRIDIS = (0x44, 0x01, 0x54), (0xFD, 0xE7, 0x25)
INFERNO = (0x00, 0x00, 0x04), (0xFC, 0xFF, 0xA4)
MAGMA = (0x00, 0x00, 0x04), (0xFC, 0xFD, 0xBF)
#: 0 to 100: the window of 2 to 98 percent is 2 to 98 exactly.
RAMP = np.arange(101, dtype=np.float32).reshape(1, 101, 1)


def spec(channels=1, unit="1", **more):
    return StreamSpec(channels=channels, unit=unit, **more)


def test_one_channel_is_grey_in_its_window():
    found = draw(RAMP, "sonar", spec())
    assert found.pixels.shape == (1, 101, 3)
    # (26 - 2) / 96 and (50 - 2) / 96 of 255, rounded to even.
    for value, grey in ((0, 0), (2, 0), (26, 64), (50, 128), (98, 255), (100, 255)):
        assert found.pixels[0, value].tolist() == [grey] * 3
    assert (found.scale.low, found.scale.high) == (2, 98)
    assert found.missing == 0


@pytest.mark.parametrize(
    ("name", "unit", "ends"),
    [
        ("depth", "m", VIRIDIS),
        ("raw_depth", "digital number", VIRIDIS),
        ("lidar", "m", VIRIDIS),
        ("thermal", "digital number", INFERNO),
        ("ir", "degree Celsius", INFERNO),
        ("ir", "K", INFERNO),
    ],
)
def test_a_quantity_goes_by_name_then_by_unit(name, unit, ends):
    pixels = picture(RAMP, name, spec(unit=unit))
    assert np.allclose(pixels[0, 0], ends[0], atol=1)
    assert np.allclose(pixels[0, 100], ends[1], atol=1)


def test_temperature_reads_in_degrees():
    found = draw(RAMP, "thermal", spec(unit="degree Celsius"))
    assert found.scale.labels == ("2", "98 °C")


def test_degrees_alone_are_no_temperature():
    found = draw(RAMP, "incidence", spec(unit="degrees"))
    assert "°C" not in str(found)
    pixels = picture(RAMP, "incidence", spec(unit="degrees"))
    assert not np.allclose(pixels[0, 100], INFERNO[1], atol=1)


def test_an_angle_is_cyclic_over_half_a_turn():
    degrees = np.array([0, 45, 90, 135, 180, -45, 225], np.float64).reshape(1, 7, 1)
    found = picture(degrees, "aolp", spec(unit="degree"))[0].astype(int)
    for a, b in ((0, 4), (3, 5), (1, 6)):
        assert np.abs(found[a] - found[b]).max() <= 2
    for a, b in ((0, 2), (1, 3), (0, 1), (2, 3)):
        assert np.abs(found[a] - found[b]).max() > 60
    radians = picture(np.radians(degrees), "aolp", spec(unit="rad"))[0].astype(int)
    scaled = picture(degrees / 180, "aolp", spec(unit="1", valid_range=(0, 1)))[0].astype(int)
    assert np.abs(radians - found).max() <= 2
    assert np.abs(scaled - found).max() <= 2
    eight_bit = picture(
        np.array([[[0], [128]]], np.uint8), "aolp", spec(unit="1/255 of pi", valid_range=(0, 255))
    )
    assert np.abs(eight_bit[0].astype(int) - found[[0, 2]]).max() <= 4


def test_the_cyclic_map_goes_all_the_way_round():
    colours = draw(RAMP, "aolp", spec(unit="degree")).scale.colours.astype(int)
    assert np.abs(colours[0] - colours[-1]).max() <= 4
    assert np.abs(colours[0] - colours[128]).max() > 100


def test_channels_of_an_angle_are_averaged_as_directions():
    three = np.array([179, 1, 0], np.float64).reshape(1, 1, 3)
    found = picture(three, "aolp", spec(3, "degree"))[0, 0].astype(int)
    zero = picture(np.zeros((1, 1, 3)), "aolp", spec(3, "degree"))[0, 0].astype(int)
    sixty = picture(np.full((1, 1, 3), 60.0), "aolp", spec(3, "degree"))[0, 0].astype(int)
    assert np.abs(found - zero).max() <= 2
    assert np.abs(found - sixty).max() > 40


def test_a_degree_of_polarization_begins_at_zero():
    values = np.array([[[0, 0, 0], [1, 1, 1], [0.25, 0.5, 0.75]]])
    sample = np.tile([[0.2], [1.0]], (50, 3))
    found = draw(values, "dolp", spec(3), sample=lambda: sample)
    half = draw(np.full((1, 1, 1), 0.5), "dolp", spec(), sample=lambda: sample[:, :1])
    assert np.allclose(found.pixels[0, 0], MAGMA[0], atol=1)
    assert np.allclose(found.pixels[0, 1], MAGMA[1], atol=1)
    assert found.pixels[0, 2].tolist() == half.pixels[0, 0].tolist()
    assert (found.scale.low, found.scale.high) == (0, 1)
    weak = draw(values / 10, "dolp", spec(3))
    assert weak.scale.high == pytest.approx(0.1, rel=0.02)
    assert draw(values[:, :1], "dolp", spec(3)).scale.high == 1
    eight_bit = draw(np.full((1, 1, 1), 255, np.uint8), "dolp", spec(valid_range=(0, 255)))
    assert np.allclose(eight_bit.pixels[0, 0], MAGMA[1], atol=1)
    assert eight_bit.scale.high == 1


def test_polarization_pictures_are_linear_light():
    values = np.ones((40, 40, 3), np.float32)
    values[0, 0] = 0, 0.5, 1
    found = picture(values, "intensity", spec(3))
    # 0.5 ** (1 / 2.2) is 0.7297.
    assert found[0, 0].tolist() == [0, 186, 255]
    grey = picture(values[:, :, 1:2], "i45", spec())
    assert grey[0, 0].tolist() == [186] * 3


@pytest.mark.parametrize("name", ["rgb", "hha"])
def test_eight_bit_pictures_stay_as_they_are(name):
    values = np.array([[[10, 120, 230], [0, 255, 7]]], np.uint8)
    found = draw(values, name, spec(3, valid_range=(0, 255)))
    assert np.array_equal(found.pixels, values)
    assert found.scale is None


def test_three_unknown_channels_share_a_window():
    values = np.concatenate([RAMP, RAMP / 2, RAMP * 0 + 50], axis=2)
    found = picture(values, "mystery", spec(3))
    assert found[0, :, 0].astype(int).sum() > found[0, :, 1].astype(int).sum()
    assert len(set(found[0, :, 2].tolist())) == 1


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_counts_show_principal_components(channels):
    """What all channels share is brightness, what tells them apart a muted colour."""
    rng = seeded("components", channels)
    shared = np.broadcast_to(np.linspace(0, 1, 100)[None, :, None], (80, 100, channels))
    scales = 10.0 ** np.arange(channels)
    values = (shared + 0.1 * rng.standard_normal((80, 100, channels))) * scales
    found = draw(values, "hyper", spec(channels))
    pixels = found.pixels.astype(float)
    brightness = pixels.mean(axis=(0, 2))
    assert np.corrcoef(brightness, np.arange(100))[0, 1] > 0.98
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() <= 0.9 * 255
    assert np.median(pixels.max(axis=2) - pixels.min(axis=2)) < 0.35 * 255
    assert found.note.startswith(f"principal components of {channels} channels: ")
    # Units and zeros of the channels do not matter.
    other = draw(values * 3 + 5, "hyper", spec(channels)).pixels
    assert np.abs(other.astype(int) - found.pixels).max() <= 1


def test_the_window_is_that_of_the_sample():
    sample = np.array([[0.0], [200.0]] * 50 + [[np.nan]])
    for name in ("sonar", "thermal", "depth"):
        own, shared = (draw(RAMP, name, spec(), sample=lambda each=each: each) for each in (None, sample))
        assert (shared.scale.low, shared.scale.high) == (0, 200)
        assert own.scale.high < 100
        # The end of the ramp has the colour of the middle.
        assert shared.pixels[0, 100].tolist() == shared.scale.colours[128].tolist()
    values = seeded("sample").random((9, 8, 5))
    parts = (values, values[:4])
    first, second = (draw(part, "hyper", spec(5), sample=lambda: values.reshape(-1, 5)) for part in parts)
    assert np.array_equal(first.pixels[:4], second.pixels)


def test_missing_pixels_are_hatched():
    values = np.repeat(RAMP, 4, axis=0).copy()
    values[0, 10], values[1, 11], values[2, 12] = np.nan, np.inf, -1
    found = draw(values, "sonar", spec(missing=-1))
    for at in ((0, 10), (1, 11), (2, 12)):
        assert set(found.pixels[at].tolist()) <= set(HATCH)
    assert found.missing == pytest.approx(3 / 404)
    # Neither infinity nor the missing value moves the window.
    assert (found.scale.low, found.scale.high) == (2, 98)
    whole = draw(np.zeros((40, 40, 1)), "depth", spec(unit="m", missing=0))
    assert set(np.unique(whole.pixels)) == set(HATCH)


@pytest.mark.parametrize("name", ["depth", "aolp", "dolp", "intensity", "hha", "thermal", "nir", "other"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("value", [math.nan, 7.0])
def test_nothing_and_flat_pictures_are_drawn_too(name, channels, value):
    found = draw(np.full((5, 6, channels), value, np.float16), name, spec(channels, valid_range=(0, 255)))
    assert (found.pixels.shape, found.pixels.dtype) == ((5, 6, 3), np.uint8)
    assert found.missing == math.isnan(value)
    if math.isnan(value):
        assert set(np.unique(found.pixels)) <= set(HATCH)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int64", "float16", "float64"])
def test_every_dtype_is_drawn(dtype):
    values = (np.arange(12).reshape(3, 4, 1) % 2).astype(dtype)
    found = picture(values, "other", spec(missing=-1.0))
    assert set(np.unique(found)) == {0, 255}


def test_labels_tell_the_ends_apart():
    colours = np.zeros((256, 3), np.uint8)
    near = Scale(low=293.112, high=293.147, unit="K", colours=colours)
    assert near.labels == ("293.112", "293.147 K")
    assert Scale(low=0, high=180, unit="°", colours=colours).labels == ("0", "180°")
    assert Scale(low=5, high=5, unit="m", colours=colours).labels == ("5", "5 m")
