from __future__ import annotations

import numpy as np
import pytest

from aims.core.schema import StreamSpec
from aims.core.vocabulary import MODALITIES, PAPER, STRICT
from aims.sensors.derived import POLARIZERS, derived_streams
from aims.sensors.scaling import published_constants, scale, stream_to_read

SENSOR = StreamSpec(channels=1, unit="m", valid_range=(0, 10), missing=0)


def plane(*values, dtype=np.float32):
    return np.array(values, dtype).reshape(1, -1, 1)


def test_paper_scales_depth_per_image_to_eight_bits():
    values, valid = scale(plane(1, 2, 5), "depth", SENSOR, PAPER)
    # (2 - 1) / 4 * 255 = 63.75, cut to 63.
    np.testing.assert_allclose(values.ravel(), [0, 63 / 255, 1])
    assert valid.all()


def test_paper_leaves_out_what_is_no_number():
    values, valid = scale(plane(1, np.nan, np.inf, 3), "thermal", SENSOR, PAPER)
    assert valid.ravel().tolist() == [True, False, False, True]
    np.testing.assert_allclose(values.ravel()[[0, 3]], [0, 1])
    constant, _ = scale(plane(4, 4), "thermal", SENSOR, PAPER)
    assert not constant.any()


def test_paper_keeps_other_streams():
    float_values, _ = scale(plane(-3, 0.5), "aolp", SENSOR, PAPER)
    np.testing.assert_allclose(float_values.ravel(), [-3, 0.5])
    eight, _ = scale(plane(0, 51, 255, dtype=np.uint8), "nir", SENSOR, PAPER)
    np.testing.assert_allclose(eight.ravel(), [0, 0.2, 1])
    sixteen, _ = scale(plane(65535, dtype=np.uint16), "nir", SENSOR, PAPER)
    assert sixteen.ravel() == [1]


def test_strict_scales_by_the_valid_range_and_leaves_out_the_missing_value():
    values, valid = scale(plane(0, 2.5, 12, np.nan), "depth", SENSOR, STRICT)
    np.testing.assert_allclose(values.ravel()[1:3], [0.25, 1])
    assert valid.ravel().tolist() == [False, True, True, False]
    unknown = StreamSpec(channels=1, unit="digital number")
    values, _ = scale(plane(-20_000, 20_000, dtype=np.int32), "x", unknown, STRICT)
    np.testing.assert_allclose(values.ravel(), np.array([-20_000, 20_000]) / (2**31 - 1))


def test_neighbouring_integers_of_32_bits_stay_apart():
    for dtype in (np.int32, np.uint32):
        spec = StreamSpec(channels=1, unit="digital number", valid_range=(2**24, 2**24 + 4))
        values, _ = scale(plane(2**24, 2**24 + 1, dtype=dtype), "x", spec, STRICT)
        assert values.ravel().tolist() == [0, 0.25]


# What protocol.md says of each paper set: a stored value, what `paper` and what `strict` make of it before
# mean and deviation. By hand: 102 / 255 = 0.4; (30 + 20) / 140; 255 / 510 = 0.5; 1.5 / 10; 0 is between -pi/2
# and pi/2.
TABLE = [
    ("hha", (0.0, 255.0), np.uint8, 102, 0.4, 0.4),
    ("nir", (0.0, 255.0), np.uint8, 51, 0.2, 0.2),
    ("rgb", (0.0, 255.0), np.uint8, 255, 1.0, 1.0),
    ("intensity", (0.0, 1.0), np.float32, 0.25, 0.25, 0.25),
    ("intensity", (0.0, 510.0), np.float32, 255, 255, 0.5),
    ("aolp", (0.0, 1.0), np.float32, 0.75, 0.75, 0.75),
    ("aolp_folded", (-np.pi / 4, np.pi / 4), np.float32, 0.3, 0.3, 0.5 + 0.3 / (np.pi / 2)),
    ("dolp", (0.0, 1.0), np.float32, 0.125, 0.125, 0.125),
]


@pytest.mark.parametrize(("stream", "bounds", "dtype", "value", "paper", "strict"), TABLE)
def test_streams_without_per_image_scaling(stream, bounds, dtype, value, paper, strict):
    spec = StreamSpec(channels=1, unit="1", valid_range=bounds)
    for protocol, expected in ((PAPER, paper), (STRICT, strict)):
        values, valid = scale(plane(value, dtype=dtype), stream, spec, protocol)
        assert values.item() == pytest.approx(expected, abs=1e-6)
        assert valid.all()


def test_thermal_by_picture_under_paper_and_by_range_under_strict():
    spec = StreamSpec(channels=1, unit="degC", valid_range=(-20, 120))
    celsius = plane(15, 30, 22.5)
    # (22.5 - 15) / 15 * 255 = 127.5, cut to 127.
    np.testing.assert_allclose(scale(celsius, "thermal", spec, PAPER)[0].ravel(), [0, 1, 127 / 255])
    expected = [35 / 140, 50 / 140, 42.5 / 140]
    np.testing.assert_allclose(scale(celsius, "thermal", spec, STRICT)[0].ravel(), expected, rtol=1e-6)


def test_published_constants_only_for_the_papers_sets():
    depth = published_constants("nyuv2", "depth")
    # 0.449 and 0.226 are the means over ImageNet's three channels, by hand.
    assert depth is not None
    assert depth.mean[0] == pytest.approx(0.449)
    assert depth.std[0] == pytest.approx(0.226)
    assert published_constants("made-up", "signal") is None
    assert published_constants("made-up", "depth") is None


def test_published_constants_are_those_of_the_protocol():
    # Line by line from protocol.md: mean and deviation of the nine channels, dataset by dataset.
    mean = {
        "rgbp-glass": "0.20545432 0.21862635 0.15604725 0.47199312 0.4637443 0.48603472 "
        "0.102636375 0.10431647 0.11925355",
        "zju-rgbp": "141.1251 141.37535 138.99559 -0.01452719 -0.014152956 -0.016532706 "
        "0.15173349 0.1489902 0.17018148",
    }
    std = {
        "rgbp-glass": "0.19210099 0.20711783 0.18405455 0.28202084 0.28334478 0.25937688 "
        "0.11682395 0.118849464 0.12313089",
        "zju-rgbp": "139.9553 140.5757 141.13524 0.38503787 0.38248295 0.3834839 "
        "0.13344945 0.13081141 0.14260896",
    }
    for dataset, angle in (("rgbp-glass", "aolp"), ("zju-rgbp", "aolp_folded")):
        found = [published_constants(dataset, stream) for stream in ("intensity", angle, "dolp")]
        assert [value for entry in found for value in entry.mean] == [float(x) for x in mean[dataset].split()]
        assert [value for entry in found for value in entry.std] == [float(x) for x in std[dataset].split()]
    assert published_constants("ivrg-nir", "nir").mean == (0.5038126,)
    assert published_constants("thermal-glass", "thermal").std == (0.21658015,)
    # The constants of the plain angle are not measured on the folded one's data.
    assert published_constants("zju-rgbp", "aolp") is None


def test_paper_reads_the_folded_angle_where_both_are_derived():
    pictures = {
        name: StreamSpec(channels=3, unit="digital number", valid_range=(0, 255)) for name in POLARIZERS
    }
    derived = derived_streams(pictures)
    polarization = MODALITIES["polarization"].streams
    assert [stream_to_read(name, derived, PAPER) for name in polarization] == [
        "intensity",
        "aolp_folded",
        "dolp",
    ]
    assert [stream_to_read(name, derived, STRICT) for name in polarization] == list(polarization)
    # A stored angle is what it is.
    assert [stream_to_read(name, {}, PAPER) for name in polarization] == list(polarization)
