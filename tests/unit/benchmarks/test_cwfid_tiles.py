from __future__ import annotations

import cv2
import numpy as np
import pytest

from aims.benchmarks import cwfid_tiles


@pytest.fixture(scope="module")
def cwfid(tmp_path_factory):
    """Pictures in which every pixel and every channel is told apart from its neighbours."""
    folder = tmp_path_factory.mktemp("cwfid")
    rows, columns = np.mgrid[0:966, 0:1296]
    for numbers in cwfid_tiles.SPLITS.values():
        for number in numbers:
            picture = np.stack([rows % 251, columns % 241, (rows + columns + int(number)) % 239], -1)
            for kind, suffix, change in (("images", "image", 0), ("annotations", "annotation", 1)):
                (folder / kind).mkdir(exist_ok=True)
                path = folder / kind / f"{number}_{suffix}.png"
                cv2.imwrite(str(path), (picture + change).astype(np.uint8))
    return folder


def test_tiles_put_together_are_the_picture(cwfid, tmp_path):
    assert cwfid_tiles.write_tiles(cwfid, tmp_path) == 12
    for kind, suffix in (("images", "image"), ("annotations", "annotation")):
        assert {split.name: len(list(split.iterdir())) for split in (tmp_path / kind).iterdir()} == {
            "train": 7 * 12,
            "test": 5 * 12,
        }
        whole = cv2.imread(str(cwfid / kind / f"003_{suffix}.png"))
        rows = [
            np.concatenate(
                [cv2.imread(str(tmp_path / kind / "test" / f"003_{row}{column}.png")) for column in range(4)],
                1,
            )
            for row in range(3)
        ]
        np.testing.assert_array_equal(np.concatenate(rows), whole)


def test_what_is_no_cwfid_is_refused(cwfid, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cwfid_tiles.main([str(tmp_path / "gone"), str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "gone/images/002_image.png: no such picture" in capsys.readouterr().err
    small = tmp_path / "small" / "images"
    small.mkdir(parents=True)
    cv2.imwrite(str(small / "002_image.png"), np.zeros((9, 12, 3), np.uint8))
    with pytest.raises(SystemExit):
        cwfid_tiles.main([str(tmp_path / "small"), str(tmp_path / "out")])
    assert "002_image.png: is (9, 12, 3), but pictures of CWFID are (966, 1296, 3)" in capsys.readouterr().err
