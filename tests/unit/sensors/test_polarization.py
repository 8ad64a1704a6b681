from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from aims.core.errors import InputError
from aims.core.schema import StreamSpec
from aims.sensors.derived import POLARIZERS, derive, derived_streams
from aims.sensors.polarization import (
    ANGLES,
    SONY_LAYOUT,
    aolp,
    aolp_folded,
    dolp,
    split_mosaic,
    stokes,
    stokes_from_mosaic,
)

REAL = Path(__file__).parents[4] / "shared" / "data" / "polarization" / "polarizer_IMX250MZR.png"


def through_polarizers(angle_deg, degree, light=100.0):
    """Malus: what four ideal polarizers let through of light that is polarized in part."""
    return [
        light / 2 * (1 + degree * np.cos(2 * np.radians(np.asarray(angle_deg) - polarizer)))
        for polarizer in ANGLES
    ]


def mosaic(pictures, layout=SONY_LAYOUT):
    """The raw frame of a sensor: every pixel sees its own polarizer."""
    frame = np.zeros_like(pictures[0])
    for y, row in enumerate(layout):
        for x, angle in enumerate(row):
            frame[y::2, x::2] = pictures[ANGLES.index(angle)][y::2, x::2]
    return frame


def degrees_apart(first, second, period=180):
    """Distance on the circle of directions."""
    return np.abs((np.asarray(first) - second + period / 2) % period - period / 2)


def test_stokes_by_hand():
    s0, s1, s2 = stokes(*(np.array([value], np.uint8) for value in (200, 150, 40, 90)))
    # (200 + 150 + 40 + 90) / 2, 200 - 40, 150 - 90; in eight bits all three would overflow.
    assert (s0.item(), s1.item(), s2.item()) == (240, 160, 60)
    assert s0.dtype == np.float32
    assert stokes(*[np.ones(2, np.int32)] * 4)[0].dtype == np.float64


def test_dolp_and_aolp_by_hand():
    # A 3-4-5 triangle: 5 of 10 is polarized, at half of atan2(4, 3).
    assert dolp(np.array([10.0]), np.array([3.0]), np.array([4.0])).item() == 0.5
    assert aolp(np.array([3.0]), np.array([4.0])).item() == pytest.approx(np.arctan2(4, 3) / 2)
    # Noise beyond full polarization is cut; no light, and no polarization, are 0.
    assert dolp(np.array([4.0, 0.0]), np.array([3.0, 0.0]), np.array([4.0, 0.0])).tolist() == [1, 0]
    assert aolp(np.zeros(1), np.zeros(1)).item() == 0
    assert aolp_folded(np.zeros(1), np.zeros(1)).item() == 0


@pytest.mark.parametrize("angle", [0, 10, 45, 77.5, 90, 91, 120, 135, 179])
def test_every_direction_comes_back(angle):
    s0, s1, s2 = stokes(*through_polarizers(angle, 0.4))
    assert s0 == pytest.approx(100)
    assert dolp(s0, s1, s2) == pytest.approx(0.4)
    assert degrees_apart(np.degrees(aolp(s1, s2)), angle) < 1e-9


def test_the_range_is_half_open():
    # -0.0 and a tiny negative s2 both mean the direction pi/2.
    angles = aolp(np.array([-1.0, -1.0, -1.0]), np.array([0.0, -0.0, -1e-30]))
    np.testing.assert_array_equal(angles, np.pi / 2)


@pytest.mark.parametrize("angle", [0, 20, 44, 60, 89])
def test_the_folded_angle_confuses_right_angles(angle):
    one, other = (stokes(*through_polarizers(direction, 0.4))[1:] for direction in (angle, angle + 90))
    assert degrees_apart(np.degrees(aolp(*one)), np.degrees(aolp(*other))) == pytest.approx(90)
    assert aolp_folded(*one) == pytest.approx(aolp_folded(*other), abs=1e-9)


def test_the_folded_angle_is_the_arctan_of_the_quotient():
    s1, s2 = np.array([3.0, -3.0, 3.0, -3.0, 0.0]), np.array([1.0, 1.0, -1.0, -1.0, 2.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(aolp_folded(s1, s2), np.arctan(s2 / s1) / 2, rtol=1e-15)


@pytest.mark.parametrize("layout", [SONY_LAYOUT, ((0, 45), (135, 90))])
@pytest.mark.parametrize("interpolation", ["none", "bilinear"])
def test_a_generated_frame_is_read_to_a_tenth_of_a_degree(layout, interpolation):
    # Directions and degrees that turn slowly over the picture; 12 bits, as such sensors have.
    y, x = np.mgrid[0:512, 0:640]
    angle = (0.05 * x + 0.1 * y) % 180
    degree = 0.3 + 0.5 * (x + y) / (512 + 640)
    frame = np.rint(mosaic([4000 * p / 100 for p in through_polarizers(angle, degree)], layout)).astype(
        np.uint16
    )
    s0, s1, s2 = stokes_from_mosaic(frame, layout, interpolation=interpolation)
    # At half size a pixel stands for its cell's centre, half a pixel from the first one's.
    truth = angle if interpolation == "bilinear" else (angle[::2, ::2] + (0.05 + 0.1) / 2) % 180
    inner = np.s_[2:-2, 2:-2]
    assert degrees_apart(np.degrees(aolp(s1, s2)), truth)[inner].max() < 0.1
    wanted = degree if interpolation == "bilinear" else degree[::2, ::2]
    assert np.abs(dolp(s0, s1, s2) - wanted)[inner].max() < 0.01


def test_no_measured_value_is_lost_or_moved():
    frame = np.arange(24, dtype=np.uint16).reshape(4, 6)
    halves = split_mosaic(frame, interpolation="none")
    assert list(halves) == [0, 45, 90, 135]
    assert halves[90].tolist() == [[0, 2, 4], [12, 14, 16]]
    assert halves[45].tolist() == [[1, 3, 5], [13, 15, 17]]
    assert halves[135].tolist() == [[6, 8, 10], [18, 20, 22]]
    assert halves[0].tolist() == [[7, 9, 11], [19, 21, 23]]
    assert halves[0].dtype == np.uint16
    whole = split_mosaic(frame[..., None])
    for angle, (y, x) in {90: (0, 0), 45: (0, 1), 135: (1, 0), 0: (1, 1)}.items():
        np.testing.assert_array_equal(whole[angle][y::2, x::2], halves[angle])
    # By hand: between 0 and 2; between 0, 2, 12 and 14; beyond the border the frame is mirrored.
    assert (whole[90][0, 1], whole[90][1, 1], whole[90][0, 5], whole[90][3, 0]) == (1, 7, 4, 12)


@pytest.mark.parametrize(
    ("frame", "layout", "message"),
    [
        (np.zeros((3, 4)), SONY_LAYOUT, r"even height and width, not shape \(3, 4\)"),
        (np.zeros((4, 4, 3)), SONY_LAYOUT, "one channel"),
        (np.zeros((0, 4)), SONY_LAYOUT, "one channel"),
        (np.zeros((4, 4)), ((0, 45), (90, 90)), "0, 45, 90 and 135 once each"),
        (np.zeros((4, 4)), ((0, 45, 90, 135),), "2 x 2"),
    ],
)
def test_what_is_no_mosaic(frame, layout, message):
    with pytest.raises(InputError, match=message):
        split_mosaic(frame, layout)


def test_other_errors():
    with pytest.raises(InputError, match='use "none" or "bilinear"'):
        split_mosaic(np.zeros((4, 4)), interpolation="cubic")
    with pytest.raises(InputError, match=r"differ in shape: \(2,\), \(2,\), \(3,\), \(2,\)"):
        stokes(np.zeros(2), np.zeros(2), np.zeros(3), np.zeros(2))


def test_derived_streams():
    pictures = {
        name: StreamSpec(channels=3, unit="digital number", valid_range=(0, 255)) for name in POLARIZERS
    }
    derived = derived_streams(pictures)
    assert list(derived) == ["intensity", "aolp", "dolp", "aolp_folded"]
    assert derived["intensity"] == StreamSpec(channels=3, unit="digital number", valid_range=(0, 510))
    assert derived["aolp"].unit == "rad"
    arrays = dict(
        zip(
            POLARIZERS, (p.reshape(1, 1, 1) for p in map(np.array, through_polarizers(100, 0.5))), strict=True
        )
    )
    assert derive("intensity", arrays).item() == pytest.approx(100)
    assert degrees_apart(np.degrees(derive("aolp", arrays).item()), 100) < 1e-6
    assert derive("dolp", arrays).item() == pytest.approx(0.5)
    assert degrees_apart(np.degrees(derive("aolp_folded", arrays).item()), 10, period=90) < 1e-6
    # What is stored is not derived, and four pictures are needed.
    assert "dolp" not in derived_streams({**pictures, "dolp": pictures["i0"]})
    assert derived_streams({name: pictures[name] for name in POLARIZERS[:3]}) == {}


# Where the four polarizers stand in the picture (x, y of a point well inside), with their labels.
POLARIZERS_IN_THE_PICTURE = {0: (380, 1095), 45: (1000, 1100), 90: (1550, 1095), 135: (2100, 1105)}


def test_real_polarizers_before_a_window():
    if not REAL.is_file():
        pytest.skip("the picture polarizer_IMX250MZR.png is not in ../shared/data/polarization")
    frame = cv2.imread(str(REAL), cv2.IMREAD_UNCHANGED)
    _, s1, s2 = stokes_from_mosaic(frame, SONY_LAYOUT)
    folded = {}
    for label, (x, y) in POLARIZERS_IN_THE_PICTURE.items():
        disc = np.s_[y - 100 : y + 100, x - 100 : x + 100]
        # The mean of directions is that of the Stokes vectors.
        q, u = s1[disc].mean(), s2[disc].mean()
        assert degrees_apart(np.degrees(aolp(q, u)), 90 - label) < 8
        folded[label] = np.degrees(aolp_folded(q, u))
    assert abs(folded[0] - folded[90]) < 8
    assert degrees_apart(folded[45], folded[135], period=90) < 8
    assert degrees_apart(folded[0], folded[45], period=90) > 30
