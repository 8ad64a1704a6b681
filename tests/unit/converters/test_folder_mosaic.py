"""Raw frames of polarization sensors as streams of the folder converter."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_folder import Make
from refusals import refused

from aims.converters.folder import FolderConverter
from aims.core.errors import InputError
from aims.core.schema import SampleError, StreamSpec

NIR = '[streams.nir]\nfiles = "nir/{id}.png"\nunit = "digital number"\n'
MOSAIC = """\
[mosaic]
files = "nir/{id}.png"
layout = [[90, 45], [135, 0]]
resolution = "full"
unit = "digital number"
"""
# 4 x 6 pixels, every value once; each 2 x 2 cell is 90 45 / 135 0.
FRAME = np.array(
    [
        [1000, 2000, 1010, 2020, 1050, 2060],
        [3000, 4000, 3010, 4020, 3050, 4060],
        [1100, 2110, 1130, 2150, 1170, 2190],
        [3100, 4110, 3130, 4150, 3170, 4190],
    ],
    np.uint16,
)
MEASURED = {
    "i90": [[1000, 1010, 1050], [1100, 1130, 1170]],
    "i45": [[2000, 2020, 2060], [2110, 2150, 2190]],
    "i135": [[3000, 3010, 3050], [3100, 3130, 3170]],
    "i0": [[4000, 4020, 4060], [4110, 4150, 4190]],
}


@pytest.fixture
def frame(make: Make, raw: Path) -> Make:
    """Writes the frame and labels of its size, and makes a converter."""

    def build(
        *edits: tuple[str, str], array: np.ndarray = FRAME, labels: tuple[int, int] | None = None
    ) -> FolderConverter:
        for name in "abc":
            if array.dtype == np.uint16:
                cv2.imwrite(str(raw / "nir" / f"{name}.png"), array)
            else:
                np.save(raw / "nir" / f"{name}.npy", array)
            picture = np.zeros(labels or array.shape[:2], np.uint8)
            picture[0] = 1
            Image.fromarray(picture).save(raw / "labels" / f"{name}.png")
        text = MOSAIC
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        return make((NIR, text))

    return build


HALF = ('"full"', '"half"')


class TestHalf:
    def test_every_value_once(self, frame: Make) -> None:
        streams = frame(HALF, labels=(2, 3)).read("train", "a").streams
        assert list(streams) == ["i0", "i45", "i90", "i135"]
        for name, values in MEASURED.items():
            np.testing.assert_array_equal(streams[name], np.array(values)[..., None])
            assert streams[name].dtype == np.uint16

    def test_layout_is_row_by_row(self, frame: Make) -> None:
        other = ("[[90, 45], [135, 0]]", "[[0, 135], [45, 90]]")
        streams = frame(HALF, other, labels=(2, 3)).read("train", "a").streams
        for name, there in (("i0", "i90"), ("i135", "i45"), ("i45", "i135"), ("i90", "i0")):
            np.testing.assert_array_equal(streams[name], np.array(MEASURED[there])[..., None])

    def test_labels_are_not_reduced(self, frame: Make) -> None:
        with refused(
            SampleError,
            "labels/a.png: 4 x 6 (height x width), but ",
            "nir/a.png (at half resolution) is 2 x 3",
        ):
            frame(HALF).read("train", "a")

    def test_missing_value(self, frame: Make) -> None:
        spec = frame(HALF, ("unit", "missing = 65535\nunit"), labels=(2, 3)).spec()
        assert spec.streams["i45"].missing == 65535


class TestFull:
    def test_measured_values_stay_in_place(self, frame: Make) -> None:
        streams = frame().read("train", "a").streams
        recovered = np.zeros_like(FRAME)
        for name, (y, x) in {"i90": (0, 0), "i45": (0, 1), "i135": (1, 0), "i0": (1, 1)}.items():
            assert (streams[name].shape, streams[name].dtype) == ((4, 6, 1), np.float32)
            recovered[y::2, x::2] = streams[name][y::2, x::2, 0]
        np.testing.assert_array_equal(recovered, FRAME)

    def test_other_values_are_means(self, frame: Make) -> None:
        i90 = frame().read("train", "a").streams["i90"][..., 0]
        assert i90[0, 1] == (1000 + 1010) / 2
        assert i90[1, 0] == (1000 + 1100) / 2
        assert i90[1, 1] == (1000 + 1010 + 1100 + 1130) / 4
        assert i90[3, 0] == 1100  # mirrored at the border
        assert i90[3, 5] == 1170

    def test_spec(self, frame: Make) -> None:
        streams = frame(("unit", "wavelength_nm = [400, 1000]\nunit")).spec().streams
        expected = StreamSpec(
            channels=1, unit="digital number", valid_range=(0.0, 65535.0), wavelength_nm=(400.0, 1000.0)
        )
        assert dict(streams) == dict.fromkeys(("i0", "i45", "i90", "i135"), expected)

    def test_not_a_number_stays_in_place(self, frame: Make) -> None:
        array = FRAME.astype(np.float32)
        array[2, 2] = np.nan
        streams = frame(("{id}.png", "{id}.npy"), array=array).read("train", "a").streams
        assert np.isnan(streams["i90"][2, 2, 0])
        assert not np.isnan(streams["i45"]).any()

    def test_values_beyond_the_float(self, frame: Make) -> None:
        array = FRAME.astype(np.uint64)
        array[0, 0] = 2**60 + 1
        parts = 'nir/b.npy: float64 cannot hold all of its uint64 values; give resolution = "half" in '
        with refused(SampleError, parts):
            frame(("{id}.png", "{id}.npy"), array=array).spec()


@pytest.mark.parametrize("resolution", ["full", "half"])
def test_the_manifest_says_how(frame: Make, resolution: str) -> None:
    converter = frame(('"full"', f'"{resolution}"'), ("[[90, 45], [135, 0]]", "[[0, 45], [135, 90]]"))
    assert converter.options() == {"mosaic": {"layout": [[0, 45], [135, 90]], "resolution": resolution}}


class TestRefused:
    @pytest.mark.parametrize(
        ("old", "new", "parts"),
        [
            (
                "[[90, 45], [135, 0]]",
                "[[90, 45], [135, 90]]",
                "[mosaic]: mosaic layout [[90, 45], [135, 90]]:",
            ),
            (
                "[[90, 45], [135, 0]]",
                "[[90, 45, 135, 0]]",
                "[mosaic]: 'layout' is [[90, 45, 135, 0]]; it must",
            ),
            ("[[90, 45], [135, 0]]", "[[90, 45], [135]]", "[mosaic]: mosaic layout [[90, 45], [135]]:"),
            ("[[90, 45], [135, 0]]", "[[90, 45.0], [135, 0]]", "'layout' is [[90, 45.0], [135, 0]]"),
            ('"full"', '"quarter"', "[mosaic]: 'resolution' is 'quarter'; it must be \"full\" or \"half\""),
            ('resolution = "full"\n', "", '[mosaic]: needs \'resolution\' ("full" or "half")'),
            ("layout", "channels = [0]\nlayout", "[mosaic]: unknown key 'channels'"),
            ("layout", "missing = 0\nlayout", "[mosaic]: 'missing' does not go with resolution = \"full\""),
            (
                MOSAIC,
                MOSAIC + NIR.replace("nir", "i45"),
                "[mosaic] makes the stream 'i45'; rename [streams.i45]",
            ),
        ],
    )
    def test_description(self, frame: Make, old: str, new: str, parts: object) -> None:
        with refused(InputError, "field.toml", parts):
            frame((old, new)).spec()

    @pytest.mark.parametrize("array", [FRAME[:3], FRAME[:, 1:], np.stack([FRAME] * 3, axis=-1)])
    def test_frames(self, frame: Make, array: np.ndarray) -> None:
        parts = (
            "nir/b.png: a polarization mosaic has one channel and an even height",
            "field.toml [mosaic])",
        )
        with refused(SampleError, parts):
            frame(array=array).spec()
