"""`aims audit` on a converted set with one leak of each kind."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from aims.synth.layouts.nyuv2 import NYUv2Image, write_official
from helpers import seeded

SIZE = (40, 48)


def picture(number, scene, gain=1.0):
    """Blobs that differ from number to number, in every channel of colour and in depth."""
    noise = cv2.GaussianBlur(seeded(number).normal(size=(*SIZE, 4)), (0, 0), 3)
    values = (noise - noise.min()) / np.ptp(noise)
    labels = np.zeros(SIZE, np.uint16)
    labels[4:12, 6:18] = 5
    return NYUv2Image(
        rgb=(200 * gain * values[..., :3]).astype(np.uint8),
        depth=(1 + 3 * gain * values[..., 3]).astype(np.float32),
        labels=labels,
        scene=scene,
    )


@pytest.fixture
def convert(aims, tmp_path):
    def call(images, train, test):
        write_official(tmp_path / "raw", images, train=train, test=test)
        code, _, err = aims("convert", "nyuv2", "--raw", tmp_path / "raw", "--out", tmp_path / "set")
        assert code == 0, err
        return tmp_path / "set"

    return call


@pytest.fixture
def leaky(convert):
    """Image 4 is image 1, image 5 a brighter 2; the scene den stands in both splits; 6 is dark and flat."""
    flat = NYUv2Image(
        rgb=np.full((*SIZE, 3), 9, np.uint8),
        depth=np.full(SIZE, 2, np.float32),
        labels=picture(6, "").labels,
        scene="void",
    )
    images = [picture(1, "hall"), picture(2, "attic"), picture(3, "den")]
    images += [picture(1, "yard"), picture(2, "barn", gain=1.2), flat, picture(7, "den")]
    return convert(images, [1, 2, 3], [4, 5, 6, 7])


def test_the_leaks_are_listed_and_do_not_fail(aims, leaky):
    code, out, err = aims("audit", leaky)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    (copy,) = [line for line in lines if "identical" in line]
    assert copy.replace("│", "").split() == ["train", "1", "test", "4", "identical", "identical"]
    assert any(line.replace("│", "").split() == ["den", "1", "1"] for line in lines)
    assert "test/6: too plain to compare in depth, rgb" in lines
    assert f"{leaky}: 2 near-duplicate pairs across splits, 1 group in several splits" in lines
    assert lines[-1] == (
        "compared 7 images (3 train, 4 test) by depth, rgb, distance up to 6 of 64; 6 groups"
    )


def test_fail_exits_with_1_and_one_line(aims, leaky):
    code, out, err = aims("audit", leaky, "--fail")
    assert code == 1
    assert "identical" in out
    message = "2 near-duplicate pairs across splits, 1 group in several splits"
    assert err == f"error: {leaky}: {message}\n"


def test_json_tells_everything(aims, leaky):
    code, out, err = aims("audit", leaky, "--json", "--stream", "depth", "--distance", "0")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["streams"] == ["depth"]
    assert found["distance"] == 0
    assert found["images"] == {"train": 3, "test": 4}
    assert found["pairs"][0] == {
        "images": [
            {"split": "train", "image_id": "1", "group": "hall"},
            {"split": "test", "image_id": "4", "group": "yard"},
        ],
        "distances": {"depth": 0},
        "identical": ["depth"],
    }
    assert found["straddling"] == {"den": {"train": 1, "test": 1}}
    assert found["plain"] == [{"split": "test", "image_id": "6", "group": "void", "streams": ["depth"]}]


def test_a_clean_set_says_what_was_compared(aims, convert):
    folder = convert([picture(k, f"scene{k}") for k in (1, 2, 3)], [1, 2], [3])
    code, out, err = aims("audit", folder, "--fail", "--within", "--stream", "rgb")
    assert (code, err) == (0, "")
    assert out == (
        f"{folder}: no near-duplicate pairs, no groups in several splits\n"
        "compared 3 images (2 train, 1 test) by rgb, distance up to 6 of 64; "
        "every image a group of its own (so groups cannot show a leak)\n"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nowhere",), "nowhere: no such folder"),
        (("SET", "--stream", "dept"), "unknown stream 'dept'; did you mean 'depth'?"),
        (("SET", "--distance", "32"), "Invalid value for '--distance'"),
        ((), "Missing argument 'FOLDER'"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(aims, convert, args, message):
    folder = convert([picture(1, "a"), picture(2, "b")], [1], [2])
    code, out, err = aims("audit", *(folder if arg == "SET" else arg for arg in args))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
